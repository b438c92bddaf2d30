"""Contents by their hash: put once, found again, and never handed out unverified."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from vmoodle.errors import Conflict, Failed, Unavailable
from vmoodle.store.file_list import FileEntry
from vmoodle.store.keys import Keys
from vmoodle.store.manifest import BlobRef
from vmoodle.store.objects import (
    ObjectDamaged,
    ObjectWriter,
    Readable,
    decode,
    encode_bytes,
    read_up_to,
)
from vmoodle.store.place import FAN_OUT, SMALL, Place

_PIECE = 1 << 20


@dataclass(frozen=True)
class Put:
    """Say what was put: its reference, and the bytes at rest that this added (0: known)."""

    ref: BlobRef
    written: int
    sha1: str = ""


class Blobs:
    """Keep the contents of one store.

    What is there is listed once for a lease (`begin` to `end`); two threads with the same content
    write it once, and the second returns only when the first has.
    """

    def __init__(self, place: Place, keys: Keys, spool: Path | None = None) -> None:
        self.place = place
        self.keys = keys
        self._spool = spool
        self._lock = threading.Lock()
        self._present: dict[str, int] | None = None
        self._pending: dict[str, threading.Event] = {}

    def begin(self) -> None:
        """Forget what is known to be there; the lease that protects it has just begun."""
        with self._lock:
            self._present = None

    def at_rest(self) -> dict[str, int]:
        """Return the names of all objects and their bytes, as the place lists them now."""
        return {entry.name: entry.size for entry in self.place.list(FAN_OUT)}

    def has(self, sha256: str) -> bool:
        """Tell whether a content is there, by the one listing of this lease."""
        with self._lock:
            present = self._known()
            return any(name in present for name in self.keys.names(sha256))

    def put_bytes(self, data: bytes) -> Put:
        """Put a content that is held in memory."""
        ref = BlobRef(hashlib.sha256(data).hexdigest(), len(data))

        def write(name: str) -> int:
            encoded = encode_bytes(data, self.keys.current)
            self.place.write(FAN_OUT, name, encoded)
            return len(encoded)

        return Put(ref, self._once(ref, write), _sha1(data))

    def put_file(self, path: Path) -> Put:
        """Put a file's content; raise Conflict (`store.file.changed`) when it never holds still.

        Raise FileNotFoundError, PermissionError and the like for a file that cannot be read.
        """
        with path.open("rb") as file:
            head = file.read(SMALL + 1)
            if len(head) <= SMALL:
                return self.put_bytes(head)
            # Hashing first costs a second read of what is new, and no compression of what is not.
            for _ in range(2):
                file.seek(0)
                ref, sha1 = _hash(file)
                file.seek(0)
                with contextlib.suppress(_Changed):
                    return Put(ref, self._once(ref, lambda n, r=ref: self._copy(file, n, r)), sha1)  # type: ignore[misc]
        raise Conflict(
            "store.file.changed",
            f"{path} changes while it is read.",
            "Try again when nobody writes to it.",
        )

    def put_stream(self, stream: Readable) -> Put:
        """Put what a stream gives until its end; only its compressed form is kept aside."""
        head = read_up_to(stream, SMALL + 1)
        if len(head) <= SMALL:
            return self.put_bytes(head)
        with self._spooled() as (sink, path):
            ref = self._encode(stream, sink, head)
            sink.close()
            return Put(ref, self._once(ref, lambda name: self._move(path, name)))

    def chunks(self, ref: BlobRef) -> Iterator[bytes]:
        """Yield a content; raise Failed (`store.blob.missing`, `store.blob.damaged`).

        Damage may show only after all was yielded: use the content when this has ended.
        """
        digest, size = hashlib.sha256(), 0
        with self._open(ref) as source:
            try:
                for chunk in decode(source, self.keys, ref.size):
                    size += len(chunk)
                    digest.update(chunk)
                    yield chunk
            except ObjectDamaged as error:
                raise _damaged(ref, str(error)) from error
        if size != ref.size or digest.hexdigest() != ref.sha256:
            raise _damaged(ref, "its content is not what was put")

    def read(self, ref: BlobRef) -> bytes:
        """Return a content whole and verified; it is held in memory."""
        return b"".join(self.chunks(ref))

    def sha1(self, ref: BlobRef) -> str:
        """Return the SHA-1 of a content, having verified it; raise as `chunks`."""
        digest = hashlib.sha1(usedforsecurity=False)
        for chunk in self.chunks(ref):
            digest.update(chunk)
        return digest.hexdigest()

    def remove(self, name: str) -> None:
        """Remove an object by its name at rest."""
        self.place.remove(FAN_OUT, name)

    def quarantine(self, ref: BlobRef) -> None:
        """Move a damaged object aside, so that the next one who has the content puts it again."""
        for name in self.keys.names(ref.sha256):
            with contextlib.suppress(FileNotFoundError):
                with self.place.read(FAN_OUT, name, ref.size) as source, self._spooled() as spooled:
                    sink, path = spooled
                    while piece := source.read(_PIECE):
                        sink.write(piece)
                    sink.close()
                    self.place.write_file("damaged", name, path)
                self.place.remove(FAN_OUT, name)

    def _known(self) -> dict[str, int]:
        if self._present is None:
            self._present = self.at_rest()
        return self._present

    def _once(self, ref: BlobRef, write: Callable[[str], int]) -> int:
        """Let one of all who have this content write it; return the bytes that were added."""
        names = self.keys.names(ref.sha256)
        while True:
            with self._lock:
                present = self._known()
                if any(name in present for name in names):
                    return 0
                waiting = self._pending.get(names[0])
                if waiting is None:
                    mine = self._pending[names[0]] = threading.Event()
                    break
            waiting.wait()
        try:
            written = write(names[0])
            with self._lock:
                self._known()[names[0]] = written
            return written
        finally:
            with self._lock:
                del self._pending[names[0]]
            mine.set()

    def _copy(self, source: BinaryIO, name: str, ref: BlobRef) -> int:
        with self._spooled() as (sink, path):
            if self._encode(source, sink, b"") != ref:
                raise _Changed
            sink.close()
            return self._move(path, name)

    def _encode(self, source: Readable, sink: BinaryIO, piece: bytes) -> BlobRef:
        writer, digest, size = ObjectWriter(sink, self.keys.current), hashlib.sha256(), 0
        piece = piece or source.read(_PIECE)
        while piece:
            digest.update(piece)
            size += len(piece)
            with self._spool_errors():
                writer.write(piece)
            piece = source.read(_PIECE)
        with self._spool_errors():
            writer.close()
            sink.flush()
        return BlobRef(digest.hexdigest(), size)

    def _move(self, path: Path, name: str) -> int:
        size = path.stat().st_size
        self.place.write_file(FAN_OUT, name, path)
        return size

    @contextlib.contextmanager
    def _spooled(self) -> Iterator[tuple[BinaryIO, Path]]:
        with self._spool_errors():
            directory = self.place.spool or self._spool or Path(tempfile.gettempdir())
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor, name = tempfile.mkstemp(prefix=f"{os.getpid()}-", dir=directory)
        path = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as sink:
                yield sink, path
        finally:
            path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _spool_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            directory = self.place.spool or self._spool or Path(tempfile.gettempdir())
            raise Unavailable(
                "store.full",
                f"What goes into the store cannot be written in {directory}: {error.strerror}.",
                "Free space there; a compressed copy of the largest part must fit.",
            ) from error

    @contextlib.contextmanager
    def _open(self, ref: BlobRef) -> Iterator[Readable]:
        with contextlib.ExitStack() as stack:
            for name in self.keys.names(ref.sha256):
                try:
                    source = stack.enter_context(self.place.read(FAN_OUT, name, ref.size))
                except FileNotFoundError:
                    continue
                yield source
                return
            raise Failed(
                "store.blob.missing",
                f"The content {ref.sha256} is not in the store {self.place.address.display()}.",
                "Verify the snapshots that need it; take new ones, or a copy of the store.",
            )


class _Changed(Exception):
    """A file had another content when it was read again."""


def entry_of(name: str, put: Put) -> FileEntry:
    """Return the line of a list for a file that was put."""
    return FileEntry(name, put.ref.sha256, put.ref.size)


def _damaged(ref: BlobRef, reason: str) -> Failed:
    return Failed(
        "store.blob.damaged",
        f"The content {ref.sha256} is damaged in the store: {reason}.",
        "Verify the snapshot; take a new one, or a copy of the store.",
    )


def _sha1(data: bytes) -> str:
    return hashlib.sha1(data, usedforsecurity=False).hexdigest()


def _hash(file: BinaryIO) -> tuple[BlobRef, str]:
    digest, moodle, size = hashlib.sha256(), hashlib.sha1(usedforsecurity=False), 0
    while piece := file.read(_PIECE):
        digest.update(piece)
        moodle.update(piece)
        size += len(piece)
    return BlobRef(digest.hexdigest(), size), moodle.hexdigest()
