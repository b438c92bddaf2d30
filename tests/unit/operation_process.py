"""A process of its own that executes toy operations, for tests that kill it.

Usage: operation_process.py submit|work JOURNAL [KILL_AT]   KILL_AT is STEP:before|after|undo.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from vmoodle.installation import open_installation

journal = Path(sys.argv[2])
kill_at = sys.argv[3] if len(sys.argv) > 3 else ""
installation = open_installation()

from vmoodle.errors import Unavailable  # noqa: E402
from vmoodle.operations.follow import work  # noqa: E402
from vmoodle.operations.plan import OperationKind, Step, StepContext  # noqa: E402
from vmoodle.registry import operations  # noqa: E402


def write(line: str) -> None:
    with journal.open("a") as file:
        file.write(line + "\n")
        file.flush()


def die_at(moment: str) -> None:
    if kill_at == moment:
        os.kill(os.getpid(), signal.SIGKILL)


def act(name: str) -> Callable[[StepContext], None]:
    def do(context: StepContext) -> None:
        die_at(f"{name}:before")
        if context.parameters.get("fail_at") == name:
            raise Unavailable("toy.broken", "the toy is broken", "buy another")
        write(f"do {name}")
        die_at(f"{name}:after")

    return do


def undo(name: str) -> Callable[[StepContext], None]:
    def take_back(context: StepContext) -> None:
        die_at(f"{name}:undo")
        if context.parameters.get("stuck_at") == name:
            raise Unavailable("toy.stuck", "the toy is stuck", "pull harder")
        write(f"undo {name}")

    return take_back


NAMES = ("one", "two", "three")
TOY = OperationKind("toy", "a toy", tuple(Step(n, n, act(n), undo(n)) for n in NAMES))
LATE = OperationKind(
    "late",
    "no way back after two",
    (
        Step("one", "one", act("one"), undo("one")),
        Step("two", "two", act("two"), None),
        Step("three", "three", act("three"), undo("three")),
    ),
)
KINDS = {"toy": TOY, "late": LATE}

if sys.argv[1] == "submit":
    kind, fail_at = sys.argv[4], sys.argv[5]
    row = operations.submit(kind, site="s", parameters={"fail_at": fail_at}, node=installation.node)
    sys.stdout.write(row.id)
else:
    work(
        installation,
        KINDS,
        until_idle=True,
        tell=lambda row: sys.stdout.write(f"{row.id} {row.state}\n"),
    )
