"""The contents that a site's database names, and which of them its file pool has not.

Each file of Moodle's is a row of `files`, its content lies in `filedir` by the SHA-1 of its bytes.
A directory is a row too, of no bytes; a row with a reference may name what never lay in the pool.
Source: Moodle 4.5, `lib/filestorage/file_storage.php`, `lib/filestorage/file_system_filedir.php`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from vmoodle.engines.protocol import SiteConnection
from vmoodle.errors import NotFound, Unavailable

_NAME = re.compile(r"[0-9a-f]{40}")
_NAMED = (
    "SELECT DISTINCT contenthash FROM {files}"
    " WHERE filesize > 0 AND referencefileid IS NULL AND contenthash > %s"
    " ORDER BY contenthash LIMIT 50000"
)
_ANY = "SELECT 1 FROM {files} WHERE filesize > 0 AND referencefileid IS NULL LIMIT 1"


def named(connection: SiteConnection) -> Iterator[str]:
    """Yield each content that the database names, by its hash, in order."""
    last = ""
    while rows := connection.query(_NAMED, (last,)):
        for row in rows:
            yield str(row[0])
        last = str(rows[-1][0])


def stored(filedir: Path) -> set[str]:
    """Return the hashes of the contents in a file pool, none for one that is missing.

    Raise Unavailable (`filedir.unreadable`).
    """
    return set(_stored(filedir))


def missing(connection: SiteConnection, filedir: Path) -> list[str]:
    """Return the contents that the database names and the pool has not, in order.

    Raise Unavailable (`filedir.unreadable`).
    """
    there = stored(filedir)
    return [name for name in named(connection) if name not in there]


def holds_any(filedir: Path) -> bool:
    """Tell whether the pool has any content at all; raise Unavailable (`filedir.unreadable`)."""
    return next(_stored(filedir), None) is not None


def is_lost(connection: SiteConnection, filedir: Path) -> bool:
    """Tell whether the pool has no content at all although the database names some."""
    return not holds_any(filedir) and bool(connection.query(_ANY))


def refuse_lost(connection: SiteConnection, dataroot: Path) -> None:
    """Raise where a site's files are gone, as those of a file system that is not mounted.

    NotFound (`filedir.missing`) without moodledata, Unavailable (`filedir.lost`) without contents
    though the database names some, Unavailable (`filedir.unreadable`).
    """
    if not dataroot.is_dir():
        raise NotFound(
            "filedir.missing",
            f"{dataroot} is no directory.",
            "Mount it or put it back.",
        )
    if is_lost(connection, dataroot / "filedir"):
        raise lost(dataroot / "filedir")


def lost(filedir: Path) -> Unavailable:
    """Return the error for a pool that has none of the contents its database names."""
    return Unavailable(
        "filedir.lost",
        f"{filedir} is missing or empty, and the site's database names files that lie in it.",
        "Mount it or put it back, then try again. A site that is to go without its files is "
        "deleted without a snapshot.",
    )


def _stored(filedir: Path) -> Iterator[str]:
    try:
        # A mount point without its file system is an empty directory.
        for first in _below(str(filedir)):
            if len(first.name) == 2 and first.is_dir():
                for second in _below(first.path):
                    if len(second.name) == 2 and second.is_dir():
                        yield from (e.name for e in _below(second.path) if _NAME.fullmatch(e.name))
    except OSError as error:
        raise Unavailable(
            "filedir.unreadable",
            f"{error.filename or filedir} cannot be read: {error.strerror}.",
            "Mount it anew, or let VMoodle's account read it.",
        ) from error


def _below(path: str) -> list[os.DirEntry[str]]:
    """Return what a directory holds; nothing for one that was removed meanwhile."""
    try:
        with os.scandir(path) as found:
            return list(found)
    except FileNotFoundError:
        return []
