"""The node's lock: one process per node executes operations."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vmoodle.installation import Installation
    from vmoodle.registry.models import Operation

PATIENCE_SECONDS = 1.0
"""So long is the lock tried for by who must have it: another may only be asking who holds it."""
_AGAIN_SECONDS = 0.01


class NodeLock:
    """A lock that the kernel releases when its holder dies."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "executor.lock"
        self._descriptor: int | None = None

    def try_acquire(self) -> bool:
        """Take the lock if it is free; return whether this object has it now."""
        if self._descriptor is not None:
            # Through a second descriptor the kernel would refuse us our own lock.
            return True
        descriptor = os.open(
            self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600
        )
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        self._descriptor = descriptor
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        return True

    def acquire(self) -> bool:
        """Take the lock, trying for about a second; return whether this object has it now."""
        until = time.monotonic() + PATIENCE_SECONDS
        while not self.try_acquire():
            if time.monotonic() >= until:
                return False
            time.sleep(_AGAIN_SECONDS)
        return True

    def release(self) -> None:
        """Give the lock back."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def is_held(self) -> bool:
        """Tell whether a process, this one or another, has the lock."""
        if self._descriptor is None and self.try_acquire():
            self.release()
            return False
        return True

    def holder(self) -> int | None:
        """Return the process id of the holder, None when the lock is free.

        To ask takes the lock for a moment.
        """
        if self._descriptor is not None:
            return os.getpid()
        if self.try_acquire():
            self.release()
            return None
        text = self._path.read_text().strip()
        return int(text) if text.isdigit() else None


def left_alone(installation: Installation, rows: Iterable[Operation]) -> set[str]:
    """Return the ids of those that are this node's to execute, while none of its processes does.

    Such a one may be called running: its executor was killed, and the next one goes on with it.
    """
    from vmoodle.registry.models import ACTIVE_STATES

    ours = {row.id for row in rows if row.state in ACTIVE_STATES and row.node == installation.node}
    return ours if ours and not NodeLock(installation.home.run).is_held() else set()
