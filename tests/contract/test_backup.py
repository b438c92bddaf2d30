"""Backups of the control plane by the `vmoodle` program: taken while it works, and restored."""

from __future__ import annotations

import io
import shutil
import stat
import tarfile
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.fleet import Fleet

from vmoodle.errors import Refused
from vmoodle.installation import Installation
from vmoodle.secret import Secret
from vmoodle.settings import RegistrySettings, Settings

KEPT = ("vmoodle.toml", "key", "node", "registry.sqlite3", "operations.sqlite3", "map")


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    """A fleet on the embedded server with one site and settings of its own."""
    directory = Path(tempfile.mkdtemp(prefix="vmoodle-backup-"))
    directory.chmod(0o755)
    made = Fleet(directory / "home")
    made.run("server", "add", "main", "embedded")
    (made.home / "vmoodle.toml").write_text("[web]\nretry_after = 77\n")
    (made.home / "vmoodle.toml").chmod(0o600)
    made.run("codebase", "add", "sandbox", "sandbox")
    made.run("site", "create", "first", "--url", "http://first.example.test")
    yield made
    made.assert_clean()
    made.run("stop")
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="module")
def backup(fleet: Fleet) -> Path:
    path = fleet.home.parent / "kept.tar.zst"
    fleet.run("backup", str(path))
    return path


@contextmanager
def written_to(fleet: Fleet) -> Iterator[threading.Event]:
    """Change registry and map again and again for the length of the block."""
    ended, begun = threading.Event(), threading.Event()

    def write() -> None:
        number = 0
        while not ended.is_set():
            fleet.run("forced", "set", "sessiontimeout", str(3600 + number))
            begun.set()
            number += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        yield begun
    finally:
        ended.set()
        writer.join()


@contextmanager
def without_control_plane(fleet: Fleet) -> Iterator[None]:
    """Take out of the home all that a backup holds; put it back unless one took its place."""
    aside = fleet.home.parent / "aside"
    aside.mkdir()
    present = [path for path in fleet.home.iterdir() if path.name.startswith(KEPT)]
    for path in present:
        path.rename(aside / path.name)
    try:
        yield
    finally:
        if not (fleet.home / "key").exists():
            for path in aside.iterdir():
                path.rename(fleet.home / path.name)
        shutil.rmtree(aside)


@pytest.mark.parametrize("ending", ["tar.zst", "tar"])
def test_a_backup_taken_while_the_registry_changes_restores_to_a_clean_home(
    fleet: Fleet, ending: str
) -> None:
    path = fleet.home.parent / f"running.{ending}"
    with written_to(fleet) as begun:
        assert begun.wait(60)
        taken = fleet.json("backup", str(path))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert fleet.json("backup", "verify", str(path)) == taken
    with without_control_plane(fleet):
        assert fleet.json("backup", "restore", str(path)) == taken
        fleet.assert_clean()
        assert [site["shortname"] for site in fleet.json("site", "list")] == ["first"]
        assert fleet.json("settings", "show")["web.retry_after"] == 77
        assert fleet.json("hook", "check")[0]["ok"]


def test_an_operation_that_waited_goes_on_after_the_restore(fleet: Fleet) -> None:
    path = fleet.home.parent / "waiting.tar.zst"
    fleet.run("site", "create", "second", "--url", "http://second.example.test", "--detach")
    fleet.run("backup", "create", str(path))
    with without_control_plane(fleet):
        fleet.run("backup", "restore", str(path))
        assert {row["check"] for row in fleet.json("doctor", status=1)} == {"V060"}
        fleet.run("worker", "--until-idle")
        assert [row["ok"] for row in fleet.json("hook", "check")] == [True, True]
        fleet.assert_clean()


def test_a_home_that_is_in_use_is_not_restored_into(fleet: Fleet, backup: Path) -> None:
    before = (fleet.home / "registry.sqlite3").read_bytes()
    assert fleet.problem("backup", "restore", str(backup))["code"] == "backup.home.used"
    assert (fleet.home / "registry.sqlite3").read_bytes() == before


def test_a_backup_is_a_new_file_with_a_name_that_says_what_it_is(
    fleet: Fleet, backup: Path
) -> None:
    assert fleet.problem("backup", str(backup))["code"] == "backup.exists"
    other = backup.with_name("kept.zip")
    assert fleet.problem("backup", str(other))["code"] == "backup.name"
    nowhere = backup.parent / "nowhere" / "kept.tar"
    assert fleet.problem("backup", str(nowhere))["code"] == "backup.unwritable"
    assert not other.exists()
    assert sorted(backup.parent.glob(".*")) == []


def test_an_empty_home_is_not_backed_up(fleet: Fleet) -> None:
    path = fleet.home.parent / "nothing.tar"
    empty = Fleet(fleet.home.parent / "empty")
    assert empty.problem("backup", str(path))["code"] == "backup.nothing"
    assert not path.exists()


def test_a_damaged_backup_is_found_and_restores_nothing(fleet: Fleet, backup: Path) -> None:
    whole = backup.read_bytes()
    damaged = backup.with_name("damaged.tar.zst")
    other = Fleet(fleet.home.parent / "other")
    middle = len(whole) // 2
    flipped = whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]
    for content in (whole[:middle], flipped, b"", b"no archive at all" * 100):
        damaged.write_bytes(content)
        assert other.problem("backup", "verify", str(damaged))["code"] == "backup.damaged"
        assert other.problem("backup", "restore", str(damaged))["code"] == "backup.damaged"
        assert not (other.home / "key").exists()
    missing = str(backup.with_name("missing.tar"))
    assert other.problem("backup", "verify", missing)["code"] == "backup.unreadable"


def test_a_name_that_leads_out_of_the_home_is_refused(fleet: Fleet, backup: Path) -> None:
    plain = backup.with_name("plain.tar")
    fleet.run("backup", str(plain))
    altered = backup.with_name("altered.tar")
    with tarfile.open(plain) as source, tarfile.open(altered, "w") as target:
        for member in source:
            file = source.extractfile(member) if member.isreg() else None
            content = file.read() if file else b""
            if member.name == "backup.json":
                content = content.replace(b'"node"', b'"../node"')
            if member.name == "node":
                member.name = "../node"
            member.size = len(content)
            target.addfile(member, io.BytesIO(content))
    assert fleet.problem("backup", "verify", str(altered))["code"] == "backup.damaged"


def test_a_registry_on_postgresql_is_refused_with_what_to_do(
    installation: Installation, tmp_path: Path
) -> None:
    from vmoodle.lifecycle.backup.take import take

    settings = Settings(registry=RegistrySettings(url=Secret("postgresql://u:hidden@h/d")))
    elsewhere = Installation(installation.home, settings)
    with pytest.raises(Refused) as refused:
        take(elsewhere, tmp_path / "kept.tar")
    assert refused.value.code == "backup.postgresql"
    assert "pg_dump" in refused.value.hint
    assert "hidden" not in refused.value.hint + refused.value.message
    assert list(tmp_path.iterdir()) == []
