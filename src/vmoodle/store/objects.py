"""How a blob lies at rest: a header, zstd, and AES-256-GCM in chunks where there is a key.

An encrypted object is `VMO1`, flags, key id, salt, then chunks of CHUNK bytes, each followed by
its tag. The object's own key comes from the store's key and the salt; a chunk's nonce is its number
and whether it is the last one, so chunks cannot be cut off, swapped or taken from another object.
"""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Iterator
from typing import BinaryIO, Protocol, cast

import zstandard
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from vmoodle.store.keys import ID_LENGTH, Keys, StoreKey

CHUNK = 256 << 10
"""Bytes of compressed content in one encrypted chunk."""

SLACK = 64 << 10
"""Bytes an object may be longer than its content: header, frame and tags of a small one."""

_MAGIC, _CLEAR, _ENCRYPTED = b"VMO1", b"\x00", b"\x01"
_SALT, _TAG, _LEVEL = 16, 16, 3
_MAX_WINDOW = 1 << 27
_compressors = threading.local()


class ObjectDamaged(Exception):
    """What lies in the store is not what was put there; the text says in what way."""


class Readable(Protocol):
    """Give bytes; fewer than asked for only at the end, or as a socket does."""

    def read(self, size: int = -1, /) -> bytes:
        """Return up to `size` bytes, none at the end."""


def encode_bytes(data: bytes, key: StoreKey | None) -> bytes:
    """Return a small content as it lies at rest."""
    compressor = getattr(_compressors, "value", None)
    if compressor is None:
        compressor = _compressors.value = _compressor()
    frame = compressor.compress(data)
    if key is None:
        return _MAGIC + _CLEAR + frame
    sink = io.BytesIO()
    encryption = _Encryption(sink, key)
    encryption.write(frame)
    encryption.close()
    return sink.getvalue()


def longest(size: int) -> int:
    """Return how many bytes an object of that much content has at most."""
    return size + size // 128 + SLACK


class ObjectWriter:
    """Write a content of any size as it lies at rest; `close` completes it, not the sink."""

    def __init__(self, sink: BinaryIO, key: StoreKey | None) -> None:
        self._sink: _Encryption | BinaryIO
        if key is None:
            sink.write(_MAGIC + _CLEAR)
            self._sink = sink
        else:
            self._sink = _Encryption(sink, key)
        self._frame = _compressor().compressobj()

    def write(self, data: bytes) -> None:
        """Add content."""
        self._sink.write(self._frame.compress(data))

    def close(self) -> None:
        """Write what is left."""
        self._sink.write(self._frame.flush())
        if isinstance(self._sink, _Encryption):
            self._sink.close()


def decode(source: Readable, keys: Keys, size: int) -> Iterator[bytes]:
    """Yield the content of an object, `size` bytes at most; raise ObjectDamaged.

    A frame that ends early may go unnoticed here: the caller compares hash and size.
    """
    magic = _exactly(source, len(_MAGIC) + 1)
    kind = magic[len(_MAGIC) :]
    if magic[: len(_MAGIC)] != _MAGIC or kind not in (_CLEAR, _ENCRYPTED):
        raise ObjectDamaged("it does not begin as an object of a store")
    if (kind == _ENCRYPTED) != bool(keys):
        raise ObjectDamaged("it is encrypted" if kind == _ENCRYPTED else "it is not encrypted")
    inner: Readable = _Decryption(source, magic, keys) if kind == _ENCRYPTED else source
    decompressor = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW)
    frame = cast("BinaryIO", inner)
    with decompressor.stream_reader(frame, read_size=CHUNK, closefd=False) as reader:
        while chunk := _decompressed(reader):
            size -= len(chunk)
            if size < 0:
                raise ObjectDamaged("it holds more than it should")
            yield chunk


def _decompressed(reader: zstandard.ZstdDecompressionReader) -> bytes:
    try:
        return reader.read(1 << 20)
    except zstandard.ZstdError as error:
        raise ObjectDamaged("its compression is broken") from error


def _compressor() -> zstandard.ZstdCompressor:
    return zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True)


def _exactly(source: Readable, size: int) -> bytes:
    data = read_up_to(source, size)
    if len(data) != size:
        raise ObjectDamaged("it ends in its header")
    return data


def read_up_to(source: Readable, size: int) -> bytes:
    """Return `size` bytes, fewer only at the end."""
    parts: list[bytes] = []
    while size and (part := source.read(size)):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def _nonce(number: int, last: bool) -> bytes:
    return number.to_bytes(11, "big") + bytes([last])


class _Encryption:
    def __init__(self, sink: BinaryIO, key: StoreKey) -> None:
        salt = os.urandom(_SALT)
        self._header = _MAGIC + _ENCRYPTED + key.id + salt
        self._cipher = AESGCM(key.for_object(salt))
        self._sink, self._number, self._pending = sink, 0, bytearray()
        sink.write(self._header)

    def write(self, data: bytes) -> None:
        self._pending += data
        # The last chunk is known as such only when nothing follows: one chunk always waits.
        while len(self._pending) > CHUNK:
            self._chunk(bytes(self._pending[:CHUNK]), last=False)
            del self._pending[:CHUNK]

    def close(self) -> None:
        self._chunk(bytes(self._pending), last=True)

    def _chunk(self, data: bytes, *, last: bool) -> None:
        self._sink.write(self._cipher.encrypt(_nonce(self._number, last), data, self._header))
        self._number += 1


class _Decryption:
    def __init__(self, source: Readable, magic: bytes, keys: Keys) -> None:
        rest = _exactly(source, ID_LENGTH + _SALT)
        key = keys.find(rest[:ID_LENGTH])
        if key is None:
            raise ObjectDamaged(f"none of the keys has its key's id {rest[:ID_LENGTH].hex()}")
        self._header = magic + rest
        self._cipher = AESGCM(key.for_object(rest[ID_LENGTH:]))
        self._source, self._number = source, 0
        self._next = read_up_to(source, CHUNK + _TAG)

    def read(self, _size: int = -1) -> bytes:
        if not self._next and self._number:
            return b""
        sealed, self._next = self._next, read_up_to(self._source, CHUNK + _TAG)
        try:
            data = self._cipher.decrypt(_nonce(self._number, not self._next), sealed, self._header)
        except (InvalidTag, ValueError) as error:
            raise ObjectDamaged("it was altered or cut off") from error
        self._number += 1
        return data
