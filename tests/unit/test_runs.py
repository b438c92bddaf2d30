"""Runs: what is kept of each site, what an interruption leaves, and nothing written twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests import fleet_commands
from tests.published_sites import make_site
from tests.servers import wait_until

from vmoodle.errors import Conflict, InvalidInput, NotFound, Refused, VMoodleError
from vmoodle.fleet import command_sets
from vmoodle.installation import Installation

if TYPE_CHECKING:
    from vmoodle.registry.fleet_models import Run

NAMES = ["a1", "a2", "b1", "b2"]


@pytest.fixture
def fleet(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> Installation:
    """Four sites, and the commands of the tests."""
    monkeypatch.setattr(command_sets, "entry_points", command_sets.entry_points)
    fleet_commands.install()
    for name in NAMES:
        make_site(installation, name)
    return installation


def order(fleet: Installation, command: str, on: str = "*", **values: Any) -> Any:
    from vmoodle.fleet.parameters import given
    from vmoodle.fleet.runs.order import prepare

    timeout = values.pop("timeout", None)
    found = command_sets.load().find(command)
    return prepare(fleet, found, given(found.model, values), on, timeout=timeout)


def read(fleet: Installation, command: str, on: str = "*", **values: Any) -> Run:
    from vmoodle.fleet.runs.order import write_down
    from vmoodle.fleet.runs.runner import run_here

    return run_here(fleet, write_down(fleet, order(fleet, command, on, **values)))


def durable(fleet: Installation, command: str, on: str = "*", **values: Any) -> Run:
    from vmoodle.fleet.runs.order import write_down

    return write_down(fleet, order(fleet, command, on, **values), durable=True)


def follow(fleet: Installation, run: Run) -> Run:
    from vmoodle.fleet.kinds import KINDS
    from vmoodle.operations.follow import follow as until_ended
    from vmoodle.registry import runs

    until_ended(fleet, KINDS, run.operation_id, lambda _row, _events: None)
    return runs.find(run.id)


def told(run: Run) -> dict[str, Any]:
    from vmoodle.fleet.runs.view import entries

    return {one["site"]: one for one in entries(run)}


def statuses(run: Run) -> dict[str, str]:
    return {site: one["status"] for site, one in told(run).items()}


def lines(directory: Path) -> dict[str, int]:
    return {
        path.name: len(path.read_text().splitlines())
        for path in directory.iterdir()
        if path.name != "go"
    }


def test_what_each_site_answers_is_kept(fleet: Installation) -> None:
    from vmoodle.fleet.runs.view import summary

    run = read(fleet, "tests.ask", fails="b1")
    assert told(run)["a1"] | {"duration_ms": 0} == {
        "site": "a1", "status": "ok", "duration_ms": 0, "value": 2
    }  # fmt: skip
    assert told(run)["b1"]["error"]["code"] == "tests.no"
    counted = summary(run)
    assert (counted["sites"], counted["ok"], counted["failed"], run.state) == (4, 3, 1, "done")
    assert [group.sites for group in groups(run)] == [("a1", "a2", "b2")]


def groups(run: Run) -> Any:
    from vmoodle.fleet.result import grouped
    from vmoodle.fleet.runs.view import answers

    return grouped(answers(run))


def test_a_command_that_breaks_or_answers_nonsense_breaks_nothing(fleet: Installation) -> None:
    codes = {site: one["error"]["code"] for site, one in told(read(fleet, "tests.odd")).items()}
    assert codes == {
        "a1": "command.internal", "a2": "command.result",
        "b1": "command.internal", "b2": "command.result",
    }  # fmt: skip


def test_a_slow_site_holds_no_other(
    fleet: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vmoodle.fleet.runs import runner

    monkeypatch.setattr(runner, "GRACE", 0)
    monkeypatch.setattr(runner, "CONNECT_TIMEOUT", 0)
    run = read(fleet, "tests.ask", waits="a1", directory=str(tmp_path), timeout=0.2)
    (tmp_path / "go").touch()
    assert statuses(run) == {"a1": "timeout", "a2": "ok", "b1": "ok", "b2": "ok"}


def test_no_more_sites_are_at_a_script_together_than_there_are_cores(
    fleet: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    answers = told(read(fleet, "tests.busy", directory=str(tmp_path)))
    assert [row["value"] for row in answers.values()] == [1] * len(NAMES)


def test_sites_in_other_states_and_held_ones_are_told_and_left(
    fleet: Installation, tmp_path: Path
) -> None:
    from vmoodle.registry import operations
    from vmoodle.registry.models import Site

    Site.objects.filter(shortname="a1").update(state="deleted")
    run = read(fleet, "tests.ask", "a1, a2")
    assert told(run)["a1"]["error"]["code"] == "site.state"
    holder = operations.submit("site.move", site="b1", node="elsewhere")
    run = follow(fleet, durable(fleet, "tests.write", "b*", directory=str(tmp_path)))
    assert told(run)["b1"]["error"]["code"] == "operation.site.busy"
    assert lines(tmp_path) == {"b2": 1}
    assert holder.id


def test_a_change_on_much_of_the_fleet_is_confirmed_by_what_is_meant() -> None:
    from vmoodle.fleet.bulk.confirmation import phrase, refuse_unconfirmed_change

    def confirmed(
        names: list[str], *, yes: bool = False, typed: str = "", shown: bool = False
    ) -> bool:
        try:
            refuse_unconfirmed_change(names, 4, 0.5, yes=yes, typed=typed, shown=shown)
        except Refused as error:
            assert error.code == "run.unconfirmed"
            assert phrase(names) in error.hint
            return False
        return True

    assert not confirmed(["a1"])
    assert confirmed(["a1"], yes=True)
    assert confirmed(["a1", "a2"], yes=True)
    assert not confirmed(["a1", "a2", "b1"], yes=True)
    assert not confirmed(["a1", "a2", "b1"], typed="3")
    assert confirmed(["a1", "a2", "b1"], typed=phrase(["b1", "a1", "a2"]))
    assert confirmed(["a1", "a2", "b1"], typed="3", shown=True)
    assert not confirmed(["a1", "a2", "b1"], typed="2", shown=True)


def test_secrets_are_masked_and_forgotten(fleet: Installation) -> None:
    from vmoodle.fleet.runs import order as orders

    run = durable(fleet, "tests.ask", key="s3cret")
    assert run.parameters["key"] == "***"
    assert run.secret_encrypted
    run = follow(fleet, run)
    assert run.secret_encrypted == ""
    with pytest.raises(Refused) as raised:
        orders.again(fleet, run, command_sets.load().find("tests.ask"), failed=False)
    assert raised.value.code == "run.secret"


def test_an_optional_secret_that_was_not_given_is_kept_as_none(fleet: Installation) -> None:
    assert read(fleet, "tests.ask", on="a1").parameters["key"] == ""


def test_a_run_is_done_again_where_it_failed(fleet: Installation) -> None:
    from vmoodle.fleet.runs import order as orders
    from vmoodle.fleet.runs.runner import run_here

    run = read(fleet, "tests.plain", fails="a2 b1")
    command = command_sets.load().find("tests.plain")
    again = orders.again(fleet, run, command, failed=True)
    assert again.names == ["a2", "b1"]
    second = run_here(fleet, orders.write_down(fleet, again))
    assert second.again_of == run.id
    longer = orders.again(fleet, run, command, failed=True, timeout=run.timeout + 1)
    assert longer.timeout == run.timeout + 1
    # Another command on the same sites.
    assert order(fleet, "tests.ask", f"failed:{run.id[:6]} & b*").names == ["b1"]
    assert order(fleet, "tests.ask", f"run:{run.id}").names == NAMES
    with pytest.raises(NotFound):
        order(fleet, "tests.ask", "run:nothing")


def kill_at(installation: Installation, run: Run, directory: Path, site: str) -> None:
    """Carry a run out in another process, and kill it when it has written on a site."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.fleet_commands"],
        env=os.environ
        | {"OPERATION": run.operation_id, "VMOODLE_HOME": str(installation.home.path)},
    )
    wait_until((directory / site).exists, f"the write on {site}")
    wait_until(lambda: len(lines(directory)) == 4 or process.poll() is not None, "all to begin")
    process.send_signal(signal.SIGKILL)
    process.wait()


