"""Carry snapshots between installations: one file each, checked whole before anything is used."""

from __future__ import annotations

from pathlib import Path

from vmoodle.installation import Installation
from vmoodle.lifecycle.snapshot.snapshot import sizes_of
from vmoodle.lifecycle.snapshot.store import open_snapshots
from vmoodle.registry import audit, snapshots
from vmoodle.registry.models import Snapshot, SnapshotState
from vmoodle.store import archive


def export_snapshot(installation: Installation, snapshot_id: str, path: Path) -> Snapshot:
    """Write a snapshot into a new file; raise as the store and the archive do."""
    row = snapshots.usable(snapshot_id)
    store = open_snapshots(installation)
    archive.export(
        store.read_manifest(row.id),
        store,
        path,
        key=installation.settings.snapshots.key or None,
    )
    audit.record("snapshot.export", row.id)
    return row


def import_snapshot(installation: Installation, path: Path) -> tuple[Snapshot, bool]:
    """Put an archive's snapshot into the store and the registry; raise as the archive does.

    Return it, and whether anything was changed: where both have it, nothing is.
    """
    store = open_snapshots(installation, create=True)
    before = set(store.manifest_ids())
    manifest = archive.import_(path, store, key=installation.settings.snapshots.key or None)
    row, created = snapshots.known(
        manifest.id,
        {
            "state": SnapshotState.READY,
            "site_shortname": manifest.site.shortname,
            "wwwroot": manifest.site.wwwroot,
            "reason": "import",
            "note": manifest.note,
            "actor": manifest.created_by,
            **sizes_of(manifest),
        },
        taken_at=manifest.created,
    )
    changed = created or manifest.id not in before
    if changed:
        audit.record("snapshot.import", row.id)
    return row, changed
