"""Everything that one run has started: found by its session, its parents and a mark, and ended.

A process may leave its group, its session and its parent. The mark in its environment it keeps,
unless it is started with none; who was a child when the run was ended is known by that.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

MARK = "VMOODLE_CRON_RUN"
_PROC = Path("/proc")
_AGAIN_SECONDS = 0.02
_LIMIT_SECONDS = 10.0


@dataclass(frozen=True)
class Seen:
    """A process as it was seen; by `started` another one of the same id is told from it."""

    pid: int
    started: int
    parent: int = field(compare=False)
    session: int = field(compare=False)


def end_all(pid: int, mark: str, *, more: frozenset[Seen] = frozenset()) -> int:
    """Kill a run's process and all it has started, until none is left; return how many were found.

    `more` are processes that are known to belong to it. The process of `pid` must not have been
    waited for, so that its id is nobody else's.
    """
    known = set(more)
    killed: set[Seen] = set()
    until = time.monotonic() + _LIMIT_SECONDS
    while found := family(pid, mark, known):
        known |= found
        for one in found:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(one.pid, signal.SIGKILL)
        killed |= found
        if time.monotonic() > until:
            break
        time.sleep(_AGAIN_SECONDS)
    return len(killed)


def family(pid: int, mark: str, known: set[Seen] | frozenset[Seen] = frozenset()) -> set[Seen]:
    """Return the processes that live and belong to a run."""
    everybody = {one.pid: one for one in _processes()}
    ours = {
        one
        for one in everybody.values()
        if pid in (one.pid, one.session) or one in known or _has_mark(one.pid, mark)
    }
    while children := {
        one
        for one in everybody.values()
        if one not in ours and one.parent in everybody and everybody[one.parent] in ours
    }:
        ours |= children
    return ours


def _processes() -> Iterator[Seen]:
    """Give all processes that have not ended."""
    for entry in os.scandir(_PROC):
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError, ValueError):
            text = (_PROC / entry.name / "stat").read_bytes()
            # The name stands in brackets and may have any character in it.
            fields = text[text.rindex(b")") + 2 :].split()
            if fields[0] not in (b"Z", b"X"):
                yield Seen(int(entry.name), int(fields[19]), int(fields[1]), int(fields[3]))


def _has_mark(pid: int, mark: str) -> bool:
    try:
        environment = (_PROC / str(pid) / "environ").read_bytes()
    except OSError:
        return False
    return f"{MARK}={mark}".encode() in environment.split(b"\0")
