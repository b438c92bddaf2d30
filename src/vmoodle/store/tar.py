"""The little of tar that an archive needs, read strictly: plain files, nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

_BLOCK = 512
_NAME, _SIZE, _SUM, _TYPE, _MAGIC = slice(0, 100), slice(124, 136), slice(148, 156), 156, 257
_REST = slice(345, 500)
_END = 10240
"""Bytes that tar programs pad an archive to a multiple of."""


class NotPlain(Exception):
    """The file is no such archive; `truncated` tells whether it merely ends too early."""

    def __init__(self, reason: str, *, truncated: bool = False) -> None:
        super().__init__(reason)
        self.truncated = truncated


@dataclass(frozen=True)
class Member:
    """Say where the bytes of a file lie in the archive."""

    name: str
    offset: int
    size: int


def members(path: Path) -> Iterator[Member]:
    """Yield the files of an archive; raise NotPlain for links, directories, extensions, rubbish.

    No name is ever used as a path, and no header's length is believed beyond the file's end.
    """
    end = path.stat().st_size
    with path.open("rb") as file:
        position = 0
        while True:
            file.seek(position)
            header = file.read(_BLOCK)
            if len(header) < _BLOCK:
                raise NotPlain("it ends too early", truncated=True)
            if not any(header):
                _require_end(file)
                return
            member = _member(header, position + _BLOCK)
            position = member.offset + -(-member.size // _BLOCK) * _BLOCK
            if position > end:
                raise NotPlain("it ends too early", truncated=True)
            file.seek(member.offset + member.size)
            if any(file.read(-member.size % _BLOCK)):
                raise NotPlain("something stands between two files")
            yield member


def open_member(path: Path, member: Member) -> Window:
    """Open one file of the archive for reading."""
    file = path.open("rb")
    file.seek(member.offset)
    return Window(file, member.size)


class Window:
    """Read the bytes of one member and no further."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self._left = size

    def __enter__(self) -> Window:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def read(self, size: int = -1, /) -> bytes:
        """Return up to `size` bytes, none at the member's end."""
        data = self._file.read(self._left if size < 0 else min(size, self._left))
        self._left -= len(data)
        return data


def header_of(name: str, size: int, when: int) -> bytes:
    """Return the header block of a file (GNU format, for those above 8 GiB)."""
    import tarfile

    information = tarfile.TarInfo(name)
    information.size, information.mtime, information.mode = size, when, 0o600
    return information.tobuf(tarfile.GNU_FORMAT)


def padding(size: int) -> bytes:
    """Return what fills the last block of a file of that many bytes."""
    return bytes(-size % _BLOCK)


def ending(size: int) -> bytes:
    """Return what ends an archive of that many bytes: two empty blocks, and filling."""
    return bytes(2 * _BLOCK + -(size + 2 * _BLOCK) % _END)


def _member(header: bytes, offset: int) -> Member:
    plain = bytearray(header)
    plain[_SUM] = b" " * 8
    if header[_MAGIC : _MAGIC + 5] != b"ustar" or _number(header[_SUM]) != sum(plain):
        raise NotPlain("a header is wrong")
    if header[_TYPE : _TYPE + 1] not in (b"0", b"\0") or any(header[_REST]):
        raise NotPlain("it holds something else than plain files")
    try:
        name = header[_NAME].rstrip(b"\0").decode("ascii")
    except UnicodeDecodeError:
        raise NotPlain("a name is wrong") from None
    return Member(name, offset, _number(header[_SIZE]))


def _number(field: bytes) -> int:
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    text = field.strip(b" \0")
    if not text or text.strip(b"01234567"):
        raise NotPlain("a header is wrong")
    return int(text, 8)


def _require_end(file: BinaryIO) -> None:
    rest = file.read(2 * _END)
    if len(rest) < _BLOCK:
        raise NotPlain("it ends too early", truncated=True)
    if any(rest) or file.read(1):
        raise NotPlain("something follows its end")
