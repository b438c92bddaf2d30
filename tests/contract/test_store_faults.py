"""Killed writers, full disks, servers that are gone, strangers: nothing half-done, nothing lost."""

from __future__ import annotations

import builtins
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import stores
from disk import fill
from snapshots import add_file, make_filedir, manifest_of
from vmoodle.errors import VMoodleError
from vmoodle.secret import Secret
from vmoodle.store import archive
from vmoodle.store.add import walk_filedir
from vmoodle.store.address import StoreCredentials, parse_url
from vmoodle.store.store import Store, open_store

WRITER = Path(__file__).with_name("store_writer.py")
NONE = timedelta(0)


def code_of(act: Callable[[], object]) -> str:
    with pytest.raises(VMoodleError) as caught:
        act()
    assert caught.value.hint
    return caught.value.code


@contextmanager
def ground_of(kind: str, directory: Path) -> Iterator[stores.Ground]:
    with ExitStack() as stack:
        if kind == "s3":
            yield stack.enter_context(stores.s3(directory))
        elif kind == "sftp":
            if reason := stores.sshd_missing():
                pytest.skip(reason)
            yield stack.enter_context(stores.sftp(directory / "ssh"))
        else:
            yield stores.Ground(kind, str(directory / "store"))


@pytest.fixture(scope="module", params=["local", "s3", "sftp"])
def ground(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[stores.Ground]:
    with ground_of(request.param, tmp_path_factory.mktemp(request.param)) as place:
        yield place


def write(url: str, filedir: Path, identity: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(WRITER), url, str(filedir), identity],
        stdout=subprocess.PIPE,
        text=True,
    )


def kill_after(process: subprocess.Popen[str], lines: int) -> None:
    assert process.stdout
    for _ in range(lines):
        process.stdout.readline()
    process.kill()
    process.wait()
    process.stdout.close()


def assert_whole(store: Store, filedir: Path, identity: str, tmp_path: Path) -> None:
    manifest = store.read_manifest(identity)
    assert store.verify(manifest) == []
    store.fetch_files(manifest, tmp_path / "restored")
    restored = {name: path.read_bytes() for name, path in walk_filedir(tmp_path / "restored")}
    assert restored == {name: path.read_bytes() for name, path in walk_filedir(filedir)}


@pytest.mark.parametrize("moment", [1, 40])
def test_a_killed_writer_leaves_no_snapshot_and_the_next_completes(
    ground: stores.Ground, tmp_path: Path, moment: int
) -> None:
    if moment == 1 and ground.kind != "local":
        pytest.skip("one moment is enough where each costs seconds")
    url, filedir = ground.url(), make_filedir(tmp_path / "filedir", 90)
    add_file(filedir, os.urandom(3 << 20))
    store = open_store(url, create=True)
    kill_after(write(url, filedir, "killed"), moment)
    assert store.manifest_ids() == []
    writer = write(url, filedir, "whole")
    assert writer.communicate()[0].endswith("done\n")
    assert store.manifest_ids() == ["whole"]
    assert_whole(store, filedir, "whole", tmp_path)
    store.collect_garbage(grace=NONE)
    assert list(store._place.list("leases")) == list(store._place.list("tmp")) == []
    assert len(store._blobs.at_rest()) == 91 + 1
    assert store.verify(store.read_manifest("whole")) == []


def test_garbage_is_collected_after_a_writer_was_killed(
    ground: stores.Ground, tmp_path: Path
) -> None:
    url, filedir = ground.url(), make_filedir(tmp_path / "filedir", 90)
    store = open_store(url, create=True)
    kill_after(write(url, filedir, "killed"), 40)
    store.collect_garbage(grace=NONE)
    assert store._blobs.at_rest() == {}
    assert list(store._place.list("leases")) == list(store._place.list("tmp")) == []


def test_two_processes_write_at_once(ground: stores.Ground, tmp_path: Path) -> None:
    url, filedir = ground.url(), make_filedir(tmp_path / "filedir", 60)
    store = open_store(url, create=True)
    writers = [write(url, filedir, f"writer{number}") for number in range(2)]
    assert [writer.communicate()[0].splitlines()[-1] for writer in writers] == ["done", "done"]
    for number in range(2):
        assert store.verify(store.read_manifest(f"writer{number}")) == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    directory = tmp_path / "disk"
    directory.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(directory)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a small file system cannot be mounted here")
    yield directory
    subprocess.run(["umount", str(directory)], check=True)


