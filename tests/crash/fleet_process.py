"""A `vmoodle worker` that kills itself with SIGKILL at a chosen moment of a real operation.

Usage: fleet_process.py STEP:before|after|undo|during
"""

from __future__ import annotations

import dataclasses
import os
import signal
import sys
import threading
from collections.abc import Callable

from vmoodle.installation import open_installation

kill_step, _separator, kill_moment = sys.argv[1].partition(":")
installation = open_installation()

from vmoodle.lifecycle.kinds import KINDS  # noqa: E402
from vmoodle.operations.follow import work  # noqa: E402
from vmoodle.operations.plan import OperationKind, Step, StepContext  # noqa: E402

DURING_SECONDS = 0.15


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def deadly(step: Step) -> Step:
    if step.name != kill_step:
        return step

    def act(context: StepContext) -> None:
        if kill_moment == "before":
            die()
        killer = threading.Timer(DURING_SECONDS, die)
        if kill_moment == "during":
            killer.start()
        step.act(context)
        if kill_moment == "during":
            # A step that is over by then is killed before anybody hears of its end.
            killer.join()
        if kill_moment == "after":
            die()

    def undo(context: StepContext) -> None:
        if kill_moment == "undo":
            die()
        if step.undo:
            step.undo(context)

    taken_back: Callable[[StepContext], None] | None = undo if step.undo else None
    return dataclasses.replace(step, act=act, undo=taken_back)


def all_deadly(kind: OperationKind) -> OperationKind:
    return dataclasses.replace(kind, steps=tuple(deadly(step) for step in kind.steps))


work(installation, {name: all_deadly(kind) for name, kind in KINDS.items()}, until_idle=True)
