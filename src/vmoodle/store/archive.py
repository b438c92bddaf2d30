"""A snapshot or template in one file, to carry to another store: tar, with the manifest first.

Each content is an object as it lies in a store (zstd, with a key encrypted), so it is checked and
unpacked one by one, never as a tree of files: the archive has no names that could lead anywhere.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from vmoodle.errors import Conflict, Failed, InvalidInput, Refused, Unavailable
from vmoodle.secret import Secret
from vmoodle.store import tar
from vmoodle.store.crowd import each
from vmoodle.store.durable import sync
from vmoodle.store.file_list import parse
from vmoodle.store.keys import Keys
from vmoodle.store.manifest import MAX_BYTES, BlobRef, Manifest, seal, unseal
from vmoodle.store.objects import ObjectDamaged, ObjectWriter, decode, encode_bytes, longest
from vmoodle.store.store import Store
from vmoodle.store.strict_json import Malformed, loads

_MANIFEST = "manifest.json"
_FOLDER = "contents/"
_IN_MEMORY = 256 << 10
_MAX_LIST = 1 << 30
_PIECE = 1 << 20


def export(
    manifest: Manifest,
    store: Store,
    path: Path,
    *,
    key: Secret | None = None,
    clear: bool = False,
) -> None:
    """Write a snapshot or template into one file (0600), whole and verified, or not at all.

    With `key` it is encrypted. What an encrypted store holds leaves it in clear only with `clear`:
    without either Refused (`store.archive.clear`). Raise Conflict (`store.archive.exists`),
    Unavailable (`store.archive.unwritable`), and what reading the store raises.
    """
    if store.encrypted and key is None and not clear:
        raise Refused(
            "store.archive.clear",
            "The store is encrypted; the archive would not be.",
            "Give the archive a key, or say that it is to be in clear.",
        )
    refuse_existing(path)
    keys = Keys([key] if key else [])
    aside = path.with_name(f".{path.name}.{os.urandom(6).hex()}.part")
    try:
        with _writing(path):
            descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with (
            _writing(path),
            os.fdopen(descriptor, "wb") as file,
            tempfile.TemporaryDirectory(prefix=".vmoodle-", dir=path.parent) as spool,
        ):
            _write(manifest, store, keys, file, Path(spool))
            file.flush()
            os.fsync(file.fileno())
        with _writing(path):
            os.link(aside, path)
            sync(path.parent)
    finally:
        with contextlib.suppress(OSError):
            aside.unlink()


def refuse_existing(path: Path) -> None:
    """Raise Conflict (`store.archive.exists`) where something is: an archive is a new file."""
    if path.exists() or path.is_symlink():
        raise Conflict("store.archive.exists", f"{path} exists already.", "Choose another name.")


def inspect(path: Path, *, key: Secret | None = None) -> Manifest:
    """Return the manifest of an archive without checking the rest; raise as `import_`."""
    keys = Keys([key] if key else [])
    with _reading(path):
        for member in tar.members(path):
            return _manifest(path, member, keys)
    raise _damaged(path, "it is empty")


def import_(path: Path, store: Store, *, key: Secret | None = None) -> Manifest:
    """Put what an archive holds into the store, after checking all of it; return its manifest.

    One that the store has already is left as it is. Raise InvalidInput (`store.archive.truncated`,
    `store.archive.damaged`, `store.archive.unreadable`), Refused (`store.key.missing`,
    `store.key.wrong`, `store.key.unneeded`), Conflict (`store.manifest.exists`) for another of
    that id. Then nothing was imported.
    """
    keys = Keys([key] if key else [])
    with _reading(path):
        manifest, contents = _index(path, keys)
        for _ in each(lambda one: _check(path, one, keys), contents, threads=os.cpu_count() or 1):
            pass
        if manifest.id in store.manifest_ids():
            if store.read_manifest(manifest.id) == manifest:
                return manifest
            raise Conflict(
                "store.manifest.exists",
                f"The store has another snapshot or template {manifest.id}.",
                "Delete that one first.",
            )
        with store.writing():

            def put(one: _Content) -> None:
                if not store.has(one.ref):
                    with _opened(path, one, keys) as stream:
                        if store.put_stream(stream) != one.ref:
                            raise _damaged(path, "it changes while it is read")

            for _ in each(put, contents, threads=4):
                pass
            store.write_manifest(manifest)
    return manifest


@dataclass(frozen=True)
class _Content:
    ref: BlobRef
    member: tar.Member


def _write(manifest: Manifest, store: Store, keys: Keys, file: BinaryIO, spool: Path) -> None:
    when = int(manifest.created.timestamp())

    def put(name: str, size: int) -> None:
        file.write(tar.header_of(name, size, when))

    def encode(ref: BlobRef) -> tuple[BlobRef, bytes | Path]:
        if ref.size <= _IN_MEMORY:
            return ref, encode_bytes(b"".join(store.chunks(ref)), keys.current)
        aside = spool / ref.sha256
        with _writing(aside), aside.open("wb") as sink:
            writer = ObjectWriter(sink, keys.current)
            for chunk in store.chunks(ref):
                writer.write(chunk)
            writer.close()
        return ref, aside

    document = seal(manifest, keys)
    with _writing(spool):
        put(_MANIFEST, len(document))
        file.write(document + tar.padding(len(document)))
    for ref, encoded in each(encode, _contents(manifest, store), threads=os.cpu_count() or 1):
        name = _FOLDER + keys.names(ref.sha256)[0]
        with _writing(spool):
            if isinstance(encoded, bytes):
                put(name, len(encoded))
                file.write(encoded + tar.padding(len(encoded)))
                continue
            size = encoded.stat().st_size
            put(name, size)
            with encoded.open("rb") as source:
                while piece := source.read(_PIECE):
                    file.write(piece)
            file.write(tar.padding(size))
            encoded.unlink()
    with _writing(spool):
        file.write(tar.ending(file.tell()))


def _contents(manifest: Manifest, store: Store) -> Iterator[BlobRef]:
    """Yield every content once: those of the parts in their order, then the files by hash."""
    parts = list(dict.fromkeys(part.blob for part in manifest.parts))
    yield from parts
    files = {
        BlobRef(entry.sha256, entry.size)
        for part in manifest.parts
        if part.layout
        for entry in store.files(manifest, part.name).values()
    }
    yield from sorted(files - set(parts), key=lambda ref: ref.sha256)


def _index(path: Path, keys: Keys) -> tuple[Manifest, list[_Content]]:
    """Return the manifest and where its contents lie; they must all be there, and nothing else."""
    members = tar.members(path)
    first = next(members, None)
    if first is None:
        raise _damaged(path, "it is empty")
    manifest = _manifest(path, first, keys)
    contents: list[_Content] = []

    def take(ref: BlobRef) -> _Content:
        member = next(members, None)
        if member is None or member.name != _FOLDER + keys.names(ref.sha256)[0]:
            raise _damaged(path, f"the content {ref.sha256} is not where it must be")
        if member.size > longest(ref.size):
            raise _damaged(path, f"the content {ref.sha256} is longer than the manifest says")
        contents.append(_Content(ref, member))
        return contents[-1]

    files: set[BlobRef] = set()
    parts = dict.fromkeys(part.blob for part in manifest.parts)
    where = {ref: take(ref) for ref in parts}
    for part in manifest.parts:
        if part.layout is None:
            continue
        if part.blob.size > _MAX_LIST:
            raise _damaged(path, "a list of files is too long")
        with _opened(path, where[part.blob], keys) as stream:
            entries = parse(stream.read(), part.layout).values()
        if len(entries) != part.files or sum(entry.size for entry in entries) != part.bytes:
            raise _damaged(path, f"the list of {part.name} is not the manifest's")
        files |= {BlobRef(entry.sha256, entry.size) for entry in entries}
    for ref in sorted(files - set(parts), key=lambda ref: ref.sha256):
        take(ref)
    if next(members, None) is not None:
        raise _damaged(path, "it holds more than the manifest says")
    return manifest, contents


def _manifest(path: Path, member: tar.Member, keys: Keys) -> Manifest:
    if member.name != _MANIFEST or member.size > MAX_BYTES:
        raise _damaged(path, "it does not begin with a manifest")
    with tar.open_member(path, member) as window:
        document = window.read()
    sealed = loads(document, MAX_BYTES)
    seal_of = sealed.get("seal") if isinstance(sealed, dict) else None
    wanted = seal_of.get("key") if isinstance(seal_of, dict) else None
    if wanted and not keys:
        raise _key(
            "store.key.missing", path, "is encrypted and no key was given", _printable(wanted)
        )
    if wanted and wanted not in keys.ids:
        raise _key("store.key.wrong", path, "is encrypted with another key", _printable(wanted))
    if keys and not wanted:
        raise _key("store.key.unneeded", path, "is not encrypted, but a key was given", "")
    return unseal(document, keys, str(path))


def _printable(identity: object) -> str:
    return re.sub(r"[^0-9a-f]", "?", str(identity)[:32])


def _check(path: Path, content: _Content, keys: Keys) -> None:
    with _opened(path, content, keys) as stream:
        while stream.read(_PIECE):
            pass


class _Verified:
    """Read a content of the archive; its end is reached only when its hash is right."""

    def __init__(self, chunks: Iterator[bytes], path: Path, ref: BlobRef) -> None:
        self._chunks = chunks
        self._path = path
        self._ref = ref
        self._digest = hashlib.sha256()
        self._size = 0
        self._rest = b""

    def read(self, size: int = -1, /) -> bytes:
        """Return up to `size` bytes; all with a negative one."""
        if size < 0:
            return b"".join(iter(lambda: self.read(_PIECE), b""))
        if not self._rest:
            self._rest = next(self._chunks, b"")
            self._digest.update(self._rest)
            self._size += len(self._rest)
            if not self._rest and (self._size, self._digest.hexdigest()) != (
                self._ref.size,
                self._ref.sha256,
            ):
                raise _damaged(self._path, f"the content {self._ref.sha256} is another")
        data, self._rest = self._rest[:size], self._rest[size:]
        return data


@contextlib.contextmanager
def _opened(path: Path, content: _Content, keys: Keys) -> Iterator[_Verified]:
    with tar.open_member(path, content.member) as window:
        try:
            yield _Verified(decode(window, keys, content.ref.size), path, content.ref)
        except ObjectDamaged as error:
            raise _damaged(path, f"of the content {content.ref.sha256}, {error}") from error


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except tar.NotPlain as error:
        if error.truncated:
            raise InvalidInput(
                "store.archive.truncated",
                f"The archive {path} ends too early.",
                "Copy it again, whole. Nothing was imported.",
            ) from error
        raise _damaged(path, str(error)) from error
    except Malformed as error:
        raise _damaged(path, str(error)) from error
    except Failed as error:
        if error.code not in ("store.manifest.damaged", "store.list.damaged"):
            raise
        raise _damaged(path, error.message) from error
    except OSError as error:
        raise InvalidInput(
            "store.archive.unreadable",
            f"The archive {path} cannot be read: {error.strerror}.",
            "Check the path and who may read it.",
        ) from error


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Unavailable(
            "store.archive.unwritable",
            f"The archive cannot be written in {path.parent}: {error.strerror}.",
            "Free space there, or choose another directory.",
        ) from error


def _damaged(path: Path, reason: str) -> InvalidInput:
    return InvalidInput(
        "store.archive.damaged",
        f"The archive {path} is damaged or was altered: {reason}.",
        "Nothing was imported. Copy it again, or export it again.",
    )


def _key(code: str, path: Path, reason: str, identity: str) -> Refused:
    hint = f"Give the key whose id is {identity}." if identity else "Import it without a key."
    return Refused(code, f"The archive {path} {reason}.", hint)