def test_a_write_that_was_begun_when_its_process_was_killed_is_unknown_and_not_repeated(
    fleet: Installation, tmp_path: Path
) -> None:
    run = durable(fleet, "tests.write", directory=str(tmp_path), waits="a2")
    kill_at(fleet, run, tmp_path, "a2")
    (tmp_path / "go").touch()
    run = follow(fleet, run)
    assert statuses(run)["a2"] == "unknown"
    assert set(statuses(run).values()) <= {"ok", "unknown"}
    assert lines(tmp_path) == dict.fromkeys(NAMES, 1)
    # "Again on the failed" leaves it to a person, too, who has a word for those sites.
    unknown = [site for site, status in statuses(run).items() if status == "unknown"]
    assert order(fleet, "tests.write", f"unknown:{run.id[:6]}").names == unknown
    assert f"unknown:{run.id}" in told(run)["a2"]["error"]["hint"]
    with pytest.raises(NotFound):
        order(fleet, "tests.write", f"failed:{run.id}")


def test_a_write_that_does_no_harm_twice_is_repeated_after_a_kill(
    fleet: Installation, tmp_path: Path
) -> None:
    run = durable(fleet, "tests.repeatable", directory=str(tmp_path), waits="a2")
    kill_at(fleet, run, tmp_path, "a2")
    (tmp_path / "go").touch()
    assert set(statuses(follow(fleet, run)).values()) == {"ok"}
    assert lines(tmp_path)["a2"] == 2


