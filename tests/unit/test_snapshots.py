"""Snapshots whose manifest or archive is damaged, odd or somebody else's."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path
from typing import Any

import pytest
from tests.snapshots import manifest_of

from vmoodle.errors import VMoodleError
from vmoodle.installation import Installation
from vmoodle.secret import Secret
from vmoodle.settings_file import load_settings
from vmoodle.store import archive
from vmoodle.store.keys import new_key
from vmoodle.store.manifest import BlobRef, Manifest, Part
from vmoodle.store.store import open_store

GOOD = manifest_of("one")


def test_a_damaged_manifest_is_no_obstacle_to_the_next_snapshot(
    installation: Installation,
) -> None:
    from vmoodle.lifecycle.stored import last_manifest, open_snapshots
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


def archived(directory: Path, *, key: Secret | None = None, **changes: Any) -> Path:
    """Write the archive of a snapshot that differs from a good one by these changes."""
    directory.mkdir()
    store = open_store(str(directory / "store"), create=True)
    with store.writing():
        part = Part.of("database", store.put_stream(io.BytesIO(b"INSERT")))
    manifest: Manifest = dataclasses.replace(GOOD, **({"parts": (part,)} | changes))
    path = directory / "archive"
    archive.export(manifest, store, path, key=key)
    return path


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"kind": "template"}, "snapshot.archive.kind"),
        ({"site": dataclasses.replace(GOOD.site, shortname="s" * 41)}, "snapshot.archive.odd"),
        ({"site": dataclasses.replace(GOOD.site, shortname="../up")}, "snapshot.archive.odd"),
        ({"site": dataclasses.replace(GOOD.site, name="n" * 255)}, "snapshot.archive.odd"),
        ({"site": dataclasses.replace(GOOD.site, wwwroot="no address")}, "snapshot.archive.odd"),
        ({"prefix": "x-9;"}, "snapshot.archive.odd"),
        (
            {"moodle": dataclasses.replace(GOOD.moodle, release="4" * 101)},
            "snapshot.archive.odd",
        ),
        ({"parts": ()}, "snapshot.archive.odd"),
    ],
)
def test_an_archive_that_is_no_snapshots_is_refused_and_leaves_nothing(
    installation: Installation, tmp_path: Path, changes: dict[str, Any], code: str
) -> None:
    from vmoodle.lifecycle.snapshot.archive import import_snapshot
    from vmoodle.registry import snapshots

    with pytest.raises(VMoodleError) as caught:
        import_snapshot(installation, archived(tmp_path / "made", **changes))
    assert caught.value.code == code
    assert caught.value.hint
    assert snapshots.every() == []
    assert not (installation.home.path / "store").exists()


@pytest.mark.parametrize("encrypted", [False, True])
def test_where_snapshots_have_a_key_an_archive_in_clear_is_imported_too(
    installation: Installation, tmp_path: Path, encrypted: bool
) -> None:
    from vmoodle.lifecycle.snapshot.archive import import_snapshot

    key = new_key()
    installation.settings = load_settings(
        installation.home.settings_file, {"VMOODLE_SNAPSHOTS__KEY": key.reveal()}
    )
    path = archived(tmp_path / "made", key=key if encrypted else None, note="n" * 600)
    row, _changed = import_snapshot(installation, path)
    assert (row.id, row.site_shortname, len(row.note)) == ("one", "school1", 500)


def test_a_snapshot_whose_operation_stops_half_way_says_so_and_a_whole_one_stays_whole(
    installation: Installation,
) -> None:
    from vmoodle.lifecycle.kinds import KINDS
    from vmoodle.operations.plan import StepContext
    from vmoodle.registry import snapshots
    from vmoodle.registry.models import Snapshot, SnapshotState

    for identity, state in (("half", SnapshotState.MAKING), ("whole", SnapshotState.READY)):
        Snapshot.objects.create(id=identity, state=state, site_shortname="one")
        parameters = {"snapshot": identity}
        KINDS["snapshot.create"].attention(
            StepContext(installation, "o", "one", parameters, print, print)
        )
    assert snapshots.find("half").state == "needs attention"
    assert snapshots.find("whole").state == "ready"


def test_where_no_snapshot_is_ordered_no_store_is_made(installation: Installation) -> None:
    from vmoodle.lifecycle.snapshot.snapshot import submit_each

    outcome = submit_each(installation, ["nosuch"])
    assert isinstance(outcome["nosuch"], VMoodleError)
    assert not (installation.home.path / "store").exists()


def test_a_manifest_that_says_oddly_how_much_is_missing_says_nothing_of_it() -> None:
    from vmoodle.lifecycle.snapshot.snapshot import sizes_of

    part = Part("database", BlobRef("0" * 64, 1), None, 1, 1)
    for said, count in (("7", 7), ("", 0), ("-1", 0), ("9" * 40, 0), ("many", 0)):
        manifest = dataclasses.replace(GOOD, parts=(part,), extra={"missing_files": said})
        assert sizes_of(manifest)["missing_files"] == count


def test_a_list_shows_the_state_of_what_is_not_ready_and_no_size(
    installation: Installation, capsys: pytest.CaptureFixture[str]
) -> None:
    from vmoodle.cli.snapshot_words import print_snapshots
    from vmoodle.registry import snapshots
    from vmoodle.registry.models import Snapshot, SnapshotState

    for identity, state in (("half", SnapshotState.ATTENTION), ("whole", SnapshotState.READY)):
        Snapshot.objects.create(
            id=identity, state=state, site_shortname="one", missing_files=3 * (identity == "whole")
        )
    print_snapshots([snapshots.facts(snapshots.find(one)) for one in ("half", "whole")])
    _head, half, whole = capsys.readouterr().out.splitlines()
    assert "needs attention" in half
    assert "0 B" not in half
    assert "ready" not in whole
    assert "0 B" in whole
    assert whole.endswith(" 3")
