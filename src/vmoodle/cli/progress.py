"""Show on the terminal what is under way: a live line for people, little or nothing elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from vmoodle.cli.output import say
from vmoodle.cli.visible import in_a_line, visible
from vmoodle.progress import Tell, tell_nobody

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from vmoodle.installation import Installation
    from vmoodle.registry.models import Operation, OperationEvent


@contextmanager
def showing(words: str) -> Iterator[Tell]:
    """Show these words, then those told, as long as the block lasts; nothing where no one looks."""
    if not sys.stderr.isatty():
        yield tell_nobody
        return
    progress = _live_line(with_bar=False)
    task = progress.add_task(words, total=None)

    def tell(words: str) -> None:
        progress.update(task, description=in_a_line(words))

    with progress:
        yield tell


def carry_out(installation: Installation, operation: Operation) -> Operation:
    """Execute or follow an operation to its end; raise its error when it did not succeed."""
    from vmoodle.fleet.kinds import KINDS
    from vmoodle.operations.outcome import raise_its_error

    (ended,) = carry_out_all(installation, [operation])
    raise_its_error(ended, KINDS)
    return ended


def carry_out_all(installation: Installation, ordered: Sequence[Operation]) -> list[Operation]:
    """Execute or follow operations to their ends, however those are, and return them."""
    from vmoodle.fleet.kinds import KINDS
    from vmoodle.operations.follow import follow_all

    watcher = _Live(several=len(ordered) > 1) if sys.stderr.isatty() else _Lines()
    try:
        return follow_all(installation, KINDS, [row.id for row in ordered], watcher, _say_it_waits)
    finally:
        watcher.close()


def _say_it_waits(executor: int) -> None:
    say(
        f"waiting: process {executor} executes this node's operations and is at others "
        "(`vmoodle operation list` shows them); Ctrl-C cancels this one"
    )


class _Lines:
    """One line a log entry, on stderr."""

    def __call__(self, operation: Operation, events: list[OperationEvent]) -> None:
        for event in events:
            say(f"{operation.subject}: {event.message}")

    def close(self) -> None:
        """End the display."""


class _Live:
    """A spinner an operation, its step and the time it has taken; log lines above them."""

    def __init__(self, *, several: bool) -> None:
        self._progress = _live_line(with_bar=True)
        self._several = several
        self._tasks: dict[str, TaskID] = {}
        self._progress.start()

    def __call__(self, operation: Operation, events: list[OperationEvent]) -> None:
        if operation.id not in self._tasks:
            if self._several and not events:
                return  # one that waits, of many
            self._tasks[operation.id] = self._progress.add_task("waiting", total=None)
        task = self._tasks[operation.id]
        who = f"{operation.subject}: " if self._several else ""
        for event in events:
            self._progress.update(task, description=f"{who}{in_a_line(event.message)}")
            if event.level != "info":
                self._progress.console.print(
                    f"{who}{visible(event.message)}", style="yellow", markup=False
                )
        self._progress.update(
            task,
            completed=operation.steps_done,
            total=operation.steps_total or None,
            visible=not (self._several and operation.finished_at),
        )

    def close(self) -> None:
        """End the display."""
        self._progress.stop()


def _live_line(*, with_bar: bool) -> Progress:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        SpinnerColumn,
        TextColumn,
        TimeElapsedColumn,
    )

    bar = (BarColumn(bar_width=24), MofNCompleteColumn()) if with_bar else ()
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        *bar,
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
    )