def test_a_cancelled_run_leaves_the_rest(
    fleet: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vmoodle.registry import operations

    monkeypatch.setenv("VMOODLE_FLEET__TOGETHER", "1")
    from vmoodle.installation import open_installation

    one_at_a_time = open_installation()
    run = durable(one_at_a_time, "tests.write", directory=str(tmp_path), waits="a1")

    def cancel() -> None:
        wait_until((tmp_path / "a1").exists, "the first write")
        operations.request_cancel(run.operation_id)
        threading.Event().wait(0.5)
        (tmp_path / "go").touch()
        from django.db import connections

        connections.close_all()

    thread = threading.Thread(target=cancel)
    thread.start()
    run = follow(one_at_a_time, run)
    thread.join()
    assert run.state == "cancelled"
    assert statuses(run) == {"a1": "ok", "a2": "cancelled", "b1": "cancelled", "b2": "cancelled"}
    assert lines(tmp_path) == {"a1": 1}


def undo(fleet: Installation, run: Run) -> Run:
    from vmoodle.fleet.runs.order import undo as order_undo
    from vmoodle.fleet.runs.order import write_down

    made = order_undo(fleet, run, command_sets.load().find(run.command))
    return follow(fleet, write_down(fleet, made, durable=True))


def test_a_run_is_taken_back_where_it_was_done_and_only_once(
    fleet: Installation, tmp_path: Path
) -> None:
    from vmoodle.registry.fleet_models import RunSite

    run = durable(fleet, "tests.undoable", directory=str(tmp_path), fails="a1")
    run = follow(fleet, run)
    assert statuses(run) == {"a1": "failed", "a2": "ok", "b1": "ok", "b2": "ok"}
    kept = RunSite.objects.filter(run=run).values_list("undo_encrypted", flat=True)
    assert not any(str(tmp_path) in text for text in kept), "what is kept is encrypted"
    (tmp_path / "b1").unlink()

    back = undo(fleet, run)

    # a1 was not done, b2 kept nothing; b1 is not as it was left.
    assert statuses(back) == {"a2": "ok", "b1": "failed"}
    assert told(back)["b1"]["error"]["code"] == "tests.gone"
    assert {path.name for path in tmp_path.iterdir()} == {"a1", "b2"}
    assert back.undo_of == run.id

    (tmp_path / "b1").touch()
    assert statuses(undo(fleet, run)) == {"b1": "ok"}
    with pytest.raises(Conflict) as refused:
        undo(fleet, run)
    assert refused.value.code == "run.undone"


def test_a_trial_keeps_nothing_to_be_taken_back(fleet: Installation, tmp_path: Path) -> None:
    from vmoodle.fleet.runs.order import write_down
    from vmoodle.fleet.runs.runner import run_here

    trial = write_down(fleet, order(fleet, "tests.undoable", directory=str(tmp_path)), dry=True)
    with pytest.raises(Refused):
        undo(fleet, run_here(fleet, trial))


def test_a_site_that_a_run_is_changing_is_held_until_it_is_done(
    fleet: Installation, tmp_path: Path
) -> None:
    from vmoodle.registry import operations

    run = durable(fleet, "tests.write", "a*", directory=str(tmp_path), waits="a1")
    thread = threading.Thread(target=in_a_thread(lambda: follow(fleet, run)))
    thread.start()
    wait_until((tmp_path / "a1").exists, "the write")
    with pytest.raises(Conflict) as refused:
        operations.submit("site.move", site="a1", node="elsewhere")
    assert refused.value.code == "run.site.busy"
    other = follow(fleet, durable(fleet, "tests.repeatable", "a1", directory=str(tmp_path)))
    assert told(other)["a1"]["error"]["code"] == "run.site.busy"
    (tmp_path / "go").touch()
    thread.join()
    assert operations.submit("site.move", site="a1", node="elsewhere").id


def test_a_site_that_was_deleted_after_the_order_is_left_and_nothing_is_read_of_it(
    fleet: Installation, tmp_path: Path
) -> None:
    from vmoodle.fleet.target_sites import target_site
    from vmoodle.registry.models import Site

    run = durable(fleet, "tests.write", "a*", directory=str(tmp_path))
    Site.objects.filter(shortname="a1").update(state="deleted")
    run = follow(fleet, run)
    assert told(run)["a1"]["error"]["code"] == "site.state"
    assert lines(tmp_path) == {"a2": 1}
    with pytest.raises(Conflict):
        target_site(fleet, "a1")


def test_an_undo_that_was_begun_when_its_process_was_killed_is_unknown_and_not_repeated(
    fleet: Installation, tmp_path: Path
) -> None:
    from vmoodle.fleet.runs.order import undo as order_undo
    from vmoodle.fleet.runs.order import write_down
    from vmoodle.registry.fleet_models import RunSite, RunSiteState

    run = follow(fleet, durable(fleet, "tests.undoable", directory=str(tmp_path)))
    assert command_sets.load().find("tests.undoable").idempotent
    made = order_undo(fleet, run, command_sets.load().find(run.command))
    back = write_down(fleet, made, durable=True)
    # As a process leaves it that was killed after it had done it on the site.
    RunSite.objects.filter(run=back, shortname="a1").update(state=RunSiteState.BEGUN)
    (tmp_path / "a1").unlink()
    assert statuses(follow(fleet, back)) == {"a1": "unknown", "a2": "ok", "b1": "ok"}


def in_a_thread(act: Callable[[], object]) -> Callable[[], None]:
    """Return what does it and closes what the thread opened of the registry."""

    def run() -> None:
        from django.db import connections

        try:
            act()
        finally:
            connections.close_all()

    return run


def test_a_reading_run_whose_process_is_gone_goes_on_where_it_stopped(fleet: Installation) -> None:
    from vmoodle.fleet.runs.order import write_down
    from vmoodle.fleet.runs.runner import go_on
    from vmoodle.fleet.runs.view import state_of
    from vmoodle.process import machine
    from vmoodle.registry import runs
    from vmoodle.registry.fleet_models import RunSite

    run = write_down(fleet, order(fleet, "tests.plain"))
    with pytest.raises(Conflict):
        go_on(fleet, run)
    runs.continued(run.id, f"{machine()} 999999999 1.0")
    RunSite.objects.filter(run=run, shortname="a1").update(state="ok")
    run = runs.find(run.id)
    assert state_of(run) == "interrupted"
    run = go_on(fleet, run)
    assert (run.state, set(statuses(run).values())) == ("done", {"ok"})
    assert told(run)["a1"]["duration_ms"] is None


def test_two_runs_are_compared_and_exported(fleet: Installation, tmp_path: Path) -> None:
    from vmoodle.fleet.runs.diff import differences
    from vmoodle.fleet.runs.export import export

    first = read(fleet, "tests.plain", "a*, b1", fails="a2")
    second = read(fleet, "tests.plain", "a*, b2")
    assert [(row["site"], row["change"]) for row in differences(first, second)] == [
        ("a2", "changed"), ("b1", "gone"), ("b2", "new")
    ]  # fmt: skip
    with pytest.raises(Refused):
        list(differences(first, read(fleet, "tests.ask")))
    assert export(first, tmp_path / "x.csv", "csv") == 2
    assert (tmp_path / "x.csv").read_text().splitlines() == ["site,value", "a1,1", "b1,1"]
    assert export(first, tmp_path / "x.json", "json") == 3
    document = json.loads((tmp_path / "x.json").read_text())
    assert document["run"] == first.id
    assert [row["status"] for row in document["results"]] == ["ok", "failed", "ok"]
    for path, form in (("x.csv", "csv"), ("y.doc", "doc")):
        with pytest.raises(InvalidInput):
            export(first, tmp_path / path, form)


@pytest.mark.slow
def test_ten_thousand_sites_are_streamed(
    fleet: Installation, home: Path, record_property: Callable[[str, object], None]
) -> None:
    import resource

    from vmoodle.registry.models import Site

    model = Site.objects.select_related("codebase", "server").get(shortname="a1")
    facts = {
        field.attname: getattr(model, field.attname)
        for field in Site._meta.concrete_fields
        if field.name != "id"
    }
    Site.objects.bulk_create(
        (
            Site(
                **facts
                | {
                    "shortname": f"s{n}", "wwwroot": f"http://s{n}.test",
                    "address_key": f"s{n}.test", "dataroot": f"/s{n}", "session_key": f"s{n}",
                    "database": f"s{n}", "account": f"s{n}",
                }
            )
            for n in range(10_000)
        ),
        batch_size=500,
    )  # fmt: skip
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    run = read(fleet, "tests.plain", "s*")
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    record_property("grown_kB", grown)
    assert (run.state, len(groups(run)[0].sites)) == ("done", 10_000)
    assert grown < 100_000  # kB


def test_what_a_stranger_says_that_no_registry_keeps_ends_no_run(fleet: Installation) -> None:
    kept = {
        how: told(read(fleet, "tests.strange", how=how))
        for how in ("nul", "long", "half a character", "uneven")
    }
    assert {site["status"] for rows in kept.values() for site in rows.values()} >= {"ok"}
    assert all(rows["b2"]["status"] == "ok" for rows in kept.values())
    message = kept["nul"]["a1"]["error"]["detail"]
    assert "\0" not in message
    message.encode()
    assert len(kept["long"]["a1"]["error"]["code"]) <= 60
    assert len(kept["long"]["a1"]["error"]["detail"]) < 30_000
    assert kept["half a character"]["a1"]["value"] == "?"
    assert kept["uneven"]["a1"]["error"]["code"] == "command.result"


def test_a_secret_in_a_strangers_error_is_neither_kept_nor_logged(
    fleet: Installation, caplog: pytest.LogCaptureFixture
) -> None:
    for how in ("secret", "told secret"):
        run = read(fleet, "tests.strange", how=how, key="correct horse")
        assert "***" in str(told(run)["a1"]["error"])
        assert "correct horse" not in json.dumps(told(run))
    assert "***" in caplog.text
    assert "correct horse" not in caplog.text


@pytest.mark.parametrize("code", ["php.timeout", "exec.status", "script.failed", "task.failed"])
def test_what_php_may_have_changed_is_unknown_unless_twice_does_no_harm(
    fleet: Installation, code: str
) -> None:
    from vmoodle.registry import runs

    run = read(fleet, "tests.strange", how=code)
    assert statuses(run)["a1"] == "unknown"
    assert runs.failed_names(run) == []
    assert runs.failed_names(read(fleet, "tests.strangely", how=code)) == ["a1"]


def test_a_change_that_is_late_holds_its_site_and_is_heard(
    fleet: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vmoodle.fleet.runs import runner
    from vmoodle.registry import operations, runs

    monkeypatch.setattr(runner, "GRACE", 0)
    monkeypatch.setattr(runner, "CONNECT_TIMEOUT", 1)
    late: list[str] = []
    without_late = runner._Execution._without_late

    def look(self: Any, ended: list[Any]) -> list[Any]:
        if any(one.given_up for one in ended):
            late.append(statuses(self._run)["a1"])
            with pytest.raises(Conflict):
                operations.submit("site.move", site="a1", node="elsewhere")
            (tmp_path / "go").touch()
        return without_late(self, ended)

    monkeypatch.setattr(runner._Execution, "_without_late", look)
    run = read(fleet, "tests.undoable", waits="a1", directory=str(tmp_path), timeout=0.2)
    assert late == ["begun"]
    assert set(statuses(run).values()) == {"ok"}
    assert "a1" in runs.undoable(run.id)


def test_a_change_that_never_ends_is_unknown_and_ends_the_run(
    fleet: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vmoodle.fleet.runs import runner

    monkeypatch.setattr(runner, "GRACE", 0)
    monkeypatch.setattr(runner, "CONNECT_TIMEOUT", 0)
    run = read(fleet, "tests.write", waits="a1", directory=str(tmp_path), timeout=0.2)
    (tmp_path / "go").touch()
    assert statuses(run) == {"a1": "unknown", "a2": "ok", "b1": "ok", "b2": "ok"}


def test_a_site_is_looked_at_once_more_when_it_is_held(
    fleet: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vmoodle.registry.models import Site

    monkeypatch.setenv("VMOODLE_FLEET__TOGETHER", "1")
    from vmoodle.installation import open_installation

    run = durable(open_installation(), "tests.write", "a*", directory=str(tmp_path), waits="a1")
    thread = threading.Thread(target=in_a_thread(lambda: follow(open_installation(), run)))
    thread.start()
    wait_until((tmp_path / "a1").exists, "the write")
    Site.objects.filter(shortname="a2").update(state="deleted")
    (tmp_path / "go").touch()
    thread.join()
    assert told(run)["a2"]["error"]["code"] == "site.state"
    assert lines(tmp_path) == {"a1": 1}


@pytest.mark.parametrize("place", ["settle", "leaves_out", "init"])
def test_a_strangers_command_that_breaks_when_it_is_ordered_is_named(
    fleet: Installation, place: str, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(VMoodleError) as raised:
        read(fleet, "tests.breaks", at=place, key="correct horse")
    assert raised.value.code == "command.internal"
    assert "correct horse" not in raised.value.message + caplog.text


def test_a_strangers_comparison_that_breaks_hides_no_answer(
    fleet: Installation, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from vmoodle.cli.run_show import show_answers
    from vmoodle.fleet.command import Comparison
    from vmoodle.fleet.runs.export import export

    run = read(fleet, "tests.breaks", at="compare")
    export(run, tmp_path / "all.json", "json")
    document = json.loads((tmp_path / "all.json").read_text())
    assert len(document["results"]) == 4
    assert document["comparison_error"]["code"] == "command.internal"
    show_answers(run, Comparison.MATRIX)
    shown = capsys.readouterr()
    assert "command.internal" in shown.err
    assert "a1" in shown.out


def test_an_undo_says_why_there_is_nothing_to_take_back(
    fleet: Installation, tmp_path: Path
) -> None:
    from vmoodle.fleet.runs.order import write_down
    from vmoodle.fleet.runs.runner import run_here

    words = {"directory": str(tmp_path)}
    trial = write_down(fleet, order(fleet, "tests.undoable", **words), dry=True)
    for run in (read(fleet, "tests.ask"), run_here(fleet, trial)):
        with pytest.raises(Refused, match="nothing to take back") as nothing:
            undo(fleet, run)
        assert nothing.value.code == "run.read"
    run = follow(fleet, durable(fleet, "tests.undoable", "a1", **words))
    back = undo(fleet, run)
    with pytest.raises(Conflict, match=f"taken back already by run {back.id}") as done:
        undo(fleet, run)
    assert (done.value.code, f"run again {run.id}" in done.value.hint) == ("run.undone", True)


def test_a_run_of_which_nothing_failed_says_so_and_what_is_unknown(fleet: Installation) -> None:
    from vmoodle.fleet.runs import order as orders
    from vmoodle.registry.fleet_models import RunSite

    run = read(fleet, "tests.plain")
    command = command_sets.load().find("tests.plain")
    with pytest.raises(NotFound, match=f"No site of run {run.id} failed.$") as none:
        orders.again(fleet, run, command, failed=True)
    assert none.value.code == "run.failed"
    RunSite.objects.filter(run=run, shortname="b2").update(state="unknown")
    with pytest.raises(NotFound, match="1 site is unknown, and not repeated") as unknown:
        orders.again(fleet, run, command, failed=True)
    assert unknown.value.hint.endswith(f"on unknown:{run.id}.")
