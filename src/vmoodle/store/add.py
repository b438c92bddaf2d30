"""Put a directory's files: only what is new is read, compressed and sent."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from stat import S_ISREG

from vmoodle.errors import Conflict, InvalidInput
from vmoodle.store.blobs import Blobs, entry_of
from vmoodle.store.crowd import each
from vmoodle.store.file_list import FileEntry, Layout, path_of, serialise
from vmoodle.store.finding import Finding
from vmoodle.store.manifest import Part

Progress = Callable[[int, int], None]
"""Called with the files and bytes done so far; what it raises ends the work."""


@dataclass(frozen=True)
class AddedFiles:
    """Say what became of a directory's files: the part for the manifest, and what that took.

    `reused` files were known by name and not read; `written` are the bytes added at rest.
    """

    part: Part
    new: int
    reused: int
    written: int
    findings: list[Finding] = field(default_factory=list)


@dataclass(frozen=True)
class _Added:
    entry: FileEntry | None
    written: int = 0
    reused: bool = False
    finding: Finding | None = None


def walk(directory: Path) -> Iterator[tuple[str, Path]]:
    """Yield every entry below that is no directory, with its path below as the name, in order.

    Raise Conflict (`store.file.unreadable`) for a directory that cannot be listed.
    """
    for root, directories, files in os.walk(directory, onerror=_unlisted):
        directories.sort()
        for name in sorted(files):
            path = Path(root, name)
            yield path.relative_to(directory).as_posix(), path


def _unlisted(error: OSError) -> None:
    if isinstance(error, FileNotFoundError):
        return  # removed meanwhile
    raise _unreadable(Path(error.filename), error) from error


def walk_filedir(directory: Path) -> Iterator[tuple[str, Path]]:
    """Yield the files of a Moodle filedir by content hash; its warning.txt and the like not."""
    for name, path in walk(directory):
        try:
            if path_of(path.name, "filedir").as_posix() == name:
                yield path.name, path
        except InvalidInput:
            continue


def add_files(
    blobs: Blobs,
    part: str,
    files: Iterable[tuple[str, Path]],
    *,
    layout: Layout,
    before: Mapping[str, FileEntry],
    on_progress: Progress | None,
) -> AddedFiles:
    """Put the files and their list.

    `before` are the files of an earlier snapshot. In a filedir a name stands for a content, so one
    of the same name and size, whose content the store has, is not read again. Raise InvalidInput
    (`store.file.name`) for a name that no list may have.
    """

    def add(item: tuple[str, Path]) -> _Added:
        return _add(blobs, part, *item, layout, before if layout == "filedir" else {})

    entries: dict[str, FileEntry] = {}
    findings: list[Finding] = []
    new = reused = written = size = 0
    with blobs.place.batch():
        for added in each(add, files, threads=blobs.place.parallel):
            if added.finding:
                findings.append(added.finding)
            if added.entry is None:
                continue
            entries[added.entry.name] = added.entry
            size += added.entry.size
            written += added.written
            new += added.written > 0
            reused += added.reused
            if on_progress:
                on_progress(len(entries), size)
        listed = blobs.put_bytes(serialise(entries.values(), layout))
    total = sum(entry.size for entry in entries.values())
    return AddedFiles(
        Part(part, listed.ref, layout, len(entries), total),
        new,
        reused,
        written + listed.written,
        findings,
    )


def _add(
    blobs: Blobs,
    part: str,
    name: str,
    path: Path,
    layout: Layout,
    before: Mapping[str, FileEntry],
) -> _Added:
    path_of(name, layout)
    try:
        status = path.lstat()
        if not S_ISREG(status.st_mode):
            return _Added(None, finding=Finding("irregular", part, name, "It is no plain file."))
        known = before.get(name)
        if known and known.size == status.st_size and blobs.has(known.sha256):
            return _Added(known, reused=True)
        put = blobs.put_file(path)
    except FileNotFoundError:
        return _Added(None, finding=Finding("vanished", part, name, "It was gone when read."))
    except OSError as error:
        raise _unreadable(path, error) from error
    finding = None
    if layout == "filedir" and put.sha1 != name:
        finding = Finding(
            "contenthash", part, name, f"Its content has the hash {put.sha1}; it is kept as it is."
        )
    return _Added(entry_of(name, put), put.written, finding=finding)


def _unreadable(path: Path, error: OSError) -> Conflict:
    return Conflict(
        "store.file.unreadable",
        f"{path} cannot be read: {error.strerror}.",
        "Let VMoodle's account read it; look at the disk when it is an input/output error.",
    )
