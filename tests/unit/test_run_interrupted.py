"""A change whose process was killed: what it is called, how it goes on, and what is lost of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import typer
from tests.unit.test_runs import durable, fleet, follow, kill_at, order, statuses, told, undo

from vmoodle.cli import run as run_words
from vmoodle.errors import Conflict, Refused
from vmoodle.installation import Installation

if TYPE_CHECKING:
    from vmoodle.registry.fleet_models import Run

__all__ = ["fleet"]


def test_a_change_whose_process_was_killed_is_interrupted_and_goes_on(
    fleet: Installation, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from vmoodle.fleet.runs.view import state_of
    from vmoodle.registry import runs

    run = durable(fleet, "tests.write", directory=str(tmp_path), waits="a2")
    assert state_of(run) == "running", "nobody has begun it"
    kill_at(fleet, run, tmp_path, "a2")
    assert state_of(runs.find(run.id)) == "interrupted"
    (tmp_path / "go").touch()

    with pytest.raises(typer.Exit):
        run_words.go_on(run.id, json=True)

    document = json.loads(capsys.readouterr().out)
    assert (document["run"], document["state"]) == (run.id, "done")
    assert statuses(run)["a2"] == "unknown"
    with pytest.raises(Conflict) as ended:
        run_words.go_on(run.id, json=True)
    assert (ended.value.code, ended.value.hint) == (
        "run.state",
        f"vmoodle run again {run.id} --failed",
    )


def test_a_change_that_was_only_queued_goes_on_too(fleet: Installation, tmp_path: Path) -> None:
    run = durable(fleet, "tests.write", directory=str(tmp_path))
    run_words.go_on(run.id, json=True)
    assert set(statuses(run).values()) == {"ok"}


def test_a_change_that_another_process_executes_is_not_gone_on_with(
    fleet: Installation, tmp_path: Path
) -> None:
    from vmoodle.operations.node import NodeLock

    run = durable(fleet, "tests.write", directory=str(tmp_path))
    lock = NodeLock(fleet.home.run)
    assert lock.try_acquire()
    try:
        with pytest.raises(Conflict, match="is running") as refused:
            run_words.go_on(run.id, json=True)
    finally:
        lock.release()
    assert refused.value.hint == f"vmoodle operation follow {run.operation_id}"


def test_an_undo_names_the_sites_whose_values_from_before_were_lost_and_the_trial(
    fleet: Installation, tmp_path: Path
) -> None:
    from vmoodle.fleet.runs.order import write_down
    from vmoodle.fleet.runs.runner import run_here

    words = {"directory": str(tmp_path)}
    trial = run_here(fleet, write_down(fleet, order(fleet, "tests.undoable", **words), dry=True))
    run = made_again_after_a_kill(fleet, tmp_path, "*", "b2")
    back = undo(fleet, run)
    assert {site: one["status"] for site, one in told(back).items()} == {
        "a1": "ok", "a2": "ok", "b1": "ok", "b2": "failed"
    }  # fmt: skip
    error = told(back)["b2"]["error"]
    assert error["code"] == "command.undo"
    assert f"What run {run.id} changed on b2 cannot be taken back" in error["detail"]
    assert error["hint"].endswith(f"vmoodle run show {trial.id}")


def test_an_undo_of_a_run_of_which_all_was_lost_says_so_and_not_that_there_is_none(
    fleet: Installation, tmp_path: Path
) -> None:
    run = made_again_after_a_kill(fleet, tmp_path, "b2", "b2")
    with pytest.raises(Refused, match="changed on b2 cannot be taken back") as lost:
        undo(fleet, run)
    assert (lost.value.code, "trial" in lost.value.hint) == ("command.undo", False)
    never = follow(fleet, durable(fleet, "tests.undoable", "b2", directory=str(tmp_path)))
    with pytest.raises(Refused, match="kept nothing"):
        undo(fleet, never)


def made_again_after_a_kill(fleet: Installation, directory: Path, on: str, site: str) -> Run:
    """Return a run as if its process had been killed after the change of a site."""
    from vmoodle.registry.fleet_models import RunSite, RunSiteState

    run = durable(fleet, "tests.undoable", on, directory=str(directory))
    RunSite.objects.filter(run=run, shortname=site).update(state=RunSiteState.BEGUN)
    return follow(fleet, run)
