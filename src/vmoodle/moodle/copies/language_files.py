"""The local language packs in a site's moodledata: read, and written file by file.

The files are the web account's, VMoodle may be root: no step on the way to them follows a symbolic
link. A reader finds each file as it was or as it is to be.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vmoodle.errors import Conflict, Refused, Unavailable, VMoodleError, changed_since
from vmoodle.moodle.copies.language_pack import FILE, LANGUAGE

Contents = Mapping[str, Mapping[str, bytes]]
"""The files of languages: contents by file name, by language."""
Writes = Mapping[str, Mapping[str, bytes | None]]
"""The files to write; None for one that goes."""

SUFFIX = "_local"
MOST_BYTES = 20_000_000
_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_BESIDE = ".vmoodle"


@dataclass(frozen=True)
class PackPlace:
    """Say where a site has its packs: its moodledata, and the directories below it."""

    dataroot: Path
    steps: tuple[str, ...] = ("lang",)

    @property
    def path(self) -> Path:
        """Return the directory, `$CFG->langlocalroot`."""
        return self.dataroot.joinpath(*self.steps)

    def has_language(self, language: str) -> bool:
        """Tell whether a language can be chosen on the site; English is in its code."""
        pack = self.dataroot / "lang" / language / "langconfig.php"
        return language == "en" or pack.is_file()


def pack_place(dataroot: Path, forced: object = None) -> PackPlace:
    """Return a site's place; `forced` is its `$CFG->langlocalroot`.

    Raise Refused `language.elsewhere` for one outside of its moodledata: other sites may use it.
    """
    if not forced:
        return PackPlace(dataroot)
    path = Path(str(forced))
    if not path.is_relative_to(dataroot):
        raise Refused(
            "language.elsewhere",
            f"The site has its own strings in {path}, which other sites may have too.",
            "Set $CFG->langlocalroot to a directory in the site's moodledata, or unset it.",
        )
    return PackPlace(dataroot, path.relative_to(dataroot).parts)


def read_packs(
    place: PackPlace, languages: frozenset[str] = frozenset(), file: str = ""
) -> dict[str, dict[str, bytes]]:
    """Return the files of the packs: of all languages and files, or only of those named.

    Raise Unavailable `language.unreadable`, Refused `language.link`, `language.size`.
    """
    found: dict[str, dict[str, bytes]] = {}
    size = 0
    with _faults(place, "read"), _directory(place, ()) as root:
        for name in _names(root) if root is not None else ():
            language = name.removesuffix(SUFFIX)
            is_meant = language in languages or not languages
            if not name.endswith(SUFFIX) or not is_meant or not LANGUAGE.fullmatch(language):
                continue
            with _directory(place, (name,)) as pack:
                for one in _names(pack) if pack is not None else ():
                    if FILE.fullmatch(one) and file in ("", one):
                        content = _read(one, pack)
                        size += len(content)
                        if size > MOST_BYTES:
                            raise _too_much()
                        found.setdefault(language, {})[one] = content
    return found


def write_packs(
    place: PackPlace, writes: Writes, *, seen: Mapping[str, Mapping[str, bytes | None]]
) -> None:
    """Write files, and remove those that go; all are on the disk before the first is changed.

    `seen` is what the caller goes by: Conflict `language.changed` is raised for a file that is
    another by now. Raise Unavailable `language.unwritable`, Refused `language.link`; nothing is
    changed then, but for what another process did meanwhile.
    """
    before = read_packs(place, frozenset(writes))
    for language, files in writes.items():
        for name in files:
            if before.get(language, {}).get(name) != seen.get(language, {}).get(name):
                raise strings_changed(language, name)
    old: dict[str, dict[str, bytes | None]] = {
        language: {name: before.get(language, {}).get(name) for name in files}
        for language, files in writes.items()
    }
    owner = _owner(place.dataroot)
    with _faults(place, "written"):
        for language, files in writes.items():
            with _directory(place, (language + SUFFIX,), make=owner) as pack:
                _prepare(pack, files, owner)
        try:
            for language, files in writes.items():
                with _directory(place, (language + SUFFIX,)) as pack:
                    _put(pack, files)
        except OSError:
            with suppress(OSError):
                for language, lost in old.items():
                    with _directory(place, (language + SUFFIX,), make=owner) as pack:
                        _prepare(pack, lost, owner)
                        _put(pack, lost)
            raise


def _prepare(pack: int | None, files: Mapping[str, bytes | None], owner: tuple[int, int]) -> None:
    try:
        for name, content in files.items():
            if content is not None:
                _write_beside(name, content, pack, owner)
    except OSError:
        for name in files:
            with suppress(OSError):
                os.unlink(name + _BESIDE, dir_fd=pack)
        raise


def _put(pack: int | None, files: Mapping[str, bytes | None]) -> None:
    for name, content in files.items():
        if content is not None:
            os.replace(name + _BESIDE, name, src_dir_fd=pack, dst_dir_fd=pack)
        else:
            with suppress(FileNotFoundError):
                os.unlink(name, dir_fd=pack)


def _write_beside(name: str, content: bytes, pack: int | None, owner: tuple[int, int]) -> None:
    with suppress(FileNotFoundError):  # what a killed call left
        os.unlink(name + _BESIDE, dir_fd=pack)
    descriptor = os.open(name + _BESIDE, _NEW, 0o600, dir_fd=pack)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fchown(descriptor, *owner)
        os.fchmod(descriptor, _mode(pack) & 0o666)
        os.fsync(descriptor)


def _names(directory: int) -> list[str]:
    return sorted(os.listdir(directory))


def _mode(pack: int | None) -> int:
    return stat.S_IMODE(os.fstat(pack).st_mode) if pack is not None else 0o660


def _read(name: str, pack: int | None) -> bytes:
    descriptor = os.open(name, _READ, dir_fd=pack)
    with os.fdopen(descriptor, "rb") as file:
        return file.read(MOST_BYTES + 1)


@contextmanager
def _directory(
    place: PackPlace, below: tuple[str, ...], make: tuple[int, int] | None = None
) -> Iterator[int | None]:
    """Open a directory, None where there is none; with `make` make it for that owner."""
    opened = [os.open(place.dataroot, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)]
    try:
        for step in (*place.steps, *below):
            if make is not None:
                _make(step, opened[-1], make)
            opened.append(os.open(step, _OPEN, dir_fd=opened[-1]))
        yield opened[-1]
    except FileNotFoundError:
        if len(opened) == 1 + len(place.steps) + len(below):
            raise
        yield None
    finally:
        for descriptor in opened:
            os.close(descriptor)


def _make(name: str, above: int, owner: tuple[int, int]) -> None:
    try:
        os.mkdir(name, 0o700, dir_fd=above)
    except FileExistsError:
        return
    made = os.open(name, _OPEN, dir_fd=above)
    try:
        os.fchown(made, *owner)
        os.fchmod(made, stat.S_IMODE(os.fstat(above).st_mode))
    finally:
        os.close(made)


def _owner(dataroot: Path) -> tuple[int, int]:
    """Return whose the files are; another account than root's makes them its own."""
    facts = dataroot.stat()
    return (facts.st_uid, facts.st_gid) if os.geteuid() == 0 else (-1, -1)


@contextmanager
def _faults(place: PackPlace, done: Literal["read", "written"]) -> Iterator[None]:
    try:
        yield
    except VMoodleError:
        raise
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            raise Refused(
                "language.link",
                f"A symbolic link, or a file, is in the place of a directory in {place.path}.",
                "Put what it leads to in its place.",
            ) from error
        raise Unavailable(
            "language.unreadable" if done == "read" else "language.unwritable",
            f"The site's own strings in {place.path} cannot be {done}: {error.strerror}.",
            "Check free space and rights; run VMoodle as root or as the web account.",
        ) from error


def strings_changed(language: str, file: str) -> Conflict:
    """Return the error for a file that somebody else has changed."""
    return changed_since(
        "language.changed",
        f"{language}{SUFFIX}/{file}",
        "All stays as it is; change the strings in the site's language customisation,"
        " or copy them anew.",
    )


def _too_much() -> Refused:
    return Refused(
        "language.size",
        f"The site's own strings are more than {MOST_BYTES // 1_000_000} MB.",
        "Copy one language, or one component.",
    )
