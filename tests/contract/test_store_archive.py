"""One file carries a snapshot to another store; a damaged or hostile one carries nothing."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from snapshots import add_file, change_object, flipped, make_filedir, manifest_of
from vmoodle.errors import InvalidInput, VMoodleError
from vmoodle.secret import Secret
from vmoodle.store import archive, tar
from vmoodle.store.add import walk_filedir
from vmoodle.store.keys import new_key
from vmoodle.store.manifest import Manifest, Part
from vmoodle.store.store import Store, open_store

BIG = os.urandom(2 << 20)


def filled(path: Path, key: Secret | None = None) -> tuple[Store, Manifest]:
    store = open_store(str(path), create=True, key=key)
    filedir = make_filedir(path.with_name("filedir"), 20)
    add_file(filedir, BIG)
    with store.writing():
        dump = store.put_stream(io.BytesIO(b"INSERT " * 1000))
        added = store.add_files("filedir", walk_filedir(filedir))
        manifest = manifest_of("one", Part.of("database", dump), added.part)
        store.write_manifest(manifest)
    return store, manifest


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    store, manifest = filled(tmp_path / "from")
    archive.export(manifest, store, tmp_path / "one.vmoodle")
    return tmp_path / "one.vmoodle"


@pytest.fixture
def other(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "to"), create=True)


def code_of(act: Callable[[], object]) -> str:
    with pytest.raises(VMoodleError) as caught:
        act()
    assert caught.value.hint
    return caught.value.code


def assert_nothing_imported(store: Store) -> None:
    assert store.manifest_ids() == []
    assert store._blobs.at_rest() == {}


@pytest.mark.parametrize("archive_key", [False, True], ids=["clear", "encrypted"])
@pytest.mark.parametrize("store_key", [False, True], ids=["from clear", "from encrypted"])
def test_an_archive_carries_everything(
    tmp_path: Path, other: Store, archive_key: bool, store_key: bool
) -> None:
    store, manifest = filled(tmp_path / "from", new_key() if store_key else None)
    path, key = tmp_path / "one.vmoodle", new_key() if archive_key else None
    archive.export(manifest, store, path, key=key, clear=True)
    assert path.stat().st_mode & 0o777 == 0o600
    assert archive.inspect(path, key=key) == manifest
    assert archive.import_(path, other, key=key) == manifest
    assert other.read_manifest("one") == manifest
    assert other.verify(manifest) == []
    assert archive.import_(path, other, key=key) == manifest
    assert sorted(child.name for child in tmp_path.iterdir()) == [
        "filedir",
        "from",
        "one.vmoodle",
        "to",
    ]


def test_any_tar_program_lists_an_archive(exported: Path) -> None:
    with tarfile.open(exported) as file:
        names = file.getnames()
    assert names[0] == "manifest.json"
    assert len(names) == 1 + 2 + 21


def test_an_encrypted_store_is_not_exported_in_clear_unasked(tmp_path: Path) -> None:
    store, manifest = filled(tmp_path / "from", new_key())
    target = tmp_path / "x"
    assert code_of(lambda: archive.export(manifest, store, target)) == "store.archive.clear"


def test_an_archive_needs_its_key(tmp_path: Path, other: Store, exported: Path) -> None:
    store, manifest = filled(tmp_path / "second")
    path = tmp_path / "sealed"
    archive.export(manifest, store, path, key=new_key())
    assert code_of(lambda: archive.import_(path, other)) == "store.key.missing"
    assert code_of(lambda: archive.import_(path, other, key=new_key())) == "store.key.wrong"
    assert code_of(lambda: archive.import_(exported, other, key=new_key())) == "store.key.unneeded"
    assert_nothing_imported(other)


def test_nothing_is_overwritten(tmp_path: Path, exported: Path, other: Store) -> None:
    store, manifest = filled(tmp_path / "second")
    assert code_of(lambda: archive.export(manifest, store, exported)) == "store.archive.exists"
    other.write_manifest(manifest_of("one"))
    assert code_of(lambda: archive.import_(exported, other)) == "store.manifest.exists"
    assert other.read_manifest("one") == manifest_of("one")


def test_a_failed_export_leaves_no_file(tmp_path: Path) -> None:
    store, manifest = filled(tmp_path / "from")
    change_object(store, manifest.part("database").blob, flipped)
    target = tmp_path / "out" / "x"
    target.parent.mkdir()
    assert code_of(lambda: archive.export(manifest, store, target)) == "store.blob.damaged"
    assert list(target.parent.iterdir()) == []


def test_a_truncated_archive_imports_nothing(tmp_path: Path, exported: Path, other: Store) -> None:
    data, cut = exported.read_bytes(), tmp_path / "cut"
    for length in (
        0,
        1,
        511,
        512,
        700,
        4096,
        len(data) // 2,
        len(data) - 20_000,
        len(data) - 10_240,
    ):
        cut.write_bytes(data[:length])
        assert code_of(lambda: archive.import_(cut, other)) == "store.archive.truncated", length
    assert_nothing_imported(other)


def test_an_altered_archive_imports_nothing(tmp_path: Path, exported: Path, other: Store) -> None:
    data, bad = exported.read_bytes(), tmp_path / "bad"
    positions = {m.offset + m.size // 2 for m in tar.members(exported)} | {0, 130, 150, 156, 257}
    for position in positions:
        bad.write_bytes(data[:position] + bytes([data[position] ^ 4]) + data[position + 1 :])
        code = code_of(lambda: archive.import_(bad, other))
        assert code in ("store.archive.damaged", "store.archive.truncated"), position
    bad.write_bytes(data + b"more")
    assert code_of(lambda: archive.import_(bad, other)) == "store.archive.damaged"
    assert_nothing_imported(other)


def link(information: tarfile.TarInfo) -> None:
    information.type, information.linkname, information.size = tarfile.SYMTYPE, "/etc/passwd", 0


def hard(information: tarfile.TarInfo) -> None:
    information.type, information.linkname, information.size = tarfile.LNKTYPE, "manifest.json", 0


def directory(information: tarfile.TarInfo) -> None:
    information.type, information.size = tarfile.DIRTYPE, 0


def climbing(information: tarfile.TarInfo) -> None:
    information.name = "../../../../tmp/evil"


def absolute(information: tarfile.TarInfo) -> None:
    information.name = "/tmp/evil"  # noqa: S108


def extended(information: tarfile.TarInfo) -> None:
    information.name = "contents/" + "ü" * 200


def device(information: tarfile.TarInfo) -> None:
    information.type, information.size = tarfile.CHRTYPE, 0


@pytest.mark.parametrize("trap", [link, hard, directory, climbing, absolute, extended, device])
@pytest.mark.parametrize("place", [0, 1, 5, 24])
def test_a_hostile_archive_imports_nothing(
    tmp_path: Path,
    exported: Path,
    other: Store,
    trap: Callable[[tarfile.TarInfo], None],
    place: int,
) -> None:
    hostile = tmp_path / "hostile"
    with tarfile.open(exported) as source, tarfile.open(hostile, "w") as target:
        for number, information in enumerate([*source.getmembers(), None]):
            if number == place:
                evil = tarfile.TarInfo("evil")
                evil.size = 3
                trap(evil)
                target.addfile(evil, io.BytesIO(b"bad"))
            if information:
                target.addfile(information, source.extractfile(information))
    before = sorted(child.name for child in tmp_path.iterdir())
    assert code_of(lambda: archive.import_(hostile, other)) == "store.archive.damaged"
    assert_nothing_imported(other)
    assert sorted(child.name for child in tmp_path.iterdir()) == before


def test_a_bomb_is_not_unpacked(tmp_path: Path, other: Store) -> None:
    """An object that holds far more than the manifest says is left at the first byte too many."""
    store, manifest = filled(tmp_path / "from")
    bomb = open_store(str(tmp_path / "bomb"), create=True).put_stream(io.BytesIO(bytes(64 << 20)))
    data = (next((tmp_path / "bomb" / "blobs").rglob(bomb.sha256))).read_bytes()
    change_object(store, manifest.part("database").blob, lambda _: data)
    with pytest.raises(VMoodleError, match="more than it should"):
        store.get(manifest.part("database").blob, tmp_path / "target")


def test_what_cannot_be_read_is_said(tmp_path: Path, other: Store) -> None:
    assert code_of(lambda: archive.import_(tmp_path / "none", other)) == "store.archive.unreadable"
    (tmp_path / "text").write_text("no archive " * 1000)
    with pytest.raises(InvalidInput):
        archive.import_(tmp_path / "text", other)
    archive_of_nothing = tmp_path / "empty"
    archive_of_nothing.write_bytes(bytes(10240))
    assert code_of(lambda: archive.import_(archive_of_nothing, other)) == "store.archive.damaged"