@pytest.mark.parametrize("size", [100_000, 5 << 20])
def test_a_full_store_says_so_and_keeps_what_it_has(
    small_disk: Path, tmp_path: Path, size: int
) -> None:
    store = open_store(str(small_disk), create=True)
    small = make_filedir(tmp_path / "small", 20)
    with store.writing():
        first = manifest_of("first", store.add_files("filedir", walk_filedir(small)).part)
        store.write_manifest(first)
    large = tmp_path / "large"
    for _ in range(max(1, (5 << 20) // size)):
        add_file(large, os.urandom(size))
    assert code_of(lambda: store.add_files("filedir", walk_filedir(large))) == "store.full"
    assert list(store._place.list("tmp")) == []
    assert store.manifest_ids() == ["first"]
    assert store.verify(first) == []
    assert store.collect_garbage(grace=NONE).removed >= 0
    assert store.verify(first) == []


@pytest.mark.parametrize("free", [0, 4096, 300_000, 1_500_000])
def test_an_export_onto_a_full_disk_says_so_and_leaves_no_file(
    small_disk: Path, tmp_path: Path, free: int
) -> None:
    store = open_store(str(tmp_path / "store"), create=True)
    large = tmp_path / "large"
    for size in (1 << 20, 1 << 20, 1000, 1000, 3 << 20):
        add_file(large, os.urandom(size))
    with store.writing():
        manifest = manifest_of("one", store.add_files("filedir", walk_filedir(large)).part)
        store.write_manifest(manifest)
    fill(small_disk, leave=free)
    before = sorted(small_disk.iterdir())
    assert code_of(lambda: archive.export(manifest, store, small_disk / "one.tar")) == (
        "store.archive.unwritable"
    )
    assert sorted(small_disk.iterdir()) == before


def test_a_full_target_keeps_no_half_file(small_disk: Path, tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"), create=True)
    filedir = tmp_path / "filedir"
    add_file(filedir, os.urandom(3 << 20))
    manifest = manifest_of("first", store.add_files("filedir", walk_filedir(filedir)).part)
    store.write_manifest(manifest)
    assert code_of(lambda: store.fetch_files(manifest, small_disk / "new")) == "store.target"
    assert [path for path in (small_disk / "new").rglob("*") if path.is_file()] == []


def test_an_ssh_server_must_be_known_and_take_the_key(tmp_path: Path) -> None:
    with ground_of("sftp", tmp_path) as ground:
        url, known = ground.url(), tmp_path / "ssh" / "known_hosts"
        stranger = url.replace("ssh/client&", "ssh/stranger&")
        assert code_of(lambda: open_store(stranger, create=True)) == "store.login"
        line = known.read_text()
        known.write_text("")
        assert code_of(lambda: open_store(url, create=True)) == "store.hostkey"
        host, kind, _ = line.split()
        other = (tmp_path / "ssh" / "stranger.pub").read_text().split()[1]
        known.write_text(f"{host} {kind} {other}\n")
        assert code_of(lambda: open_store(url, create=True)) == "store.hostkey"
        known.write_text(line)
        open_store(url, create=True)
    assert code_of(lambda: open_store(url)) == "store.unreachable"


def test_an_s3_server_that_is_gone_is_unreachable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with ground_of("s3", tmp_path) as ground:
        url = ground.url()
        store = open_store(url, create=True)
        anonymous = url.replace(f"fleet-key:{stores.SECRET}@", "")
        assert code_of(lambda: open_store(anonymous)) == "store.login"
        assert code_of(lambda: open_store(url.replace("@fleet", "@none"))) == "store.missing"
        entered = StoreCredentials("fleet-key", Secret(stores.SECRET))
        assert open_store(anonymous, credentials=entered).manifest_ids() == []
    store._place._fs.retries = 1
    with pytest.raises(VMoodleError) as caught:
        store.manifest_ids()
    assert caught.value.code == "store.unreachable"
    assert stores.SECRET not in f"{caught.value.message} {caught.value.hint} {caught.value!r}"


@pytest.mark.parametrize(("scheme", "module"), [("s3", "s3fs"), ("sftp", "paramiko")])
def test_a_missing_library_is_named(
    scheme: str, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, f"vmoodle.store.place_{scheme}", raising=False)
    real = builtins.__import__

    def without(name: str, *arguments: Any, **words: Any) -> Any:
        if name.partition(".")[0] == module:
            raise ModuleNotFoundError(name, name=module)
        return real(name, *arguments, **words)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(VMoodleError) as caught:
        open_store(f"{scheme}://bucket/folder")
    assert (caught.value.code, caught.value.hint) == (
        "store.extra",
        f"pip install 'vmoodle[{scheme}]'",
    )


@pytest.mark.parametrize(
    "url",
    [
        "", " /srv", "relative/path", "/srv/../etc", "ftp://host/x", "s3://", "s3://UPPER/x",
        "s3://bucket?endpoint=file:///etc", "s3://bucket?nonsense=1", "s3://bucket/../x",
        "sftp://host", "sftp://host/x?identity=relative", "sftp://ho st/x", "file://host/x",
        "sftp://u:hunter2@host:99999/x", "s3://k:hunter2@b!d/x", "s3://k:hunter2@bucket/x#y",
    ],
)  # fmt: skip
def test_an_unusable_url_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(VMoodleError) as caught:
        parse_url(url)
    assert caught.value.code.startswith("store.url.")
    assert "hunter2" not in f"{caught.value.message} {caught.value.hint}"


def test_a_url_is_shown_without_account_and_password() -> None:
    address, credentials = parse_url("sftp://anna:hunter%2F2@host:2222/srv/store")
    assert address.display() == "sftp://host:2222/srv/store"
    assert (credentials.user, credentials.password.reveal()) == ("anna", "hunter/2")
    assert "hunter" not in repr((address, credentials))
