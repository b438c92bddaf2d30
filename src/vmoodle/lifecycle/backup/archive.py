"""A backup in one file: tar, compressed by zstd or not, with a list of all that is in it first.

It has the names of the home, so that tar alone can unpack it too. What is read is believed only as
far as the list goes: the home's own files and those of the map, each whole by its SHA-256.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, cast

import zstandard

from vmoodle.errors import Conflict, InvalidInput, Unavailable
from vmoodle.files import replacing

FORMAT = 1
LIST = "backup.json"
DATABASES = ("registry.sqlite3", "operations.sqlite3")
FILES = ("vmoodle.toml", "key", "node", "demo.json")
REQUIRED = frozenset({"key", "registry.sqlite3"})
ENDINGS = (".tar.zst", ".tar")

_LONGEST_LIST = 64 << 20
_PIECE = 1 << 20
_MAGIC = b"\x28\xb5\x2f\xfd"
_MAP_NAME = r"[a-z0-9][a-z0-9.+_-]{0,249}\.json"
_MAP_FILE = re.compile(rf"map/(?:web|cli)/{_MAP_NAME}")
_MAP_LINK = re.compile(rf"map/cli/{_MAP_NAME}")
_MAP_TARGET = re.compile(rf"\.\./web/{_MAP_NAME}")


@dataclass(frozen=True)
class StoredFile:
    """A file of the home as the list has it."""

    size: int
    sha256: str


@dataclass(frozen=True)
class Contents:
    """What a backup holds: when and of what it was taken, its files and the map's links."""

    created: str
    vmoodle: str
    node: str
    home: str
    sites: int
    files: Mapping[str, StoredFile]
    links: Mapping[str, str]


def refuse_name(path: Path) -> None:
    """Raise InvalidInput for a name of another kind of file, Conflict where something is."""
    if not path.name.endswith(ENDINGS):
        raise InvalidInput(
            "backup.name",
            f"{path} is no name for a backup.",
            "Let it end with .tar.zst, or with .tar for one that is not compressed.",
        )
    if path.exists() or path.is_symlink():
        raise Conflict("backup.exists", f"{path} exists already.", "Choose another name.")


def is_ours(name: str) -> bool:
    """Tell whether a name is that of a file a backup holds."""
    return name in DATABASES or name in FILES or _MAP_FILE.fullmatch(name) is not None


def is_link(name: str, target: str) -> bool:
    """Tell whether it is a link of the map, to a file of the map."""
    return bool(_MAP_LINK.fullmatch(name) and _MAP_TARGET.fullmatch(target))


def describe(directory: Path) -> tuple[dict[str, StoredFile], dict[str, str]]:
    """Return the files and the links below a directory by their names in a backup."""
    files: dict[str, StoredFile] = {}
    links: dict[str, str] = {}
    for path in sorted(directory.rglob("*")):
        name = path.relative_to(directory).as_posix()
        if path.is_symlink():
            links[name] = str(path.readlink())
        elif path.is_file():
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            files[name] = StoredFile(path.stat().st_size, digest)
    return files, links


def write(path: Path, contents: Contents, directory: Path) -> None:
    """Write a new backup (0600) of what lies in a directory, whole or not at all.

    Raise Unavailable (`backup.unwritable`).
    """
    document = json.dumps({"format": FORMAT} | asdict(contents), indent=1).encode()
    try:
        with ExitStack() as stack:
            sink: IO[bytes] = stack.enter_context(replacing(path, mode=0o600))
            if path.name.endswith(".zst"):
                compressor = zstandard.ZstdCompressor(write_checksum=True)
                writer = compressor.stream_writer(sink, closefd=False)
                sink = cast("IO[bytes]", stack.enter_context(writer))
            archive = stack.enter_context(tarfile.open(fileobj=sink, mode="w|"))
            archive.addfile(_entry(LIST, len(document)), io.BytesIO(document))
            for name, stored in contents.files.items():
                with (directory / name).open("rb") as file:
                    archive.addfile(_entry(name, stored.size), file)
            for name, target in contents.links.items():
                entry = _entry(name, 0)
                entry.type, entry.linkname = tarfile.SYMTYPE, target
                archive.addfile(entry)
    except OSError as error:
        raise Unavailable(
            "backup.unwritable",
            f"The backup {path} cannot be written: {error.strerror}.",
            "Check that the directory exists, is yours to write and has space left.",
        ) from error


