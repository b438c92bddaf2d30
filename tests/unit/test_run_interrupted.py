"""A change whose process was killed: what it is called, how it goes on, and what is lost of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from tests.unit.test_runs import durable, fleet, kill_at, statuses

from vmoodle.cli import run as run_words
from vmoodle.errors import Conflict
from vmoodle.installation import Installation

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
