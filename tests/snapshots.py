"""Small filedirs, and manifests for what is put of them."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from vmoodle.store.blobs import Blobs
from vmoodle.store.manifest import (
    BlobRef,
    EngineFacts,
    Manifest,
    MoodleFacts,
    Part,
    SiteFacts,
)
from vmoodle.store.place import FAN_OUT
from vmoodle.store.store import Store


def manifest_of(identity: str, *parts: Part, site: str = "school1") -> Manifest:
    """Return a manifest of those parts."""
    return Manifest(
        id=identity,
        kind="snapshot",
        created=datetime(2026, 3, 1, 12, tzinfo=UTC),
        created_by="anna",
        note="vor dem Upgrade, „Größe“",
        site=SiteFacts(site, "First School", "https://school1.example.org"),
        moodle=MoodleFacts("2024100705.01", "4.5.5+", "0" * 40),
        engine=EngineFacts("mariadb", "10.11.6"),
        prefix="mdl_",
        parts=parts,
        extra={"people": "kept"},
    )


def make_filedir(directory: Path, number: int, *, seed: int = 0, size: int = 3000) -> Path:
    """Make a filedir of random files in Moodle's layout, and the warning Moodle puts beside."""
    source = random.Random(seed)  # noqa: S311 - the same files in every run
    for _ in range(number):
        add_file(directory, source.randbytes(source.randrange(size)))
    directory.mkdir(exist_ok=True)
    (directory / "warning.txt").write_text("This directory contains the content of uploaded files")
    return directory


def add_file(directory: Path, content: bytes) -> Path:
    """Add a content to a filedir, under its hash."""
    name = hashlib.sha1(content).hexdigest()  # noqa: S324 - Moodle's contenthash
    path = directory / name[:2] / name[2:4] / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def change_object(store: Store, ref: BlobRef, change: Callable[[bytes], bytes] | None) -> None:
    """Change an object as it lies at rest, or remove it, behind the store's back."""
    blobs: Blobs = store._blobs
    name = blobs.keys.names(ref.sha256)[0]
    with blobs.place.read(FAN_OUT, name, ref.size) as file:
        data = file.read()
    blobs.place.remove(FAN_OUT, name)
    if change:
        blobs.place.write(FAN_OUT, name, change(data))


def flipped(data: bytes) -> bytes:
    """Return the bytes with one bit changed in the middle."""
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


def truncated(data: bytes) -> bytes:
    """Return the first half."""
    return data[: len(data) // 2]
