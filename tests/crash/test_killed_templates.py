"""Killed at each step, an imported or renewed template ends whole, or is as it was before.

The file that is imported is gone once its import is queued: no step may need it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests import servers
from tests.checksums import checksum, table_checksums
from tests.crash.copying import Killable, copying

from vmoodle.moodle.database import content_urls
from vmoodle.sandbox import copy_tree
from vmoodle.store.archive import export, import_
from vmoodle.store.store import open_store

NEUTRAL = "https://site.vmoodle.invalid"
IMPORT = ("reserve", "account", "database", "files", "finish")
BESIDE = ("database", "files")
ENDING = ("exchange", "drop", "copies")
# A kill before a step's act is `test_killed_copies`' subject.
AFTER, UNDONE = ("after",), ("undone",)
UPGRADE = ("account", "database", "files", "upgrade", "identity")


@pytest.fixture(
    scope="module",
    params=["mariadb", "postgresql"],
)
def fleet(request: pytest.FixtureRequest) -> Iterator[Killable]:
    """The fleet, with a second codebase that is newer."""
    servers.require(request.param)
    with copying(request.param) as made:
        tree = copy_tree(made.fleet.home.parent / "newer", release="5.0.0")
        made.fleet.run("codebase", "add", "newer", str(tree))
        yield made
        made.fleet.assert_clean()


@pytest.fixture(scope="module")
def archive(fleet: Killable) -> bytes:
    """The archive of the template `base`."""
    path = fleet.fleet.home / "base.template"
    fleet.fleet.run("template", "export", "base", str(path))
    return path.read_bytes()


def ordered(fleet: Killable, archive: bytes, name: str, directory: Path) -> str:
    """Order the import of a file that is gone at once; return the operation's id."""
    path = directory / "base.template"
    path.write_bytes(archive)
    operation = fleet.order("import", str(path), name)
    path.unlink()
    return operation


def assert_like_base(fleet: Killable, name: str) -> None:
    """Fail unless the template has the tables and files of `base`."""
    base, copy = (fleet.fleet.json("template", "show", one) for one in ("base", name))
    for key in ("files", "files_bytes", "moodle", "state"):
        assert copy[key] == base[key]
    assert table_checksums(fleet.engine, fleet.template(name)) == table_checksums(
        fleet.engine, fleet.template("base")
    )


def test_an_import_killed_at_each_step_is_whole(
    fleet: Killable, archive: bytes, tmp_path: Path
) -> None:
    operation = ordered(fleet, archive, "killed", tmp_path)
    fleet.killed_forwards(operation, "template.import", IMPORT, AFTER)
    fleet.assert_ended(operation, "done")
    assert_like_base(fleet, "killed")


def test_an_import_killed_while_it_is_taken_back_leaves_nothing(
    fleet: Killable, archive: bytes, tmp_path: Path
) -> None:
    before = fleet.engine.list_databases()
    operation = ordered(fleet, archive, "back", tmp_path)
    fleet.killed_backwards(operation, "template.import", IMPORT, UNDONE)
    fleet.assert_ended(operation, "cancelled")
    assert fleet.engine.list_databases() == before
    assert fleet.fleet.problem("template", "show", "back")["code"] == "template.unknown"


def test_an_archive_whose_database_is_not_as_it_says_is_taken_back(
    fleet: Killable, archive: bytes, tmp_path: Path
) -> None:
    path, store = tmp_path / "base.template", open_store(str(tmp_path / "store"), create=True)
    path.write_bytes(archive)
    manifest = import_(path, store)
    moodle = dataclasses.replace(manifest.moodle, component_hash="0" * 40)
    export(dataclasses.replace(manifest, moodle=moodle), store, tmp_path / "lying.template")
    before = fleet.engine.list_databases()
    operation = fleet.order("import", str(tmp_path / "lying.template"), "lying")
    fleet.work()
    fleet.assert_ended(operation, "reverted")
    assert fleet.look(operation)["code"] == "template.archive.other"
    assert fleet.engine.list_databases() == before


def test_a_refresh_killed_at_each_step_ends_in_a_new_revision(fleet: Killable) -> None:
    before = fleet.engine.list_databases()
    operation = fleet.order("refresh", "base")
    fleet.killed_forwards(operation, "template.refresh", (*BESIDE, *ENDING), AFTER)
    fleet.assert_ended(operation, "done")
    facts = fleet.fleet.json("template", "show", "base")
    assert (facts["revision"], facts["state"], facts["fits"]) == (2, "ready", ["sandbox"])
    assert len(fleet.engine.list_databases()) == len(before)


def test_a_site_whose_template_is_captured_anew_meanwhile_goes_back(fleet: Killable) -> None:
    before = fleet.engine.list_databases()
    revision = fleet.fleet.json("template", "show", "base")["revision"]
    operation = fleet.order("deploy", "mixed", "template:base")
    assert not fleet.killed_at("site.deploy/files:refreshed")
    assert fleet.fleet.json("template", "show", "base")["revision"] == revision + 1
    fleet.assert_ended(operation, "reverted")
    assert fleet.look(operation)["code"] == "template.changed"
    assert not fleet.site_exists("mixed")
    assert len(fleet.engine.list_databases()) == len(before)


def test_an_upgrade_killed_while_it_is_taken_back_changes_nothing(fleet: Killable) -> None:
    before, frozen = fleet.engine.list_databases(), checksum(fleet.engine, fleet.template("base"))
    operation = fleet.order("upgrade", "base", "newer")
    fleet.killed_backwards(operation, "template.upgrade", UPGRADE, UNDONE)
    fleet.assert_ended(operation, "cancelled")
    assert fleet.engine.list_databases() == before
    assert checksum(fleet.engine, fleet.template("base")) == frozen
    assert lent(fleet) == []


def test_an_upgrade_stopped_while_moodle_is_at_it_begins_with_a_new_copy(fleet: Killable) -> None:
    fleet.order("keep", "base", 1)
    fleet.work()
    operation = fleet.order("upgrade", "base", "newer")
    facts = fleet.fleet.json("template", "show", "base")
    before, files = facts["revision"], facts["files"]
    for _again in ("Moodle is at it", "the files are not copied again yet"):
        assert fleet.killed_at("template.upgrade/upgrade:amid")
    assert len(lent(fleet)) == 1
    assert not [said for said in fleet.look(operation)["doctor"] if said.startswith("V030")]
    fleet.killed_forwards(operation, "template.upgrade", ("upgrade", *ENDING), AFTER)
    fleet.assert_ended(operation, "done")
    facts = fleet.fleet.json("template", "show", "base")
    assert (facts["revision"], facts["state"], facts["fits"]) == (before + 1, "ready", ["newer"])
    assert facts["files"] == files
    with fleet.engine.connect(fleet.template("base")) as connection:
        assert ("role", "description", 1) in content_urls.find(connection, NEUTRAL)
    assert lent(fleet) == []
    assert fleet.waiting() == []


def lent(fleet: Killable) -> list[str]:
    """Return what the map lends to command-line calls."""
    return [path.stem for path in (fleet.fleet.home / "map" / "cli").glob("*_.json")]
