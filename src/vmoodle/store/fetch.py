"""Get contents back: whole and verified, or not at all."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from vmoodle.errors import Refused, Unavailable
from vmoodle.store.add import Progress
from vmoodle.store.blobs import Blobs
from vmoodle.store.crowd import each
from vmoodle.store.durable import hard_link, reflink, sync, sync_all
from vmoodle.store.file_list import FileEntry, Layout, path_of
from vmoodle.store.manifest import BlobRef


@dataclass(frozen=True)
class Modes:
    """Say which rights, and owner (uid, gid), fetched files and their directories get."""

    file: int = 0o660
    directory: int = 0o2770
    owner: tuple[int, int] | None = None


@dataclass(frozen=True)
class FetchedFiles:
    """Say where the files came from: the store, another directory without a copy, or there."""

    fetched: int
    linked: int
    present: int
    bytes: int


@dataclass(frozen=True)
class Source:
    """A directory of the same layout whose files may be shared instead of fetched.

    With `trusted`, name and size are proof enough (a filedir that is verified otherwise); without,
    each file is read and compared. With `hard` links are made where there is no reflink: the two
    files are then one, with one owner.
    """

    directory: Path
    trusted: bool = False
    hard: bool = True


def get(blobs: Blobs, ref: BlobRef, target: Path, modes: Modes) -> None:
    """Write a content into a file that appears when it is whole; one that is there is replaced."""
    with _beside(target) as temporary:
        _fill(blobs, ref, temporary, modes)
        with _target_errors(target):
            sync(temporary)
    with _target_errors(target):
        sync(target.parent)


def fetch_files(
    blobs: Blobs,
    files: Mapping[str, FileEntry],
    directory: Path,
    *,
    layout: Layout,
    source: Source | None,
    modes: Modes,
    on_progress: Progress | None,
) -> FetchedFiles:
    """Make the directory hold the files; what is there already and right is left alone.

    Files besides them stay. Raise Refused (`store.target.link`) when a symbolic link stands where
    a directory of the target should, Unavailable (`store.target`) when it cannot be written.
    """
    directories = _Directories(directory, modes)

    def fetch(entry: FileEntry) -> tuple[str, int]:
        inner = path_of(entry.name, layout)
        target = directories.make(inner.parent.as_posix()) / inner.name
        return _fetch(
            blobs, entry, target, source.directory / inner if source else None, source, modes
        )

    counts, done, size = {"fetched": 0, "linked": 0, "present": 0}, 0, 0
    directories.make(".")
    for how, length in each(fetch, files.values(), threads=blobs.place.parallel):
        counts[how] += 1
        done, size = done + 1, size + length
        if on_progress:
            on_progress(done, size)
    with _target_errors(directory):
        sync_all(directory, ())
    return FetchedFiles(**counts, bytes=size)


def _fetch(
    blobs: Blobs,
    entry: FileEntry,
    target: Path,
    shared: Path | None,
    source: Source | None,
    modes: Modes,
) -> tuple[str, int]:
    if _holds(target, entry, trusted=False):
        return "present", entry.size
    if shared and source and _holds(shared, entry, trusted=source.trusted):
        with _beside(target) as temporary:
            if _share(shared, temporary, source, modes):
                return "linked", entry.size
            _fill(blobs, BlobRef(entry.sha256, entry.size), temporary, modes)
            return "fetched", entry.size
    with _beside(target) as temporary:
        _fill(blobs, BlobRef(entry.sha256, entry.size), temporary, modes)
    return "fetched", entry.size


def _share(shared: Path, temporary: Path, source: Source, modes: Modes) -> bool:
    with _target_errors(temporary):
        if reflink(shared, temporary):
            _hand_over(temporary, modes)
            return True
        return source.hard and hard_link(shared, temporary)


def _holds(path: Path, entry: FileEntry, *, trusted: bool) -> bool:
    try:
        if path.is_symlink() or not path.is_file() or path.stat().st_size != entry.size:
            return False
        if trusted:
            return True
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == entry.sha256
    except OSError:
        return False


def _fill(blobs: Blobs, ref: BlobRef, temporary: Path, modes: Modes) -> None:
    with _target_errors(temporary):
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        for chunk in blobs.chunks(ref):
            with _target_errors(temporary):
                file.write(chunk)
        with _target_errors(temporary):
            file.flush()
            _hand_over(temporary, modes)


def _hand_over(path: Path, modes: Modes) -> None:
    if modes.owner:
        os.chown(path, *modes.owner)
    path.chmod(modes.file)


class _Directories:
    """Make directories below one, once each, and never through a symbolic link."""

    def __init__(self, root: Path, modes: Modes) -> None:
        self._root = root
        self._modes = modes
        self._made: set[str] = set()
        self._lock = threading.Lock()

    def make(self, inner: str) -> Path:
        with self._lock, _target_errors(self._root):
            if inner not in self._made:
                self._make(self._root, parents=True)
                path = self._root
                for part in inner.split("/"):
                    path = path / part
                    self._make(path, parents=False)
                self._made.add(inner)
        return self._root / inner

    def _make(self, path: Path, *, parents: bool) -> None:
        try:
            path.mkdir(mode=0o700, parents=parents)
        except FileExistsError:
            if path.is_symlink() or not path.is_dir():
                raise Refused(
                    "store.target.link",
                    f"{path} is not a directory of its own.",
                    "Files are put only below real directories; move it away.",
                ) from None
            return
        if self._modes.owner:
            os.chown(path, *self._modes.owner)
        path.chmod(self._modes.directory)


@contextlib.contextmanager
def _beside(target: Path) -> Iterator[Path]:
    """Yield a path beside the target that takes its name when all went well, else is removed."""
    temporary = target.with_name(f".{os.urandom(8).hex()}.part")
    try:
        yield temporary
        with _target_errors(target):
            temporary.replace(target)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


@contextlib.contextmanager
def _target_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        hint = "Let VMoodle's account write there."
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            hint = "Free space there and run it again; what is whole is not fetched again."
        raise Unavailable(
            "store.target", f"{path.parent} cannot be written: {error.strerror}.", hint
        ) from error
