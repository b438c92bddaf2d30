"""What is read, allowed and told of site care, without a site."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from vmoodle.errors import Conflict, Failed, InvalidInput, NotFound, Refused, Unavailable
from vmoodle.fleet.commands.checks import Health
from vmoodle.fleet.commands.maintenance import CloseSites, Closing
from vmoodle.fleet.parameters import given, masked, restored
from vmoodle.fleet.result import Matrix
from vmoodle.installation import Installation
from vmoodle.moodle.caches.stores import CachePlace, refuse_unknown_caches
from vmoodle.moodle.care.administrators import Account, with_added, with_removed
from vmoodle.moodle.care.maintenance import (
    PAGE,
    Maintenance,
    Page,
    State,
    closed_word,
    is_as_left,
    put_page,
    read_page,
)
from vmoodle.moodle.care.maintenance_message import checked_message
from vmoodle.moodle.care.sessions import remove_files
from vmoodle.moodle.scripts.health_checks import Status, read_checks
from vmoodle.moodle.scripts.scheduled_tasks import ScheduledTask, checked_class, said_by
from vmoodle.moodle.scripts.script import CompletedScript

TASK = ScheduledTask(r"\core\task\x", "* * * * *", None, None, 0, False, None)

# Printed by admin/cli/checks.php --verbose of 4.5.5; the names were put into German.
CHECKS = """CRITICAL: Cron läuft (tool_task_cronrunning)
   Status | Prüfung                                                      \n\
