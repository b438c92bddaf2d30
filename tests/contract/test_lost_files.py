"""A site whose files are gone or not all there: no copy of it is taken for a whole one."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.contract.copies import CopyFleet, copies
from tests.snapshots import add_file

__all__ = ["copies"]
THERE, LOST = b"a lecture", b"a file lost long ago"


@pytest.fixture(scope="module")
def filedir(copies: CopyFleet) -> Path:
    """The site's file pool, of which its database names one content and a directory."""
    pool = Path(copies.fleet.json("site", "show", "first")["dataroot"]) / "filedir"
    add_file(pool, THERE)
    name(copies, THERE)
    name(copies, b"")
    return pool


def hash_of(content: bytes) -> str:
    return hashlib.sha1(content).hexdigest()  # noqa: S324 - Moodle's contenthash


def name(copies: CopyFleet, content: bytes) -> None:
    """Let the site's database name a content."""
    found = hash_of(content)
    with copies.engine.connect(copies.database("first"), read_only=False) as connection:
        connection.execute(
            "INSERT INTO {files} (contenthash, pathnamehash, contextid, component, filearea,"
            " itemid, filepath, filename, filesize, status, timecreated, timemodified, sortorder)"
            " VALUES (%s, %s, 1, 'mod_resource', 'content', 0, '/', %s, %s, 0, 1, 1, 0)",
            (found, found, found[:8], len(content)),
        )


def unname(copies: CopyFleet, content: bytes) -> None:
    with copies.engine.connect(copies.database("first"), read_only=False) as connection:
        connection.execute("DELETE FROM {files} WHERE contenthash = %s", (hash_of(content),))


@contextmanager
def gone(path: Path, *, as_mount_point: bool = False) -> Iterator[None]:
    """Let a directory be missing for the length of the block, or empty."""
    aside = path.with_name(f"aside-{path.name}")
    path.rename(aside)
    try:
        if as_mount_point:
            path.mkdir(mode=0o755)
        yield
    finally:
        if as_mount_point:
            path.rmdir()
        aside.rename(path)


@pytest.mark.parametrize("as_mount_point", [False, True])
@pytest.mark.parametrize(
    "words",
    [
        ("snapshot", "create", "first"),
        ("template", "create", "empty", "--from", "first"),
        ("site", "clone", "first", "twin", "--url", "http://twin.example.test", "--detach"),
    ],
)
def test_a_site_without_its_file_pool_is_neither_snapshotted_nor_copied(
    copies: CopyFleet, filedir: Path, words: tuple[str, ...], as_mount_point: bool
) -> None:
    with gone(filedir, as_mount_point=as_mount_point):
        problem = copies.fleet.problem(*words, failed=words[0] == "snapshot")
    assert problem["code"] == "filedir.lost"
    assert str(filedir) in problem["detail"]
    assert copies.fleet.json("snapshot", "list") == []
    assert copies.fleet.json("template", "list") == []
    assert len(copies.fleet.json("site", "list")) == 1


def test_a_site_without_moodledata_is_not_snapshotted_and_not_deleted_unless_one_says_so(
    copies: CopyFleet, filedir: Path
) -> None:
    with gone(filedir.parent):
        assert copies.fleet.problem("snapshot", "create", "first", failed=True)["code"] == (
            "filedir.missing"
        )
    copies.fleet.run("site", "suspend", "first")
    with gone(filedir):
        problem = copies.fleet.problem("site", "delete", "first", "--confirm", "first", failed=True)
        assert problem["code"] == "site.delete.snapshot"
        assert "--no-snapshot" in problem["hint"]
        assert [row["check"] for row in copies.fleet.json("doctor", status=1)] == ["V040"]
    copies.fleet.run("site", "resume", "first")


def test_long_lost_files_are_counted_named_and_kept_from_a_restoration(
    copies: CopyFleet, filedir: Path
) -> None:
    fleet = copies.fleet
    (whole,) = fleet.json("snapshot", "create", "first")
    assert whole["missing_files"] == 0
    name(copies, LOST)
    (lacking,) = fleet.json("snapshot", "create", "first")
    assert lacking["missing_files"] == 1
    (operation,) = [
        row["id"]
        for row in fleet.json("operation", "list", "--site", "first")
        if row["kind"] == "snapshot.create" and row["state"] == "done"
    ][:1]
    assert hash_of(LOST) in fleet.run("operation", "show", operation).stdout
    assert "1 files that its database names are missing" in (
        fleet.run("snapshot", "verify", lacking["id"]).stdout
    )
    assert fleet.json("snapshot", "drill", lacking["id"])["missing_files"] == 1

    pruned = fleet.json("snapshot", "prune", "first", "--keep", "last=1")
    assert pruned["deleted"] == []

    # Meanwhile somebody has found the file.
    add_file(filedir, LOST)
    fleet.run("snapshot", "restore", lacking["id"], "--confirm", "first")
    restored = {path.name for path in filedir.rglob("*") if path.is_file()}
    assert {hash_of(THERE), hash_of(LOST)} <= restored

    for row in (whole, lacking):
        fleet.run("snapshot", "delete", row["id"])
    unname(copies, LOST)
