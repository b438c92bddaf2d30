"""The list of the files of a snapshot: one line each, itself an object of the store."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

from vmoodle.errors import Failed, InvalidInput

Layout = Literal["filedir", "tree"]
"""filedir: names are Moodle's content hashes, and lie in two levels; tree: names are paths."""

SHA256 = re.compile(r"[0-9a-f]{64}")
_CONTENT_HASH = re.compile(r"[0-9a-f]{40}")
_MAGIC = "vmoodle-files 1"
_MAX_PATH = 4000


@dataclass(frozen=True)
class FileEntry:
    """Say which content a file has, by its SHA-256 and bytes."""

    name: str
    sha256: str
    size: int


def path_of(name: str, layout: Layout) -> PurePosixPath:
    """Return where a file lies below its directory; raise InvalidInput for a trap."""
    if layout == "filedir":
        if not _CONTENT_HASH.fullmatch(name):
            raise InvalidInput(
                "store.file.name",
                f"{name[:80]!r} is no content hash of Moodle's.",
                "A filedir holds files named after the SHA-1 of their content, and nothing else.",
            )
        return PurePosixPath(name[:2], name[2:4], name)
    if (
        not name
        or len(name) > _MAX_PATH
        or not name.isprintable()
        or "\\" in name
        or any(part in ("", ".", "..") or len(part) > 255 for part in name.split("/"))
    ):
        raise InvalidInput(
            "store.file.name",
            f"{name[:80]!r} is no plain relative path.",
            "Rename the file: no `..`, no backslash, no control characters.",
        )
    return PurePosixPath(name)


def serialise(entries: Iterable[FileEntry], layout: Layout) -> bytes:
    """Return the list as text, sorted, so that equal files make equal lists."""
    ordered = sorted(entries, key=lambda entry: entry.name)
    lines = [f"{entry.sha256} {entry.size} {entry.name}" for entry in ordered]
    return "\n".join([f"{_MAGIC} {layout} {len(lines)}", *lines, ""]).encode()


def parse(data: bytes, layout: Layout) -> Mapping[str, FileEntry]:
    """Return the files by name; raise Failed (`store.list.damaged`) for anything but a list."""
    try:
        head, *lines, end = data.decode().split("\n")
        entries = {entry.name: entry for entry in (_entry(line, layout) for line in lines)}
        intact = not end and head == f"{_MAGIC} {layout} {len(entries)}"
    except (ValueError, InvalidInput) as error:
        raise _damaged(str(error)) from error
    if not intact:
        raise _damaged("its first or last line is wrong")
    return entries


def _entry(line: str, layout: Layout) -> FileEntry:
    sha256, size, name = line.split(" ", 2)
    if not SHA256.fullmatch(sha256) or not (size.isascii() and size.isdecimal()):
        raise ValueError(line[:80])
    path_of(name, layout)
    return FileEntry(name, sha256, int(size))


def _damaged(reason: str) -> Failed:
    return Failed(
        "store.list.damaged",
        f"A list of files cannot be read: {reason}.",
        "It was made by something else, or altered; restore another snapshot.",
    )
