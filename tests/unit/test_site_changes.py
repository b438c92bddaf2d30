"""Changes of a site: registry and map change together, and no two callers win at once.

The sites stand in the registry and the map alone; no server answers, and none is asked.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.published_sites import make_site, published, state_of

from vmoodle.errors import Conflict, InvalidInput
from vmoodle.installation import Installation
from vmoodle.secret import Secret


@pytest.fixture
def unreadable_page(installation: Installation) -> Installation:
    """The installation, with a page of suspended sites that cannot be read."""
    web = installation.settings.web.model_copy(update={"suspended_page": Path("/nonexistent")})
    installation.settings = installation.settings.model_copy(update={"web": web})
    return installation


def test_a_site_that_cannot_be_published_as_suspended_goes_on_serving(
    site: Any, unreadable_page: Installation
) -> None:
    from vmoodle.lifecycle import suspend
    from vmoodle.registry.models import AuditEvent

    with pytest.raises(InvalidInput, match="page"):
        suspend.suspend(unreadable_page, "one")
    assert state_of(site) == "enabled"
    assert published(unreadable_page, "one.test")["state"] == "live"
    assert not AuditEvent.objects.exists()


def test_a_change_that_cannot_be_published_is_none(
    site: Any, unreadable_page: Installation
) -> None:
    from vmoodle.lifecycle.change import SiteChanges, change
    from vmoodle.registry import sites

    with pytest.raises(InvalidInput, match="page"):
        change(unreadable_page, "one", SiteChanges(labels=["a=b"], aliases=["old.test"]))
    assert (sites.label_values(site), sites.alias_hosts(site)) == ({}, [])
    assert published(unreadable_page, "old.test") == {}


def test_a_name_that_moodle_took_is_taken_back_when_the_rest_cannot_be(
    installation: Installation, site: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from django.db import connection as registry

    from vmoodle.lifecycle.change import SiteChanges, change

    said: list[object] = []

    class Connection:
        def query(self, _sql: str) -> list[tuple[str]]:
            return [("what Moodle had",)]

        def execute(self, _sql: str, values: tuple[str]) -> None:
            said.append((values[0], registry.in_atomic_block))

    class Engine:
        @contextmanager
        def connect(self, _database: object, *, read_only: bool) -> Any:
            assert not read_only
            yield Connection()

    make_site(installation, "two")
    monkeypatch.setattr(installation, "engine", lambda _server: Engine())
    with pytest.raises(Conflict, match="two"):
        change(installation, "one", SiteChanges(name="new", aliases=["two.test"]))
    assert said == [("new", False), ("what Moodle had", False)]
    assert type(site).objects.get(id=site.id).name == "one"


def test_only_its_own_alias_is_taken_off_the_map(installation: Installation, site: Any) -> None:
    from vmoodle.lifecycle.change import SiteChanges, change

    change(installation, "one", SiteChanges(aliases=["old.test", "older.test"]))
    change(installation, "one", SiteChanges(remove_aliases=["old.test"]))
    assert published(installation, "old.test") == {}
    assert published(installation, "older.test")["redirect"] == "http://one.test"
    installation.host_map.withdraw_alias("two", "older.test")
    assert published(installation, "older.test")


def test_a_setting_that_one_site_cannot_have_is_forced_on_none(
    installation: Installation, site: Any
) -> None:
    from vmoodle.lifecycle import force
    from vmoodle.registry import forced

    make_site(installation, "two")
    path = installation.home.map / "web" / "two.test.json"
    path.write_text(json.dumps({"shortname": "another"}))
    with pytest.raises(Conflict, match="another"):
        force.force(installation, forced.Scope(), "debug", "1")
    assert forced.rows() == []
    assert "debug" not in published(installation, "one.test")["cfg"]


NOT_JSON = (
    "NaN",
    "[-Infinity]",
    "1e999",
    '"\\ud800"',
    '{"a": "\\udc00"}',
    "a\udcff",
)


@pytest.mark.parametrize("text", NOT_JSON, ids=range(len(NOT_JSON)))
def test_a_value_that_json_has_no_word_for_is_never_stored(
    installation: Installation, site: Any, text: str
) -> None:
    from vmoodle.lifecycle import force
    from vmoodle.registry import forced

    with pytest.raises(InvalidInput) as raised:
        force.force(installation, forced.Scope(), "supportname", text)
    assert raised.value.code == "forced.value"
    assert forced.rows() == []


def test_what_was_stored_once_is_listed_whatever_it_is(
    installation: Installation, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    from vmoodle.cli.forced import list_forced
    from vmoodle.registry import forced

    forced.force(forced.Scope(), "", "supportname", "a\ud800\u00e9")
    list_forced(json=False)
    list_forced(json=True)
    table, _bracket, document = capsysbinary.readouterr().out.partition(b"[")
    assert "a\\ud800\u00e9".encode() in table
    assert json.loads(b"[" + document)[0]["value"] == "a\ud800\u00e9"


def test_a_secret_value_is_read_from_a_file_as_text_and_never_shown(
    installation: Installation, site: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from vmoodle.cli.forced import list_forced, set_forced
    from vmoodle.lifecycle import force
    from vmoodle.registry import forced

    path = tmp_path / "secret"
    for content, value in ((b"1e5\n", "1e5"), (b"-----\nkey\n\n", "-----\nkey\n"), (b"a\r\n", "a")):
        path.write_bytes(content)
        set_forced("smtppass", value_file=str(path))
        assert [row.value for row in forced.rows()] == [value]
    set_forced("noemailever", "true")
    assert value not in capsys.readouterr().out.split()
    list_forced()
    assert [line.split()[-1] for line in capsys.readouterr().out.splitlines()[1:]] == [
        "true", '"a"'
    ]  # fmt: skip
    path.write_bytes(b"\n")
    for words, code in (
        ({"value_file": str(path)}, "secret.empty"),
        ({"value_file": str(path / "none")}, "secret.unreadable"),
        ({"value_file": str(path), "value": "x"}, "forced.value.which"),
        ({}, "forced.value.which"),
    ):
        with pytest.raises(InvalidInput) as raised:
            set_forced("smtppass", **words)
        assert raised.value.code == code
    with pytest.raises(InvalidInput) as raised:
        force.force(installation, forced.Scope(), "smtppass", Secret("hidden\udcff"))
    assert (raised.value.code, "hidden" in raised.value.message) == ("forced.value", False)


def test_what_was_not_running_is_not_said_to_be_stopped(installation: Installation) -> None:
    from vmoodle.lifecycle.stop import stop_all

    (installation.home.embedded / "data").mkdir(parents=True)
    assert stop_all(installation.home) == ["nothing was running"]


def in_operation(installation: Installation, kind: str, parameters: dict[str, Any]) -> Any:
    """Return what the steps of an operation on the site are given; what is kept is kept."""
    from vmoodle.operations.plan import StepContext
    from vmoodle.registry import operations

    row = operations.submit(kind, site="one", parameters=parameters, node="here")

    def keep(members: Any) -> None:
        operations.keep_result(row.id, members)

    return StepContext(installation, row.id, "one", parameters, print, keep)


@pytest.mark.parametrize("stopped", [False, True])
def test_a_suspended_site_keeps_its_reason_over_an_operation(
    installation: Installation, site: Any, stopped: bool
) -> None:
    from vmoodle.lifecycle import interruption
    from vmoodle.lifecycle.suspend import suspend
    from vmoodle.registry import sites

    suspend(installation, "one", "holidays")
    context = in_operation(installation, "site.move", {"state": "suspended"})
    # A step may begin again after a crash.
    for _run in range(2):
        interruption.begin(context)
    if stopped:
        interruption.attention(context)
        interruption.begin(context)
    interruption.end(context)
    assert (sites.find("one").state, sites.find("one").state_reason) == ("suspended", "holidays")


def test_a_suspended_site_keeps_its_reason_when_its_deletion_is_taken_back(
    installation: Installation, site: Any
) -> None:
    from vmoodle.registry import sites

    sites.suspended(site, "holidays")
    sites.deleting(site)
    sites.deletion_taken_back(site)
    assert (sites.find("one").state, sites.find("one").state_reason) == ("suspended", "holidays")
    sites.deleting(site)
    sites.needs_attention(site, "operation stopped half-way")
    sites.deletion_taken_back(site)
    assert sites.find("one").state_reason == "deletion was taken back"


def test_a_move_that_is_taken_back_leaves_an_alias_that_was_there_before(
    installation: Installation, site: Any
) -> None:
    from vmoodle.lifecycle import move
    from vmoodle.registry import sites

    sites.readdressed(site, wwwroot="http://host.test/school", address_key="host.test/school")
    site = sites.find("one")
    sites.add_alias(site, "host.test")
    parameters = {"old": "http://host.test/school", "new": "http://new.test", "redirect": False}
    context = in_operation(installation, "site.move", parameters)
    (step,) = (step for step in move.MOVE.steps if step.name == "address")
    step.act(context)
    assert step.undo is not None
    step.undo(context)
    assert sites.find("one").wwwroot == "http://host.test/school"
    assert sites.alias_hosts(sites.find("one")) == ["host.test"]


def test_the_words_of_a_new_site_are_checked_before_anything_is_looked_for(
    installation: Installation,
) -> None:
    from vmoodle.lifecycle.create import create, deploy
    from vmoodle.lifecycle.create.request import SiteRequest

    request = SiteRequest("ba'd", "http://bad.example.test", codebase="none")
    for plan in (
        lambda: create.plan(installation, request),
        lambda: deploy.plan(installation, request, "site:none"),
    ):
        with pytest.raises(InvalidInput) as refused:
            plan()
        assert refused.value.code == "site.shortname.invalid"
