"""One suite over a store on a disk (in clear and encrypted), on S3 and over SFTP."""

from __future__ import annotations

import io
import json
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

import stores
from snapshots import add_file, change_object, flipped, make_filedir, manifest_of, truncated
from vmoodle.errors import VMoodleError
from vmoodle.secret import Secret
from vmoodle.store.add import walk, walk_filedir
from vmoodle.store.fetch import Source
from vmoodle.store.keys import Keys, new_key
from vmoodle.store.manifest import BlobRef, Manifest, Part, seal
from vmoodle.store.store import Store, open_store

BIG = random.Random(1).randbytes(3 << 20)  # noqa: S311
NONE = timedelta(0)


@pytest.fixture(scope="module", params=["local", "encrypted", "s3", "sftp"])
def ground(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[stores.Ground]:
    directory = tmp_path_factory.mktemp(request.param)
    with ExitStack() as stack:
        if request.param == "s3":
            yield stack.enter_context(stores.s3(directory))
        elif request.param == "sftp":
            if reason := stores.sshd_missing():
                pytest.skip(reason)
            yield stack.enter_context(stores.sftp(directory / "ssh"))
        else:
            yield stores.Ground(request.param, str(directory))


@pytest.fixture
def key(ground: stores.Ground) -> Secret | None:
    return new_key() if ground.kind == "encrypted" else None


@pytest.fixture
def url(ground: stores.Ground) -> str:
    return ground.url()


@pytest.fixture
def store(url: str, key: Secret | None) -> Store:
    return open_store(url, key=key, create=True)


@pytest.fixture
def filedir(tmp_path: Path) -> Path:
    return make_filedir(tmp_path / "filedir", 30)


def snapshot(store: Store, filedir: Path, identity: str, like: Manifest | None = None) -> Manifest:
    with store.writing():
        dump = Part.of(
            "database", store.put_stream(io.BytesIO(b"-- dump of " + filedir.name.encode()))
        )
        added = store.add_files("filedir", walk_filedir(filedir), like=like)
        manifest = manifest_of(identity, dump, added.part)
        store.write_manifest(manifest)
    return manifest


def contents(directory: Path) -> dict[str, bytes]:
    return {name: path.read_bytes() for name, path in walk_filedir(directory)}


def objects(store: Store) -> int:
    return len(store._blobs.at_rest())


def code_of(act: Callable[[], object]) -> str:
    with pytest.raises(VMoodleError) as caught:
        act()
    assert caught.value.hint
    return caught.value.code


@pytest.mark.parametrize("content", [b"", b"small", BIG], ids=["empty", "small", "big"])
def test_a_content_is_stored_once_and_comes_back(
    store: Store, tmp_path: Path, content: bytes
) -> None:
    path, target = tmp_path / "source", tmp_path / "target"
    path.write_bytes(content)
    ref = store.put_file(path)
    assert store.put_stream(io.BytesIO(content)) == ref
    assert objects(store) == 1
    store.get(ref, target)
    assert target.read_bytes() == content
    assert target.stat().st_mode & 0o777 == 0o600
    assert b"".join(store.chunks(ref)) == content


def test_compressible_content_takes_less_space(store: Store) -> None:
    store.put_stream(io.BytesIO(b"INSERT INTO mdl_user VALUES " * 100_000))
    (size,) = store._blobs.at_rest().values()
    assert size < 28_000


@pytest.mark.parametrize("size", [1000, 3 << 20])
@pytest.mark.parametrize("change", [flipped, truncated, None])
def test_a_damaged_content_is_never_handed_out(
    store: Store, tmp_path: Path, size: int, change: Callable[[bytes], bytes] | None
) -> None:
    ref = store.put_stream(io.BytesIO(BIG[:size]))
    target = tmp_path / "there"
    target.write_text("as it was")
    change_object(store, ref, change)
    expected = "store.blob.damaged" if change else "store.blob.missing"
    assert code_of(lambda: store.get(ref, target)) == expected
    assert target.read_text() == "as it was"
    assert [child.name for child in tmp_path.iterdir()] == ["there"]


def test_every_flipped_byte_of_an_object_is_noticed(store: Store, tmp_path: Path) -> None:
    if store.address.scheme != "file":
        pytest.skip("the bytes are the same wherever they lie")
    ref = store.put_stream(io.BytesIO(BIG[:200]))
    for position in range(min(store._blobs.at_rest().values())):
        change_object(
            store, ref, lambda data, n=position: data[:n] + bytes([data[n] ^ 64]) + data[n + 1 :]
        )
        with pytest.raises(VMoodleError, match="damaged"):
            store.get(ref, tmp_path / "target")
        change_object(
            store, ref, lambda data, n=position: data[:n] + bytes([data[n] ^ 64]) + data[n + 1 :]
        )
    store.get(ref, tmp_path / "target")


def test_a_second_snapshot_reads_and_writes_only_what_is_new(store: Store, filedir: Path) -> None:
    first = snapshot(store, filedir, "first")
    before = objects(store)
    again = store.add_files("filedir", walk_filedir(filedir), like=first)
    assert (again.reused, again.new, again.written) == (30, 0, 0)
    assert objects(store) == before
    add_file(filedir, b"new")
    more = store.add_files("filedir", walk_filedir(filedir), like=first)
    assert (more.reused, more.new) == (30, 1)
    assert objects(store) == before + 2


def test_a_file_whose_content_the_store_lost_is_read_again(store: Store, filedir: Path) -> None:
    first = snapshot(store, filedir, "first")
    entry = next(iter(store.files(first).values()))
    change_object(store, BlobRef(entry.sha256, entry.size), None)
    again = store.add_files("filedir", walk_filedir(filedir), like=first)
    assert (again.reused, again.new) == (29, 1)
    assert store.verify(first) == []


def test_what_is_wrong_with_a_source_is_said_and_the_rest_is_kept(
    store: Store, filedir: Path
) -> None:
    names = sorted(contents(filedir))
    paths = dict(walk_filedir(filedir))
    paths[names[0]].write_bytes(b"rotten")
    paths[names[1]].unlink()
    paths[names[1]].symlink_to("/etc/passwd")
    gone = ("0" * 40, filedir / "gone")
    added = store.add_files("filedir", [*walk_filedir(filedir), gone])
    found = {(finding.code, finding.name) for finding in added.findings}
    assert found == {("contenthash", names[0]), ("irregular", names[1]), ("vanished", "0" * 40)}
    assert added.part.files == 29


def test_files_come_back_in_moodles_layout(store: Store, filedir: Path, tmp_path: Path) -> None:
    manifest = snapshot(store, filedir, "one")
    target = tmp_path / "restored"
    assert store.fetch_files(manifest, target).fetched == 30
    assert contents(target) == contents(filedir)
    path = next(path for _, path in walk_filedir(target))
    assert path.stat().st_mode & 0o777 == 0o660
    path.write_bytes(b"altered")
    resumed = store.fetch_files(manifest, target)
    assert (resumed.fetched, resumed.present) == (1, 29)
    assert contents(target) == contents(filedir)


def test_files_are_shared_with_a_directory_that_has_them(
    store: Store, filedir: Path, tmp_path: Path
) -> None:
    manifest = snapshot(store, filedir, "one")
    whole = contents(filedir)
    victim = next(path for _, path in walk_filedir(filedir))
    victim.write_bytes(b"x" * victim.stat().st_size)
    fetched = store.fetch_files(manifest, tmp_path / "new", link_from=Source(filedir))
    assert (fetched.linked, fetched.fetched) == (29, 1)
    assert contents(tmp_path / "new") == whole


def test_a_tree_comes_back_with_its_paths(store: Store, tmp_path: Path) -> None:
    lang = tmp_path / "lang"
    (lang / "de" / "sub dir").mkdir(parents=True)
    (lang / "de" / "langconfig.php").write_text("<?php")
    (lang / "de" / "sub dir" / "größe.php").write_text("<?php // ö")
    part = store.add_files("lang", walk(lang), layout="tree").part
    manifest = manifest_of("tree", part)
    store.write_manifest(manifest)
    store.fetch_files(manifest, tmp_path / "new", part="lang")
    assert (tmp_path / "new" / "de" / "sub dir" / "größe.php").read_text() == "<?php // ö"


def test_files_are_never_put_through_a_symbolic_link(
    store: Store, filedir: Path, tmp_path: Path
) -> None:
    manifest = snapshot(store, filedir, "one")
    target, outside = tmp_path / "target", tmp_path / "outside"
    outside.mkdir()
    target.mkdir()
    (target / next(iter(contents(filedir)))[:2]).symlink_to(outside)
    assert code_of(lambda: store.fetch_files(manifest, target)) == "store.target.link"
    assert list(outside.iterdir()) == []


def test_a_manifest_comes_back_equal(store: Store, filedir: Path) -> None:
    manifest = snapshot(store, filedir, "20260301t120000-school1-abc")
    assert store.read_manifest(manifest.id) == manifest
    assert store.list_manifests() == [manifest]
    assert store.list_manifests(site="another") == store.list_manifests(kind="template") == []
    assert code_of(lambda: store.write_manifest(manifest)) == "store.manifest.exists"
    store.delete_manifest(manifest.id)
    assert code_of(lambda: store.read_manifest(manifest.id)) == "store.manifest.unknown"
    assert code_of(lambda: store.delete_manifest(manifest.id)) == "store.manifest.unknown"
    assert code_of(lambda: store.read_manifest("../../etc/passwd")) == "store.manifest.id"


def test_a_manifest_is_not_written_without_its_contents(store: Store, filedir: Path) -> None:
    part = Part.of("database", BlobRef("0" * 64, 7))
    assert code_of(lambda: store.write_manifest(manifest_of("lacks", part))) == "store.blob.missing"
    assert store.manifest_ids() == []


def test_verification_finds_what_is_missing_or_damaged_and_a_new_snapshot_mends_it(
    store: Store, filedir: Path
) -> None:
    manifest = snapshot(store, filedir, "one")
    assert store.verify(manifest) == []
    lost, bad, *_ = (e for e in store.files(manifest).values() if e.size)
    change_object(store, BlobRef(lost.sha256, lost.size), None)
    change_object(store, BlobRef(bad.sha256, bad.size), flipped)
    assert [finding.name for finding in store.verify(manifest, read=False)] == [lost.name]
    found = store.verify(manifest, quarantine=True)
    assert {(finding.code, finding.name) for finding in found} == {
        ("missing", lost.name),
        ("damaged", bad.name),
    }
    snapshot(store, filedir, "two", like=manifest)
    assert store.verify(manifest) == []


def test_a_damaged_list_of_files_is_found(store: Store, filedir: Path) -> None:
    manifest = snapshot(store, filedir, "one")
    change_object(store, manifest.part("filedir").blob, truncated)
    assert [finding.code for finding in store.verify(manifest)] == ["damaged"]
    assert code_of(lambda: store.collect_garbage(grace=NONE)) == "store.garbage.unknown"


def test_garbage_is_what_no_manifest_needs(store: Store, filedir: Path, tmp_path: Path) -> None:
    one = snapshot(store, filedir, "one")
    two = snapshot(store, make_filedir(tmp_path / "other", 10, seed=7), "two")
    store.put_stream(io.BytesIO(b"of a snapshot that was never completed"))
    assert store.collect_garbage().removed == 0
    assert store.collect_garbage().young == 1
    assert store.collect_garbage(grace=NONE, dry_run=True).removed == 1
    assert store.collect_garbage(grace=NONE).removed == 1
    store.delete_manifest(two.id)
    collected = store.collect_garbage(grace=NONE)
    assert collected.removed == 12
    assert collected.bytes > 0
    assert store.verify(one) == []
    assert store.collect_garbage(grace=NONE).removed == 0
    assert list(store._place.list("leases")) == []


def test_no_garbage_is_collected_while_a_snapshot_is_written(
    store: Store, url: str, key: Secret | None, filedir: Path
) -> None:
    other = open_store(url, key=key)
    with other.writing():
        ref = other.put_stream(io.BytesIO(b"not referred to yet"))
        assert code_of(lambda: store.collect_garbage(grace=NONE)) == "store.busy"
        other.write_manifest(manifest_of("later", Part.of("database", ref)))
    assert store.collect_garbage(grace=NONE).removed == 0


def test_a_damaged_manifest_stops_the_collection(store: Store, filedir: Path) -> None:
    manifest = snapshot(store, filedir, "one")
    name = f"{manifest.id}.json"
    with store._place.read("manifests", name, 1000) as file:
        document = file.read()
    for wrong in (
        document[:-40],
        flipped(document),
        document.replace(b"anna", b"eve!"),
        b"",
        b"[]",
    ):
        store._place.write("manifests", name, wrong, replace=True)
        assert code_of(lambda: store.read_manifest(manifest.id)) == "store.manifest.damaged"
        assert code_of(lambda: store.collect_garbage(grace=NONE)) == "store.garbage.unknown"
    store._place.write("manifests", "other.json", document, replace=True)
    assert code_of(lambda: store.read_manifest("other")) == "store.manifest.damaged"


def test_only_the_key_can_seal_a_manifest_of_an_encrypted_store(
    store: Store, filedir: Path
) -> None:
    """Somebody who may write in the bucket makes a document that is right in itself."""
    manifest = snapshot(store, filedir, "one")
    forged = seal(replace(manifest, created_by="eve"), Keys())
    store._place.write("manifests", "one.json", forged, replace=True)
    if store.encrypted:
        assert code_of(lambda: store.read_manifest("one")) == "store.manifest.damaged"
        document = json.loads(forged)
        document["seal"] = json.loads(seal(manifest, store._keys))["seal"]
        borrowed = json.dumps(document).encode()
        store._place.write("manifests", "one.json", borrowed, replace=True)
        assert code_of(lambda: store.read_manifest("one")) == "store.manifest.damaged"
    else:
        assert store.read_manifest("one").created_by == "eve"


def test_sizes_tell_what_a_deletion_would_free(store: Store, filedir: Path) -> None:
    one = snapshot(store, filedir, "one")
    add_file(filedir, BIG)
    two = snapshot(store, filedir, "two", like=one)
    sizes = store.sizes()
    assert sizes["two"].logical == two.bytes > len(BIG)
    assert sizes["two"].unique > len(BIG)
    assert sizes["one"].unique < 10_000 < sizes["one"].physical
    assert store.sizes(one) == {"one": sizes["one"]}


def test_two_writers_at_once_complete_both(
    url: str, key: Secret | None, store: Store, filedir: Path
) -> None:
    errors: list[BaseException] = []

    def write(number: int) -> None:
        try:
            snapshot(open_store(url, key=key), filedir, f"writer{number}")
        except BaseException as error:  # noqa: BLE001
            errors.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    manifests = store.list_manifests()
    assert len(manifests) == 2
    assert [store.verify(manifest) for manifest in manifests] == [[], []]
    assert objects(store) == 30 + 2


def test_what_is_no_store_is_refused(ground: stores.Ground, key: Secret | None) -> None:
    url = ground.url()
    assert code_of(lambda: open_store(url, key=key)) == "store.missing"
    store = open_store(url, key=key, create=True)
    store._place.write("", "holiday.jpg", b"precious")
    store._place.remove("", "vmoodle-store.json")
    assert code_of(lambda: open_store(url, key=key, create=True)) == "store.foreign"
    store._place.write("", "vmoodle-store.json", b'{"format": 99, "keys": []}')
    assert code_of(lambda: open_store(url, key=key)) == "store.format"
    store._place.write("", "vmoodle-store.json", b"{", replace=True)
    assert code_of(lambda: open_store(url, key=key)) == "store.damaged"


def test_a_store_in_clear_takes_a_key_as_long_as_it_holds_no_snapshot(
    ground: stores.Ground,
) -> None:
    url, key = ground.url(), new_key()
    open_store(url, create=True)
    store = open_store(url, key=key, create=True)
    assert store.encrypted
    assert code_of(lambda: open_store(url)) == "store.key.missing"
    store.write_manifest(manifest_of("one"))
    assert open_store(url, key=key).read_manifest("one") == manifest_of("one")

    used = ground.url()
    open_store(used, create=True).write_manifest(manifest_of("one"))
    assert code_of(lambda: open_store(used, key=key, create=True)) == "store.key.unneeded"


def test_a_store_opens_only_with_its_key(ground: stores.Ground, key: Secret | None) -> None:
    url = ground.url()
    store = open_store(url, key=key, create=True)
    ref = store.put_stream(io.BytesIO(b"diary"))
    if key is None:
        assert code_of(lambda: open_store(url, key=new_key())) == "store.key.unneeded"
        return
    assert code_of(lambda: open_store(url)) == "store.key.missing"
    assert code_of(lambda: open_store(url, key=new_key())) == "store.key.wrong"
    assert code_of(lambda: open_store(url, key=Secret("guess"))) == "store.key.invalid"
    assert ref.sha256 not in store._blobs.at_rest()
    newer = new_key()
    rotated = open_store(url, key=[newer, key])
    assert b"".join(rotated.chunks(ref)) == b"diary"
    assert rotated.put_stream(io.BytesIO(b"diary")) == ref
    assert objects(rotated) == 1
    later = rotated.put_stream(io.BytesIO(b"later"))
    assert b"".join(open_store(url, key=newer).chunks(later)) == b"later"


def test_no_credential_is_shown(
    ground: stores.Ground, store: Store, url: str, filedir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    snapshot(store, filedir, "one")
    shown = [repr(store), store.address.display(), repr(store.address), caplog.text]
    shown.append(code_of(lambda: open_store(f"{url}&nonsense=1" if "?" in url else f"{url}/../x")))
    assert not [text for text in shown if stores.SECRET in text or "fleet-key" in repr(store)]
