"""The Protocol of the places a store can be in: named objects that are written whole or not."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Protocol

from vmoodle.errors import Unavailable
from vmoodle.store.address import StoreAddress, StoreCredentials

FAN_OUT = "blobs"
"""The folder whose objects lie in subfolders named after their first two letters."""

_BESIDE = ".vmoodle-store-"

SMALL = 1 << 20
"""Bytes up to which a content is held in memory whole."""


@dataclass(frozen=True)
class Entry:
    """Name an object of a folder, its bytes at rest, and when the place says it was written."""

    name: str
    size: int
    modified: datetime


class Guarded:
    """Read an opened object; what goes wrong in that is the place's error, nothing else is."""

    def __init__(self, file: BinaryIO, errors: Callable[[], AbstractContextManager[None]]) -> None:
        self._file = file
        self._errors = errors

    def read(self, size: int = -1, /) -> bytes:
        """Return up to `size` bytes, none at the end."""
        with self._errors():
            return self._file.read(size)

    def close(self) -> None:
        """Close the object."""
        self._file.close()


class Place(Protocol):
    """Keep objects by folder and name.

    Reading what is not there raises FileNotFoundError. Every other trouble is an Unavailable:
    `store.unreachable`, `store.login`, `store.denied`, `store.full`, `store.write`; an unknown
    host key is Refused (`store.hostkey`).
    """

    address: StoreAddress
    parallel: int
    """How many threads may use the place at once with profit."""

    spool: Path | None
    """Local directory for objects that are being made, None for the machine's own."""

    def prepare(self, *, create: bool) -> None:
        """See that the place can be used; make its directory with `create`.

        Raise NotFound (`store.missing`) when there is none, without `create`.
        """

    def is_empty(self) -> bool:
        """Tell whether there is nothing at all, of whoever."""

    def list(self, folder: str) -> Iterator[Entry]:
        """Yield the objects of a folder; the empty one is the store's top."""

    def read(self, folder: str, name: str, size: int) -> AbstractContextManager[Guarded]:
        """Open an object of about `size` bytes, which tells whether to fetch it at once."""

    def exists(self, folder: str, name: str) -> bool:
        """Tell whether the object is there."""

    def write(self, folder: str, name: str, data: bytes, *, replace: bool = False) -> None:
        """Write an object, durable on return unless within `batch`.

        One that is there stays as it is without `replace`.
        """

    def write_file(self, folder: str, name: str, path: Path) -> None:
        """Make the file in the spool an object; the file may be gone afterwards."""

    def remove(self, folder: str, name: str) -> None:
        """Remove an object; none is no error."""

    def batch(self) -> AbstractContextManager[None]:
        """Let objects written within become durable together, at the latest at its end."""

    def sweep(self, before: datetime) -> int:
        """Remove what killed writers left half-written until then; return how many."""


def remove_until(before: datetime, place: Place, folder: str) -> int:
    """Remove a folder's objects that were written until then; return how many."""
    removed = 0
    for entry in place.list(folder):
        if entry.modified <= before:
            place.remove(folder, entry.name)
            removed += 1
    return removed


def open_place(address: StoreAddress, credentials: StoreCredentials) -> Place:
    """Return the place of an address; raise Unavailable (`store.extra`) without its library."""
    if address.scheme == "file":
        from vmoodle.store.place_local import LocalPlace

        return LocalPlace(address)
    try:
        if address.scheme == "s3":
            from vmoodle.store.place_s3 import S3Place

            return S3Place(address, credentials)
        from vmoodle.store.place_sftp import SFTPPlace

        return SFTPPlace(address, credentials)
    except ImportError as error:
        raise Unavailable(
            "store.extra",
            f"Stores on {address.scheme.upper()} need a library that is not installed: "
            f"{error.name}.",
            f"pip install 'vmoodle[{address.scheme}]'",
        ) from error


def is_nobodys(name: str) -> bool:
    """Tell whether a name at the top may stand there before a store is made."""
    # What mkfs makes on a disk of its own, and what is left of a killed making.
    return name == "lost+found" or name.startswith(_BESIDE)


def head_beside() -> str:
    """Return a name under which the head of a store is written before it gets its own."""
    return _BESIDE + os.urandom(8).hex()


def full(address: StoreAddress) -> Unavailable:
    """Return the error for a place without space."""
    return Unavailable(
        "store.full",
        f"There is no space left in the store {address.display()}.",
        "Free space or raise the quota. `vmoodle snapshot prune` deletes the snapshots that the "
        "retention does not keep and what only they needed; `vmoodle snapshot delete` deletes one, "
        "and the next prune frees its space.",
    )


def denied(address: StoreAddress) -> Unavailable:
    """Return the error for an account that may not do this."""
    return Unavailable(
        "store.denied",
        f"The store {address.display()} lets VMoodle's account not do this.",
        "Give it the right to read, write, list and delete there.",
    )


def login(address: StoreAddress) -> Unavailable:
    """Return the error for credentials that are not taken, or missing."""
    return Unavailable(
        "store.login",
        f"The store {address.display()} does not take the login.",
        "Check the account and its password or key.",
    )


def unreachable(address: StoreAddress, reason: str) -> Unavailable:
    """Return the error for a place that does not answer as it must."""
    return Unavailable(
        "store.unreachable",
        f"The store {address.display()} does not answer as it must: {reason}.",
        "Check the address, the network and the server.",
    )