----------+--------------------------------------------------------------------
      \x1b[0;32m OK \x1b[0;0m| Umgebung (core_environment)                                 \n\
          |     Die Umgebung passt                                       \n\
          |     http://s45.localhost:8097/admin/environment.php           \n\
          |                                                              \n\
 \x1b[0;30m\x1b[43m WARNING \x1b[0;0m| Ad-hoc-Aufgaben (alle) (tool_task_adhocqueue)  \n\
          |     Die älteste wartet
          |     seit 3 Tagen                                              \n\
\x1b[41m CRITICAL \x1b[0;0m| Cron läuft (tool_task_cronrunning)                          \n\
          |     Nie gelaufen                                             \n\
"""


@pytest.mark.parametrize(
    "text",
    [
        "Back soon",
        "5 < 6 & 7 > 3",
        "<p>One<p>Two <b>bold</b><br>",
        '<a href="https://status.example.test/?a=1&amp;b" target=_blank rel="noopener">Status</a>',
        "<ul><li>one<li>two</ul><img src='/pluginfile.php/1/a.png' alt=\"\"/>",
        '<table><tr><td colspan="2">x</table>',
        "Zurück um 12 Uhr 🙂",
    ],
)
def test_a_message_of_text_links_and_lists_is_taken_as_it_is(text: str) -> None:
    assert checked_message(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "", "  \n", "<script>alert(1)</script>", "<SCRIPT src=//x>", "<b onclick=x()>y</b>",
        '<a href="javascript:alert(1)">x</a>', '<a href="&#106;avascript:alert(1)">x</a>',
        '<a href=" java\tscript:alert(1)">x</a>', "<iframe></iframe>", "<!-- a", "<!DOCTYPE html>",
        "<?php phpinfo() ?>", "<b>never closed", "closed</b>", "<i><b>crossed</i></b>", "<p",
        '<a href="x>y</a>', "<style>p{}</style>", "<form></form>", "<meta http-equiv=refresh>",
        '<p style="background:url(//x)">', "<svg/onload=x>", "<b/onclick=x>y</b>", "a\0b",
        '<a title="<b">x</a>', "<base href=//x>", '<img src="data:text/html,x">', "x" * 20_001,
        "</div><p>out of Moodle's own page",
    ],
)  # fmt: skip
def test_a_message_that_does_more_than_say_something_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput) as error:
        checked_message(text)
    assert error.value.code == "maintenance.message"


def closing(**values: object) -> Closing:
    return Closing.model_validate(values)


def test_all_sites_close_at_the_moment_that_is_settled_once(installation: Installation) -> None:
    settled = CloseSites.settle(closing(minutes=90), installation)
    moment = datetime.fromisoformat(settled.at)
    assert settled.minutes is None
    assert timedelta(minutes=89) < moment - datetime.now(UTC) <= timedelta(minutes=90)
    assert CloseSites.settle(settled, installation) == settled
    with_offset = CloseSites.settle(closing(at=f"{moment:%Y-%m-%dT%H:%M}-02:00"), installation)
    assert datetime.fromisoformat(with_offset.at).utcoffset() == -timedelta(hours=2)
    clock = datetime.fromisoformat(CloseSites.settle(closing(at="0:07"), installation).at)
    assert (clock.hour, clock.minute, clock.utcoffset()) == (0, 7, timedelta(0))
    assert timedelta(0) < clock - datetime.now(UTC) <= timedelta(days=1)


@pytest.mark.parametrize("at", ["2020-01-01", "9999-01-01 00:00"])
def test_a_time_that_is_not_of_the_coming_year_is_refused(
    at: str, installation: Installation
) -> None:
    with pytest.raises(InvalidInput) as error:
        CloseSites.settle(closing(at=at), installation)
    assert error.value.code == "maintenance.time"


def test_what_cannot_be_asked_together_is_refused() -> None:
    for values in (
        {"at": "22:00", "minutes": 5}, {"at": "22:00", "but_admins": True},
        {"minutes": 1, "but_admins": True},
    ):  # fmt: skip
        with pytest.raises(InvalidInput) as together:
            given(Closing, values)
        assert together.value.code == "command.exclusive"
    with pytest.raises(InvalidInput):
        given(Closing, {"minutes": 0})
    with pytest.raises(InvalidInput) as error:
        given(Closing, {"at": "25:00"})
    assert error.value.code == "maintenance.time"


def test_the_page_counts_first_then_the_setting_then_the_time() -> None:
    page = Page(b"x", 0o660)
    assert Maintenance("1", "5", None, page).state is State.CLOSED
    assert Maintenance("cli mode", "5").state is State.ADMINISTRATORS
    assert Maintenance("0", "5").state is State.LATER
    assert Maintenance("0", "0").state is Maintenance().state is State.OPEN
    assert Maintenance.from_data(Maintenance("1", "5", "m", page).as_data()) == Maintenance(
        "1", "5", "m", page
    )
    assert "m" not in repr(Maintenance(message="my words")).replace("maintenance", "").split("(")[1]


def test_moodle_5_1_keeps_how_it_was_closed() -> None:
    words = {"4.5.6+ (Build: 20250829)": "0", "5.0": "0", "5.1+ (Build: 1)": "cli mode",
             "5.10": "cli mode", "6.0dev": "cli mode", "": "0"}  # fmt: skip
    assert {release: closed_word(release) for release in words} == words


def test_a_site_that_closed_by_itself_as_it_was_told_is_as_it_was_left() -> None:
    past, future = str(int(time.time()) - 5), str(int(time.time()) + 500)
    closed = Maintenance("cli mode", None, "m", Page(b"x", 0o660))
    assert is_as_left(closed, Maintenance("0", past, "m"))
    assert not is_as_left(closed, Maintenance("0", future, "m"))
    assert not is_as_left(closed, Maintenance("0", past, "another"))
    assert not is_as_left(Maintenance("0", None, "m"), Maintenance("0", past, "m"))


def test_a_page_is_put_whole_with_its_mode_and_taken_away(tmp_path: Path) -> None:
    assert read_page(tmp_path) is None
    for page in (Page(b"one", 0o660), Page("zwölf".encode(), 0o640), None, None):
        put_page(tmp_path, page)
        assert read_page(tmp_path) == page
        assert [path.name for path in tmp_path.iterdir()] == ([PAGE] if page else [])
        if page and os.geteuid() == 0:
            assert (tmp_path / PAGE).stat().st_uid == tmp_path.stat().st_uid


def test_no_link_in_the_place_of_the_page_is_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("own")
    dataroot = tmp_path / "data"
    dataroot.mkdir()
    (dataroot / PAGE).symlink_to(secret)
    with pytest.raises(Unavailable):
        read_page(dataroot)
    put_page(dataroot, Page(b"x", 0o600))
    assert secret.read_text() == "own"
    (dataroot / PAGE).unlink()
    (dataroot / PAGE).mkdir()
    with pytest.raises(Refused):
        read_page(dataroot)
    with pytest.raises(Unavailable):
        read_page(tmp_path / "nowhere")


def test_only_files_of_sessions_are_removed(tmp_path: Path) -> None:
    for name in ("sess_abc", "sess_def", "other"):
        (tmp_path / name).touch()
    remove_files(tmp_path, ["abc", "../other", "not-there"])
    assert {path.name for path in tmp_path.iterdir()} == {"sess_def", "other"}
    remove_files(tmp_path / "nowhere", ["abc"])


def test_the_output_of_the_checks_is_read_in_any_language() -> None:
    found = read_checks(CompletedScript(2, CHECKS))
    assert found is not None
    assert [(check.ref, check.status) for check in found] == [
        ("core_environment", Status.OK),
        ("tool_task_adhocqueue", Status.WARNING),
        ("tool_task_cronrunning", Status.CRITICAL),
    ]
    assert [check.summary for check in found] == [
        "Die Umgebung passt", "Die älteste wartet seit 3 Tagen", "Nie gelaufen",
    ]  # fmt: skip
    assert found[1].name == "Ad-hoc-Aufgaben (alle)"
    assert read_checks(CompletedScript(0, "OK: All 'status' checks OK\n")) == []


@pytest.mark.parametrize(("status", "output"), [(255, CHECKS), (1, "!!! No database !!!"), (1, "")])
def test_what_is_no_output_of_the_checks_is_none(status: int, output: str) -> None:
    assert read_checks(CompletedScript(status, output)) is None


def test_the_fleets_health_is_that_of_its_worst_site() -> None:
    well = ("a", Matrix({"x": "ok", "y": "info", "z": "na"}))
    warned = ("b", Matrix({"x": "warning", "y": "unknown"}))
    critical = ("c", Matrix({"x": "warning", "y": "error"}))
    assert (Health([well]).exit_status, Health([well]).line) == (
        0, "OK: all 1 site(s) are well | sites=1 ok=1 warning=0 critical=0 unknown=0",
    )  # fmt: skip
    assert Health([well, warned]).exit_status == 1
    assert Health([well], ["d"]).exit_status == Health([]).exit_status == 3
    health = Health([well, warned, critical], ["d"])
    assert health.exit_status == 2
    assert health.line == (
        "CRITICAL: 1 site(s) critical by y: c; 1 site(s) warning by x: b; 1 site(s) unknown by y: "
        "d (1 did not answer) | sites=4 ok=1 warning=1 critical=1 unknown=1"
    )


def test_a_task_that_failed_is_told_by_its_own_words() -> None:
    output = (
        "Execute scheduled task: Name, with comma (core\\task\\x)\n... started 05:35:14.\n"
        "Hello\n... used 3 dbqueries\nScheduled task {}: Name, with comma (core\\task\\x){}"
    )
    assert said_by(CompletedScript(0, output.format("complete", "")), TASK) == "Hello"
    with pytest.raises(Failed) as error:
        said_by(CompletedScript(0, output.format("failed", ",No disk, no hope")), TASK)
    assert error.value.message == r"\core\task\x failed: No disk, no hope."
    with pytest.raises(Conflict):
        said_by(CompletedScript(130, "Cannot obtain task lock"), TASK)
    with pytest.raises(Failed) as error:
        said_by(CompletedScript(1, "Moodle upgrade pending, cannot manage tasks."), TASK)
    assert "upgrade pending" in error.value.message


def test_a_class_of_a_task_is_named_with_or_without_the_leading_backslash() -> None:
    assert checked_class(r"core\task\x") == checked_class(r" \core\task\x ") == r"\core\task\x"
    for text in ("", "a b", r"\\core\task", "core/task/x", "x;y", "core\\"):
        with pytest.raises(InvalidInput):
            checked_class(text)


def test_the_last_administrator_who_can_log_in_stays() -> None:
    admin = Account(2, "admin", auth="manual")
    locked = Account(3, "locked", auth="manual", suspended=True)
    gone = Account(4)
    guest = Account(1, "visitor", auth="manual", is_guest=True)
    with pytest.raises(Refused):
        with_removed([admin, guest], admin)
    assert with_removed([admin, locked, gone], locked) == [2, 4]
    with pytest.raises(Refused) as error:
        with_removed([admin, locked, gone], admin)
    assert error.value.code == "admin.last"
    with pytest.raises(Refused):
        with_added([admin], locked)
    with pytest.raises(NotFound):
        with_removed([admin], locked)


def test_only_caches_that_the_site_has_and_all_share_are_dropped(tmp_path: Path) -> None:
    place = CachePlace(tmp_path)
    refuse_unknown_caches(place, ["core/anything"])
    (tmp_path / "muc").mkdir()
    (tmp_path / "muc" / "config.php").write_text(
        "<?php $configuration = array('definitions' => array("
        "'core/config' => array('mode' => 1), 'core/coursecat' => array('mode' => 2)));"
    )
    refuse_unknown_caches(place, ["core/config"])
    with pytest.raises(NotFound) as error:
        refuse_unknown_caches(place, ["core/confg"])
    assert "core/config" in error.value.hint
    with pytest.raises(Refused):
        refuse_unknown_caches(place, ["core/coursecat"])


def test_the_parameters_of_a_reset_are_read_again_when_it_is_taken_back() -> None:
    from vmoodle.fleet.commands.admin_reset import Reset

    for values in ({"password_out": "/x"}, {"password": "Own-Passw0rd!"}):
        asked: dict[str, Any] = {"username": "admin", **values}
        kept = masked(given(Reset, asked))
        assert "Passw0rd" not in str(kept)
        restored(Reset, kept)
    for wrong in ({}, {"password": "x", "password_out": "/x"}, {"password": "a\nb"}):
        with pytest.raises(InvalidInput):
            given(Reset, {"username": "admin", **wrong})
