"""Remove what no manifest refers to, and nothing that a snapshot being written may need."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta

from vmoodle.errors import Refused, VMoodleError
from vmoodle.store import lease as leases
from vmoodle.store.blobs import Blobs
from vmoodle.store.crowd import each
from vmoodle.store.file_list import parse
from vmoodle.store.manifest import Manifest
from vmoodle.store.place import FAN_OUT, Entry

GRACE = timedelta(days=1)
"""How long an object is kept that nothing refers to: an operation may resume and refer to it."""


@dataclass(frozen=True)
class Collected:
    """Say what was removed (or would be), and how many objects were too young for that."""

    removed: int
    bytes: int
    young: int
    remains: int
    """Half-written files of killed writers that were removed."""


def contents_of(blobs: Blobs, manifest: Manifest, lists: dict[str, frozenset[str]]) -> set[str]:
    """Return the SHA-256 of every content a manifest needs; `lists` remembers lists by theirs."""
    needed = {part.blob.sha256 for part in manifest.parts}
    for part in manifest.parts:
        if part.layout is None:
            continue
        if part.blob.sha256 not in lists:
            files = parse(blobs.read(part.blob), part.layout).values()
            lists[part.blob.sha256] = frozenset(entry.sha256 for entry in files)
        needed |= lists[part.blob.sha256]
    return needed


def needed_names(blobs: Blobs, manifests: Iterable[Manifest]) -> set[str]:
    """Return the names at rest that any of the manifests needs."""
    lists: dict[str, frozenset[str]] = {}
    names: set[str] = set()
    for manifest in manifests:
        for sha256 in contents_of(blobs, manifest, lists):
            names.update(blobs.keys.names(sha256))
    return names


def collect(
    blobs: Blobs, manifests: Callable[[], Iterable[Manifest]], grace: timedelta, *, dry_run: bool
) -> Collected:
    """Remove what is neither needed nor younger than the grace.

    Raise Conflict (`store.busy`) while anybody writes, Refused (`store.garbage.unknown`) when a
    manifest or its list cannot be read: then nobody knows what it needs.
    """
    lease = leases.take_for_collecting(blobs.place)
    try:
        now = leases.own_entry(blobs.place, lease).modified
        try:
            needed = needed_names(blobs, manifests())
        except VMoodleError as error:
            if error.exit_status != 1:
                raise
            raise Refused(
                "store.garbage.unknown",
                f"No garbage was collected: {error.message}",
                "Verify the snapshots, and delete the manifest that cannot be mended.",
            ) from error
        unneeded = [entry for entry in blobs.place.list(FAN_OUT) if entry.name not in needed]
        old = [entry for entry in unneeded if now - entry.modified >= grace]

        def remove(entry: Entry) -> None:
            lease.require()
            blobs.remove(entry.name)

        remains = 0
        if not dry_run:
            for _ in each(remove, old, threads=blobs.place.parallel):
                pass
            # Nobody writes now: what is half-written and older than a lease is nobody's.
            remains = blobs.place.sweep(now - min(grace, leases.EXPIRES))
        size = sum(entry.size for entry in old)
        return Collected(len(old), size, len(unneeded) - len(old), remains)
    finally:
        lease.release()
