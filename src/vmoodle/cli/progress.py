"""Follow an operation on the terminal: a live line for people, plain lines elsewhere."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from vmoodle.cli.output import say

if TYPE_CHECKING:
    from vmoodle.installation import Installation
    from vmoodle.registry.models import Operation, OperationEvent


def carry_out(installation: Installation, operation: Operation) -> Operation:
    """Execute or follow an operation to its end; raise its error when it did not succeed."""
    from vmoodle.lifecycle.kinds import KINDS
    from vmoodle.operations.follow import follow
    from vmoodle.operations.outcome import raise_its_error

    watcher = _Live() if sys.stderr.isatty() else _Lines()
    try:
        ended = follow(installation, KINDS, operation.id, watcher)
    finally:
        watcher.close()
    raise_its_error(ended)
    return ended


class _Lines:
    """One line a log entry, on stderr."""

    def __call__(self, operation: Operation, events: list[OperationEvent]) -> None:
        for event in events:
            say(f"{operation.site_shortname}: {event.message}")

    def close(self) -> None:
        """End the display."""


class _Live:
    """A spinner with the step under way and the time it has taken, log lines above it."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            SpinnerColumn,
            TextColumn,
            TimeElapsedColumn,
        )

        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._task = self._progress.add_task("waiting", total=None)
        self._progress.start()

    def __call__(self, operation: Operation, events: list[OperationEvent]) -> None:
        for event in events:
            self._progress.update(self._task, description=event.message)
            if event.level != "info":
                self._progress.console.print(event.message, style="yellow", markup=False)
        self._progress.update(
            self._task,
            completed=operation.steps_done,
            total=operation.steps_total or None,
        )

    def close(self) -> None:
        """End the display."""
        self._progress.stop()
