"""The host map on disk: one small file per address, changed whole and atomically.

`web/HOST.json` answers for a host, `web/HOST+SEGMENT.json` for a site below a path of it (no host
and no segment holds a `+`), and `cli/SHORTNAME.json` is a symbolic link to the site's file. What
is no site has a file in `cli/` alone while it is lent to command-line calls. Readers are PHP
processes of the web account; the files hold database passwords and are for its group alone.
Writers take turns by a lock on the directory; readers need none.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from vmoodle.errors import Conflict, InvalidInput, Refused, Unavailable
from vmoodle.files import put_in_place, remove, write_beside
from vmoodle.hook.address import SiteAddress
from vmoodle.hook.entry import FORMAT, PublishedSite, compile_entry

FILE_MODE = 0o640
DIRECTORY_MODE = 0o750
DELETED = {"format": FORMAT, "state": "deleted"}
# Up to so many changed files are each synced to disk; above it, all file systems at once.
SYNC_SINGLY = 64
# The hook reads so many bytes in one go; a shorter file would cost it a second read to see its end.
READ_BYTES = 1024

_NAME = re.compile(r"[a-z0-9][a-z0-9.+_-]{0,249}")


class HostMap:
    """The map in a directory; `group` is the group id of the web server, None for our own.

    Every method that writes raises Unavailable `map.unwritable` when the disk or the rights do not
    allow it (what stood there stays), and Refused `map.link` when the map leads elsewhere by a
    symbolic link.
    """

    def __init__(self, directory: Path, group: int | None = None) -> None:
        self._web = directory / "web"
        self._cli = directory / "cli"
        self._directory = directory
        self._group = group

    def publish(self, site: PublishedSite) -> None:
        """Write a site's file, its new aliases', and at the first time the link by its shortname.

        Raise Conflict `map.taken` when another site's file stands at one of its addresses.
        """
        wanted = self._files_of(site)
        link = self._cli_link(site.shortname)
        with self._locked():
            for path in wanted:
                self._refuse_taken(path, site)
            for path, content in wanted.items():
                if path != self._file(site.address.key) and _content(path) == content:
                    continue
                self._write(path, content)
            self._link(link, self._file(site.address.key))

    def publish_several(self, sites: Iterable[PublishedSite]) -> int:
        """Publish these sites, and none when one cannot be compiled or written; return how many.

        Raise Conflict `map.taken` as `publish` does.
        """
        with self._locked():
            contents: dict[Path, bytes] = {}
            links: dict[Path, Path] = {}
            for site in sites:
                wanted = self._files_of(site)
                for path in wanted:
                    self._refuse_taken(path, site)
                contents |= wanted
                links[self._cli_link(site.shortname)] = self._file(site.address.key)
            self._write_changed(contents)
            for link, path in links.items():
                self._link(link, path)
        return len(links)

    def withdraw(
        self,
        shortname: str,
        address: SiteAddress,
        *,
        aliases: Sequence[str] = (),
        tombstone: bool,
    ) -> None:
        """Take a site off the map; with a tombstone its address answers 410 from now on.

        What stands there for another site stays; to withdraw a site twice is no error.
        """
        path = self._file(address.key)
        with self._locked():
            if _entry(path).get("shortname", shortname) == shortname:
                if tombstone:
                    self._write(path, _encode(DELETED))
                else:
                    path.unlink(missing_ok=True)
            for host in aliases:
                self._unlink_alias(self._file(host), shortname)
            self._cli_link(shortname).unlink(missing_ok=True)

    def withdraw_alias(self, shortname: str, host: str) -> None:
        """Take a host that redirects to the site off the map; what is another's stays."""
        path = self._file(host)
        with self._locked():
            self._unlink_alias(path, shortname)

    def lend(self, copy: PublishedSite) -> None:
        """Let command-line calls alone run on what is no site, by a name that no site can have.

        No web request reaches it: nothing stands for its address. Again is no error.
        """
        with self._locked():
            self._write(self._cli_link(_lent(copy.shortname)), _encode(compile_entry(copy)))

    def take_back(self, name: str) -> None:
        """Take what was lent off the map; nothing there is no error."""
        with self._locked():
            self._cli_link(_lent(name)).unlink(missing_ok=True)

    def sweep(self) -> None:
        """Remove what writers that were killed left beside the files of the map."""
        if not self._unfinished():
            return
        with self._locked():  # now nobody writes: none of them is anybody's
            remove(self._unfinished())

    def _unfinished(self) -> list[Path]:
        directories = (self._web, self._cli)
        return [
            path for directory in directories if directory.is_dir() for path in directory.glob(".*")
        ]

    def publish_all(
        self,
        sites: Iterable[PublishedSite],
        *,
        tombstones: Iterable[str] = (),
        lent: Iterable[str] = (),
    ) -> int:
        """Make the map hold these sites and these deleted addresses only; return how many sites.

        What is `lent` under these names stays as it is.

        The iterables are read while no other writer can change the map: what they read from the
        registry is not older than what a single publication wrote.
        """
        with self._locked():
            contents: dict[Path, bytes] = {}
            links: dict[Path, Path] = {}
            for key in tombstones:
                contents[self._file(key)] = _encode(DELETED)
            for site in sites:
                contents |= self._files_of(site)
                links[self._cli_link(site.shortname)] = self._file(site.address.key)
            self._write_changed(contents)
            for link, path in links.items():
                self._link(link, path)
            kept = {*contents, *links, *map(self._cli_link, lent)}
            for path in self._present():
                if path not in kept and not path.is_dir():
                    path.unlink(missing_ok=True)
        return len(links)

    def count(self) -> int:
        """Return how many addresses the map answers for."""
        return sum(1 for _ in self._web.glob("*.json")) if self._web.is_dir() else 0

    def read(self, address: SiteAddress) -> dict[str, Any] | None:
        """Return the entry that stands for an address, None when there is none.

        It is empty when the file cannot be used. It holds the database password in clear.
        """
        path = self._file(address.key)
        return _entry(path) if os.path.lexists(path) else None

    def differences(
        self,
        sites: Iterable[PublishedSite],
        *,
        tombstones: Iterable[str] = (),
        lent: Iterable[str] = (),
        held: Collection[str] = (),
    ) -> Iterator[str]:
        """Yield a sentence for each file that is missing, superfluous or not as it should be.

        What is `lent` under these names may be there or not, and so may what stands for the sites
        that are `held`, by their shortnames: their operations change it.
        """
        expected = {self._file(key): _encode(DELETED) for key in tombstones}
        links: dict[Path, Path] = {}
        for site in sites:
            if site.shortname in held:
                for path in self._files_of(site):
                    expected.pop(path, None)
                continue
            expected |= self._files_of(site)
            links[self._cli_link(site.shortname)] = self._file(site.address.key)
        for path, content in expected.items():
            said = self._difference(path, content)
            if said and _entry(path).get("shortname") not in held:
                yield f"{path.relative_to(self._directory)} {said}."
        for link, path in links.items():
            if not link.is_symlink() or link.readlink() != _leading(link, path):
                yield f"{link.relative_to(self._directory)} does not lead to its site."
        known = {*expected, *links, *map(self._cli_link, lent)}
        for path in sorted(self._present()):
            entry = {} if path in known else _entry(path)
            of_held = entry.get("shortname") in held or (path.is_symlink() and path.stem in held)
            if path not in known and entry != DELETED and not of_held:
                yield f"{path.relative_to(self._directory)} belongs to no site."

    def _difference(self, path: Path, content: bytes) -> str | None:
        """Tell what is wrong with a file's content, None when it is as it should be."""
        if not os.path.lexists(path):
            return "is missing from the map"
        return None if _content(path) == content else "is not as the registry has it"

    def _is_right(self, path: Path, content: bytes) -> bool:
        """Tell whether a file has its content and its rights."""
        if self._difference(path, content):
            return False
        status = path.stat()
        return status.st_mode & 0o777 == FILE_MODE and self._group in {None, status.st_gid}

    def _files_of(self, site: PublishedSite) -> dict[Path, bytes]:
        redirect = _encode(
            {"format": FORMAT, "shortname": site.shortname, "redirect": site.address.wwwroot}
        )
        try:
            entry = _encode(compile_entry(site))
        except (TypeError, ValueError) as error:
            raise InvalidInput(
                "forced.value",
                f"A setting of {site.shortname} cannot be written as JSON in UTF-8.",
                "`vmoodle forced list` shows what is forced; texts, numbers and lists are fine.",
            ) from error
        return {self._file(host): redirect for host in site.aliases} | {
            self._file(site.address.key): entry
        }

    def _unlink_alias(self, path: Path, shortname: str) -> None:
        entry = _entry(path)
        if "redirect" in entry and entry.get("shortname") == shortname:
            path.unlink(missing_ok=True)

    def _refuse_taken(self, path: Path, site: PublishedSite) -> None:
        owner = _entry(path).get("shortname", site.shortname)
        if owner != site.shortname:
            raise Conflict(
                "map.taken",
                f"{path.stem.replace('+', '/')} stands in the map for the site {owner}.",
                "`vmoodle hook rebuild` makes the map what the registry says.",
            )

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Make the directories, keep other writers out, and say plainly what the disk refuses."""
        try:
            for directory in (self._directory, self._web, self._cli):
                self._make(directory)
            descriptor = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                yield
            finally:
                os.close(descriptor)
        except OSError as error:
            raise Unavailable(
                "map.unwritable",
                f"The host map {self._directory} cannot be written: {error.strerror}.",
                "Free space, or run VMoodle as the account that owns its home. Sites keep serving "
                "as they were.",
            ) from error

    def _make(self, directory: Path) -> None:
        if directory.is_symlink():
            raise Refused(
                "map.link",
                f"{directory} is a symbolic link; the map is never written through one.",
                "Remove the link, then `vmoodle hook rebuild`.",
            )
        if directory.is_dir():
            return
        directory.mkdir(parents=True, exist_ok=True)
        if self._group is not None:
            os.chown(directory, -1, self._group)
        directory.chmod(DIRECTORY_MODE)

    def _write(self, path: Path, content: bytes) -> None:
        put_in_place({path: self._beside(path, content, sync=True)})

    def _write_changed(self, contents: Mapping[Path, bytes]) -> None:
        """Put files in their places after all of them are safe on the disk."""
        changed = [path for path, content in contents.items() if not self._is_right(path, content)]
        few = len(changed) <= SYNC_SINGLY
        written: dict[Path, Path] = {}
        try:
            for path in changed:
                written[path] = self._beside(path, contents[path], sync=few)
        except OSError:
            remove(written.values())
            raise
        if not few:
            os.sync()
        put_in_place(written)

    def _beside(self, path: Path, content: bytes, *, sync: bool) -> Path:
        return write_beside(path, content, mode=FILE_MODE, group=self._group, sync=sync)

    def _link(self, link: Path, path: Path) -> None:
        wanted = _leading(link, path)
        if link.is_symlink() and link.readlink() == wanted:
            return
        temporary = link.with_name(f".{link.name}")
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(wanted)
        temporary.replace(link)

    def _present(self) -> Iterator[Path]:
        """Yield every file of the map, and what a writer that was killed left beside them."""
        for directory in (self._web, self._cli):
            if directory.is_dir():
                yield from directory.iterdir()

    def _file(self, key: str) -> Path:
        return self._web / f"{_usable(key.replace('/', '+', 1))}.json"

    def _cli_link(self, shortname: str) -> Path:
        return self._cli / f"{_usable(shortname)}.json"


def _usable(name: str) -> str:
    """Return a name that is a file's of the map and leads nowhere else; raise InvalidInput."""
    if not _NAME.fullmatch(name):
        raise InvalidInput(
            "map.name",
            f"{name!r} cannot stand in the host map.",
            "Shortnames and addresses are lower case letters, digits, dots, - and _.",
        )
    return name


def _lent(name: str) -> str:
    """Return a name that no site can have, as it ends with `_`."""
    if not name.endswith("_"):
        raise ValueError("what is lent could be a site")
    return name


def _leading(link: Path, path: Path) -> Path:
    return Path("..") / path.relative_to(link.parent.parent)


def _encode(entry: Mapping[str, Any]) -> bytes:
    text = json.dumps(entry, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    return text.ljust(READ_BYTES)


def _content(path: Path) -> bytes | None:
    """Return what is in a file of the map, None when there is none that VMoodle wrote."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        with os.fdopen(descriptor, "rb") as file:
            return file.read()
    except OSError:
        return None


def _entry(path: Path) -> dict[str, Any]:
    """Return the entry in a file of the map, empty when there is none or it is damaged."""
    with suppress(ValueError):
        entry = json.loads(_content(path) or b"{}")
        if isinstance(entry, dict):
            return entry
    return {}