def listed(path: Path) -> Contents:
    """Return the list of a backup, the rest unread; raise as `unpack`."""
    with _reading(path) as archive:
        return _list(path, archive)


def unpack(path: Path, directory: Path) -> Contents:
    """Put what a backup holds into an empty directory, each file checked; return its list.

    Raise InvalidInput (`backup.unreadable`, `backup.damaged`).
    """
    with _reading(path) as archive:
        contents = _list(path, archive)
        missing = {*contents.files, *contents.links}
        while (member := archive.next()) is not None:
            if member.name not in missing:
                raise damaged(path, "it holds something that is not on its list")
            missing.remove(member.name)
            place = directory / member.name
            place.parent.mkdir(parents=True, exist_ok=True)
            if member.name in contents.links:
                if not member.issym() or member.linkname != contents.links[member.name]:
                    raise damaged(path, f"{member.name} is not as its list says")
                place.symlink_to(member.linkname)
            elif not _extract(archive, member, place, contents.files[member.name]):
                raise damaged(path, f"{member.name} is not as its list says")
        if missing:
            raise damaged(path, f"it ends too early: {min(missing)} is missing")
    return contents


def _entry(name: str, size: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = size, 0o600
    return entry


def _list(path: Path, archive: tarfile.TarFile) -> Contents:
    first = archive.next()
    if first is None or first.name != LIST or not first.isreg() or first.size > _LONGEST_LIST:
        raise damaged(path, "it does not begin with its list")
    file = archive.extractfile(first)
    return _contents(path, file.read() if file else b"")


def _extract(
    archive: tarfile.TarFile, member: tarfile.TarInfo, place: Path, wanted: StoredFile
) -> bool:
    """Write a member to its place (0600) and tell whether it is what the list says."""
    source = archive.extractfile(member) if member.isreg() else None
    if source is None or member.size != wanted.size:
        return False
    digest = hashlib.sha256()
    with place.open("xb") as file:
        place.chmod(0o600)
        while piece := source.read(_PIECE):
            digest.update(piece)
            file.write(piece)
    return digest.hexdigest() == wanted.sha256


def _contents(path: Path, document: bytes) -> Contents:
    try:
        said: dict[str, Any] = json.loads(document)
        if said.pop("format") != FORMAT:
            raise damaged(path, "it is of a format that this release does not know")
        said["files"] = {name: StoredFile(**file) for name, file in said["files"].items()}
        contents = Contents(**said)
        known = {name for name in contents.files if is_ours(name)}
        links = all(is_link(name, target) for name, target in contents.links.items())
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise damaged(path, "its list cannot be read") from error
    if known != set(contents.files) or not links or known & set(contents.links):
        raise damaged(path, "its list names what is no part of a home")
    if not known >= REQUIRED:
        raise damaged(path, "it has no key or no registry")
    return contents


@contextmanager
def _reading(path: Path) -> Iterator[tarfile.TarFile]:
    try:
        with path.open("rb") as file:
            compressed = file.read(len(_MAGIC)) == _MAGIC
            file.seek(0)
            source = _decompressing(file) if compressed else file
            with tarfile.open(fileobj=source, mode="r|") as archive:
                yield archive
            # To its end, for the checksum of the compression stands there.
            while source.read(_PIECE):
                pass
    except (tarfile.TarError, zstandard.ZstdError, EOFError) as error:
        raise damaged(path, "it is no whole archive") from error
    except OSError as error:
        raise InvalidInput(
            "backup.unreadable",
            f"The backup {path} cannot be read: {error.strerror}.",
            "Check the path, who may read it, and the space for what it holds.",
        ) from error


def _decompressing(file: IO[bytes]) -> IO[bytes]:
    reader = zstandard.ZstdDecompressor().stream_reader(file, closefd=False)
    return cast("IO[bytes]", reader)


def damaged(path: Path, reason: str) -> InvalidInput:
    """Return the error for a backup that is not as it must be."""
    return InvalidInput(
        "backup.damaged",
        f"The backup {path} is damaged, was altered, or is none: {reason}.",
        "Copy it again, or choose another one. Nothing was changed.",
    )
