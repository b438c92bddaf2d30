"""Snapshots whose manifest or archive is damaged, odd or somebody else's."""

from __future__ import annotations

from pathlib import Path

from tests.snapshots import manifest_of

from vmoodle.installation import Installation


def test_a_damaged_manifest_is_no_obstacle_to_the_next_snapshot(
    installation: Installation,
) -> None:
    from vmoodle.lifecycle.snapshot.store import last_manifest, open_snapshots
    from vmoodle.registry.models import Snapshot, SnapshotState

    store = open_snapshots(installation, create=True)
    store.write_manifest(manifest_of("one"))
    Snapshot.objects.create(id="one", state=SnapshotState.READY, site_shortname="school1")
    assert last_manifest(store, "school1") == manifest_of("one")
    (written,) = (
        path for path in (installation.home.path / "store").rglob("one*") if path.is_file()
    )
    damage(written)
    assert last_manifest(store, "school1") is None


def damage(path: Path) -> None:
    """Change one byte in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
