"""Files that a reader finds whole: written beside their place, and put there when they are safe."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

# So much of its name does a file have while it is written; names may be as long as the disk allows.
_NAMED = 40


def write_atomically(
    path: Path, text: str | bytes, *, mode: int = 0o644, group: int | None = None
) -> None:
    """Write a file so that a reader sees the old or the new one whole, and a crash loses neither.

    `group` is a gid. Raise OSError as the system does; nothing is left behind then.
    """
    with replacing(path, mode=mode, group=group) as file:
        file.write(text.encode() if isinstance(text, str) else text)


@contextmanager
def replacing(path: Path, *, mode: int = 0o600, group: int | None = None) -> Iterator[IO[bytes]]:
    """Open a file that takes its name once the block has ended well and it is on the disk."""
    with _beside(path, mode, group, sync=True) as (file, beside):
        yield file
    put_in_place({path: beside})
    sync_directory(path.parent)


def write_beside(
    path: Path, content: bytes, *, mode: int, group: int | None = None, sync: bool = True
) -> Path:
    """Write a file beside its place and return its path, for `put_in_place`.

    Without `sync` the caller sees to it that it is on the disk before it takes its place.
    """
    with _beside(path, mode, group, sync=sync) as (file, beside):
        file.write(content)
    return beside


def put_in_place(written: Mapping[Path, Path]) -> None:
    """Give files written beside their places their names; remove the rest when one cannot be."""
    try:
        for path, beside in written.items():
            beside.replace(path)
    except OSError:
        remove(written.values())
        raise


def remove(written: Iterable[Path]) -> None:
    """Remove files written beside their places that are not wanted any more."""
    for beside in written:
        beside.unlink(missing_ok=True)


def sync_directory(directory: Path) -> None:
    """See to it that the names in a directory are on the disk."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _beside(
    path: Path, mode: int, group: int | None, *, sync: bool
) -> Iterator[tuple[IO[bytes], Path]]:
    # With the same ending: whatever a web server does with such files, it does with this one.
    descriptor, name = tempfile.mkstemp(
        prefix=f".{path.stem[:_NAMED]}-", suffix=path.suffix, dir=path.parent
    )
    beside = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file, beside
            file.flush()
            if group is not None:
                os.fchown(descriptor, -1, group)
            os.fchmod(descriptor, mode)
            if sync:
                os.fsync(descriptor)
    except BaseException:
        with suppress(FileNotFoundError):
            beside.unlink()
        raise
