"""Toy operations carried out by a process of its own, and the journal of what their steps did."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROCESS = Path(__file__).parent / "unit" / "operation_process.py"


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


def stuck_behind_three(journal: Path) -> str:
    """Return an operation whose first attempt did all three steps' work and is stuck there."""
    operation = submit(journal, fail_at="three")
    behave(operation, fail_at="three", stuck_at="three")
    run("work", journal)
    assert state_of(operation) == "needs attention"
    assert lines(journal) == ["do one", "do two"]
    return operation


def behave(operation: str, **parameters: str) -> None:
    from vmoodle.registry.models import Operation

    Operation.objects.filter(id=operation).update(parameters=parameters)


def again(operation: str, *, cancel: bool = False) -> None:
    from vmoodle.registry import operations

    operations.queue_again(operation, backwards=False)
    if cancel:
        operations.request_cancel(operation)
