"""Carry snapshots between installations: one file each, checked whole before anything is used."""

from __future__ import annotations

from pathlib import Path

from vmoodle.errors import Refused
from vmoodle.hook.address import parse_wwwroot
from vmoodle.installation import Installation
from vmoodle.lifecycle import names
from vmoodle.lifecycle.snapshot.foreign import RULES, Rule, accepted, archive_key, refuse_odd
from vmoodle.lifecycle.snapshot.snapshot import sizes_of
from vmoodle.lifecycle.stored import open_snapshots
from vmoodle.registry import audit, snapshots
from vmoodle.registry.models import Snapshot, SnapshotState
from vmoodle.store import archive
from vmoodle.store.manifest import Manifest

_RULES: tuple[Rule, ...] = (
    ("shortname", lambda m: accepted(names.shortname, m.site.shortname)),
    ("site's name", lambda m: 0 < len(m.site.name) <= names.FULL_NAME_LENGTH),
    ("address", lambda m: accepted(parse_wwwroot, m.site.wwwroot)),
    *RULES,
)


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
    """Put an archive's snapshot into the store and the registry.

    Return it, and whether anything was changed: where both have it, nothing is. Nothing is changed
    either when it raises: Refused `snapshot.archive.kind` for a template's, InvalidInput
    `snapshot.archive.odd` for one that says what no snapshot does, and as the archive does.
    """
    key = archive_key(installation, path)
    _refuse_unfit(path, archive.inspect(path, key=key))
    store = open_snapshots(installation, create=True)
    before = set(store.manifest_ids())
    manifest = archive.import_(path, store, key=key)
    _refuse_unfit(path, manifest)
    row, created = snapshots.known(
        manifest.id,
        {
            "state": SnapshotState.READY,
            "site_shortname": manifest.site.shortname,
            "wwwroot": manifest.site.wwwroot,
            "reason": "import",
            "note": manifest.note[:500],
            "actor": manifest.created_by[:100],
            **sizes_of(manifest),
        },
        taken_at=manifest.created,
    )
    changed = created or manifest.id not in before
    if changed:
        audit.record("snapshot.import", row.id)
    return row, changed


def _refuse_unfit(path: Path, manifest: Manifest) -> None:
    if manifest.kind != "snapshot":
        raise Refused(
            "snapshot.archive.kind",
            f"{path} is no snapshot: it is the template {manifest.site.shortname!r}.",
            f"`vmoodle template import {path}` takes it.",
        )
    refuse_odd(path, manifest, _RULES)
