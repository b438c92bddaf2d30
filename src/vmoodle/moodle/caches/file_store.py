"""Moodle's file store: a cache is a directory, and is dropped by taking it away whole.

The files are the web account's, VMoodle may be root: no step follows a symbolic link that the web
account could have laid, and a store elsewhere is touched only where it belongs to the same account.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from vmoodle.errors import Refused, Unavailable
from vmoodle.moodle.caches.stores import CachePlace, CacheStore

_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_DROPPED = ".vmoodle-dropped-"
# What opening a symbolic link or a file as a directory gives.
_LINK = (errno.ELOOP, errno.ENOTDIR)


def drop_from_files(place: CachePlace, store: CacheStore, caches: Sequence[str]) -> None:
    """Drop the named caches; one that is not there is no error. Moodle makes them anew.

    A reader sees a cache whole or not at all: its directory is renamed, then removed. Raise
    Refused `cache.link`, `cache.owner`, or Unavailable `cache.unwritable`.
    """
    try:
        with _store_directory(place, store) as directory:
            if directory is not None:
                _drop(directory, caches)
    except OSError as error:
        if error.errno in _LINK:
            raise _link(store) from error
        raise Unavailable(
            "cache.unwritable",
            f"The cache store {store.name} cannot be emptied: {error.strerror}.",
            "Run VMoodle as root or as the web account.",
        ) from error


def directory_name(definition: str) -> str:
    """Return a cache's directory: cachestore_file::initialise, 4.5 and 5.1."""
    return re.sub(r"[^a-zA-Z0-9]+", "_", definition)


def _drop(directory: int, caches: Sequence[str]) -> None:
    names = [directory_name(cache) for cache in caches]
    # What a killed call left behind goes with it.
    names += [name for name in os.listdir(directory) if name.startswith(_DROPPED)]
    dropped = []
    for name in names:
        aside = name if name.startswith(_DROPPED) else _DROPPED + secrets.token_hex(8)
        with suppress(FileNotFoundError):
            if aside != name:
                os.rename(name, aside, src_dir_fd=directory, dst_dir_fd=directory)
            dropped.append(aside)
    for name in dropped:
        _remove(name, directory)


def _remove(name: str, directory: int) -> None:
    with suppress(FileNotFoundError):
        if stat.S_ISDIR(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode):
            # Resists links laid meanwhile: it opens each directory before it empties it.
            shutil.rmtree(name, dir_fd=directory)
        else:
            os.unlink(name, dir_fd=directory)


@contextmanager
def _store_directory(place: CachePlace, store: CacheStore) -> Iterator[int | None]:
    """Open the store's directory; None where it has none yet."""
    own = Path("cachestore_file") / re.sub(r"[^a-zA-Z0-9._-]+", "", store.name)
    elsewhere = store.option("path")
    steps: tuple[str, ...] = ()
    if elsewhere:
        base = Path(elsewhere)
    elif place.cachedir is not None:
        base, steps = place.cachedir, own.parts
    else:
        base, steps = place.dataroot, ("cache", *own.parts)
    opened: list[int] = []
    try:
        opened.append(os.open(base, _OPEN))
        if elsewhere:
            _refuse_foreign(opened[0], place, store)
        for step in steps:
            opened.append(os.open(step, _OPEN | os.O_NOFOLLOW, dir_fd=opened[-1]))
    except FileNotFoundError:
        _close(opened)
        yield None
        return
    except BaseException:
        _close(opened)
        raise
    try:
        yield opened[-1]
    finally:
        _close(opened)


def _close(opened: list[int]) -> None:
    for descriptor in opened:
        os.close(descriptor)


def _refuse_foreign(descriptor: int, place: CachePlace, store: CacheStore) -> None:
    """Refuse a path, which the site itself writes in muc/config.php, to another account's files."""
    if os.fstat(descriptor).st_uid != place.dataroot.stat().st_uid:
        raise Refused(
            "cache.owner",
            f"The cache store {store.name} is in a directory of another account than the site's.",
            "Give that directory to the web account, or vmoodle cache purge.",
        )


def _link(store: CacheStore) -> Refused:
    return Refused(
        "cache.link",
        f"The cache store {store.name} lies behind a symbolic link, or a file is in its place.",
        "Set $CFG->cachedir to the directory itself, or vmoodle cache purge.",
    )
