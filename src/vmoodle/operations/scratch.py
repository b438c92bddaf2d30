"""Directories that a step needs while it runs; what a killed one left is removed at the next start.

They hold dumps: all that a site knows. A living process holds a lock on its own, so that no other
takes it for a leftover.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

_PREFIX = "operation-"


@contextmanager
def scratch(run: Path) -> Iterator[Path]:
    """Yield an empty directory for the length of the block, in the home's `run`."""
    directory, lock = _make(run)
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)
        os.close(lock)


@contextmanager
def prepared(run: Path) -> Iterator[Path]:
    """Yield an empty directory that stays when the block ends well, for an operation to use.

    The block queues the operation, with the directory's name as its parameter `scratch`; the
    operation removes it by `discard`.
    """
    directory, lock = _make(run)
    try:
        yield directory
    except BaseException:
        shutil.rmtree(directory, ignore_errors=True)
        raise
    finally:
        os.close(lock)


def discard(run: Path, name: str) -> None:
    """Remove what was prepared for an operation; nothing there is no error."""
    shutil.rmtree(run / name, ignore_errors=True)


def sweep(run: Path, is_wanted: Callable[[str], bool]) -> None:
    """Remove what killed processes left, but for what an operation still wants by its name."""
    with _lock(run):
        for path in run.glob(f"{_PREFIX}*"):
            # Asked in this order: who held it before has queued its operation by now, or is dead.
            if not _is_held(path) and not is_wanted(path.name):
                shutil.rmtree(path, ignore_errors=True)


def _is_held(directory: Path) -> bool:
    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        return False  # its owner has just removed it
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _make(run: Path) -> tuple[Path, int]:
    """Make a directory and lock it before anybody can sweep it; return it and the lock."""
    with _lock(run):
        directory = Path(mkdtemp(prefix=_PREFIX, dir=run))
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    return directory, descriptor


@contextmanager
def _lock(run: Path) -> Iterator[None]:
    descriptor = os.open(run, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
