"""Make files durable, and copy them without copying bytes."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
from collections.abc import Iterable
from pathlib import Path

_FICLONE = 0x40049409


def sync(path: Path) -> None:
    """Flush one file or directory to its disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network file systems know no fsync of a directory.
        if error.errno != errno.EINVAL:
            raise
    finally:
        os.close(descriptor)


def sync_all(root: Path, paths: Iterable[Path]) -> None:
    """Flush the whole file system of `root` where the machine can; else each of the paths.

    A thousand single calls take minutes on a disk that turns.
    """
    library = ctypes.CDLL(None, use_errno=True)
    if not hasattr(library, "syncfs"):
        for path in paths:
            sync(path)
        return
    descriptor = os.open(root, os.O_RDONLY)
    try:
        if library.syncfs(descriptor) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
    finally:
        os.close(descriptor)


def reflink(source: Path, target: Path) -> bool:
    """Make the target share the source's bytes until one is written; tell whether that works."""
    with source.open("rb") as original:
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            fcntl.ioctl(descriptor, _FICLONE, original.fileno())
        except OSError:
            target.unlink()
            return False
        finally:
            os.close(descriptor)
    return True


def hard_link(source: Path, target: Path) -> bool:
    """Give the source a second name; tell whether the file system allows that."""
    with contextlib.suppress(OSError):
        os.link(source, target, follow_symlinks=False)
        return True
    return False
