"""Operations survive their executor: every toy operation ends whole or taken back."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from vmoodle.errors import Conflict, NotFound
from vmoodle.installation import Installation
from vmoodle.operations.node import NodeLock

PROCESS = Path(__file__).parent / "operation_process.py"


def run(mode: str, journal: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(PROCESS), mode, str(journal), *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def submit(journal: Path, kind: str = "toy", fail_at: str = "") -> str:
    ended = run("submit", journal, "", kind, fail_at)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def state_of(operation_id: str) -> str:
    from vmoodle.registry import operations

    return operations.find(operation_id).state


def lines(journal: Path) -> list[str]:
    return journal.read_text().splitlines() if journal.exists() else []


@pytest.fixture
def journal(installation: Installation) -> Path:
    return installation.home.path / "journal"


def test_an_operation_does_its_steps_in_order(journal: Path) -> None:
    operation = submit(journal)
    assert run("work", journal).returncode == 0
    assert lines(journal) == ["do one", "do two", "do three"]
    assert state_of(operation) == "done"


def test_a_failing_operation_goes_back_last_step_first(journal: Path) -> None:
    operation = submit(journal, fail_at="three")
    run("work", journal)
    assert lines(journal) == ["do one", "do two", "undo three", "undo two", "undo one"]
    assert state_of(operation) == "reverted"


def test_a_failure_behind_a_point_of_no_return_needs_attention_and_can_go_on(
    journal: Path,
) -> None:
    from vmoodle.registry import operations
    from vmoodle.registry.models import Operation

    operation = submit(journal, kind="late", fail_at="three")
    run("work", journal)
    assert state_of(operation) == "needs attention"
    Operation.objects.filter(id=operation).update(parameters={})
    operations.queue_again(operation, backwards=False)
    run("work", journal)
    assert state_of(operation) == "done"


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("step", ["one", "two", "three"])
def test_a_killed_operation_resumes_at_the_interrupted_step(
    journal: Path, step: str, moment: str
) -> None:
    operation = submit(journal)
    assert run("work", journal, f"{step}:{moment}").returncode == -9
    assert state_of(operation) == "running"
    assert run("work", journal).returncode == 0
    assert state_of(operation) == "done"
    done = lines(journal)
    repeated = [step] if moment == "after" else []
    assert sorted(done) == sorted(f"do {name}" for name in ["one", "two", "three", *repeated])


def test_an_operation_killed_on_its_way_back_ends_taken_back(journal: Path) -> None:
    operation = submit(journal, fail_at="three")
    assert run("work", journal, "two:undo").returncode == -9
    run("work", journal)
    assert state_of(operation) == "reverted"
    assert lines(journal)[-2:] == ["undo two", "undo one"]


def test_a_cancelled_operation_is_taken_back(journal: Path) -> None:
    from vmoodle.registry import operations

    operation = submit(journal)
    operations.request_cancel(operation)
    run("work", journal)
    assert state_of(operation) == "cancelled"
    assert "do one" not in lines(journal)


def test_a_second_operation_on_a_site_is_refused_and_says_which_holds_it(journal: Path) -> None:
    from vmoodle.registry import operations

    first = submit(journal)
    with pytest.raises(Conflict, match=first):
        operations.submit("toy", site="s", node="n")


def test_an_unknown_operation_is_named(installation: Installation) -> None:
    from vmoodle.registry import operations

    with pytest.raises(NotFound, match="feedbeef"):
        operations.find("feedbeef")


def test_one_process_per_node_executes(tmp_path: Path) -> None:
    first, second = NodeLock(tmp_path), NodeLock(tmp_path)
    assert first.try_acquire()
    assert not second.try_acquire()
    assert second.holder() is not None
    first.release()
    assert second.holder() is None
