"""A snapshot becomes a template, goes and comes in one file, is upgraded; sites of it serve."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.contract.copies import OLD, CopyFleet, copies

from vmoodle.moodle.database import content_urls
from vmoodle.sandbox import copy_tree
from vmoodle.store import archive
from vmoodle.store.store import open_store

__all__ = ["copies"]
SECRET = "planted-s3cret"
SAME = ("name", "moodle", "prefix", "people", "files", "note", "fits", "engine")


@pytest.fixture(scope="module")
def snapshot(copies: CopyFleet) -> str:
    (taken,) = copies.fleet.json("snapshot", "create", "first")
    return str(taken["id"])


@pytest.fixture(scope="module")
def promoted(copies: CopyFleet, snapshot: str) -> dict[str, Any]:
    """Make a template of the snapshot, which is named by its end."""
    facts: dict[str, Any] = copies.fleet.json(
        "template", "create", "base", "--from-snapshot", snapshot[-6:], "--note", "the base"
    )
    return facts


@pytest.fixture(scope="module")
def exported(copies: CopyFleet, promoted: dict[str, Any]) -> Path:
    path = copies.fleet.home / "base.template"
    copies.fleet.run("template", "export", promoted["name"], str(path))
    return path


def test_a_template_of_a_snapshot_has_no_identity(
    copies: CopyFleet, promoted: dict[str, Any], snapshot: str
) -> None:
    assert promoted["snapshot"] == snapshot
    problem = copies.fleet.problem("template", "refresh", "base")
    assert problem["code"] == "template.sourceless"
    assert (promoted["state"], promoted["source"], promoted["files"]) == ("ready", "first", 1)
    assert SECRET not in copies.config(copies.template("base")).values()
    with copies.engine.connect(copies.template("base")) as connection:
        assert content_urls.find(connection, OLD) == []


def test_an_archive_says_what_it_is_and_holds_no_password(
    copies: CopyFleet, exported: Path, tmp_path: Path
) -> None:
    assert exported.stat().st_mode & 0o777 == 0o600
    store = open_store(str(tmp_path / "store"), create=True)
    manifest = archive.import_(exported, store)
    assert (manifest.kind, manifest.prefix, manifest.note) == ("template", "mdl_", "the base")
    assert manifest.site.wwwroot.endswith(".invalid")
    assert manifest.engine.flavour == copies.engine.facts().flavour
    assert manifest.created_by
    assert manifest.extra["people"] == "no"
    dump = b"".join(store.chunks(manifest.part("database").blob))
    for database in (copies.database("first"), copies.template("base")):
        assert copies.password(database.name).reveal().encode() not in dump
    assert SECRET.encode() not in dump
    assert OLD.encode() not in dump.replace(b"first.example.test.other", b"")


def test_a_snapshots_archive_is_no_template(
    copies: CopyFleet, snapshot: str, tmp_path: Path
) -> None:
    path = tmp_path / "first.snapshot"
    copies.fleet.run("snapshot", "export", snapshot, str(path))
    problem = copies.fleet.problem("template", "import", str(path), "--name", "bad")
    assert problem["code"] == "template.archive.kind"
    assert "'first'" in problem["detail"]


def test_a_template_goes_and_comes_and_a_site_of_it_serves(
    copies: CopyFleet, promoted: dict[str, Any], exported: Path
) -> None:
    fleet = copies.fleet
    fleet.run("template", "delete", "base", "--confirm", "base")
    made = fleet.json("template", "import", str(exported))
    assert {key: made[key] for key in SAME} == {key: promoted[key] for key in SAME}
    assert (made["state"], made["source"]) == ("ready", "(archive)")
    copies.make("site", "create", "far", "--url", "http://far.example.test", "--template", "base")
    with copies.engine.connect(copies.database("far")) as connection:
        found = content_urls.find(connection, "http://far.example.test")
    assert ("role", "description", 1) in found
    pool = Path(fleet.json("site", "show", "far")["dataroot"]) / "filedir" / "0b" / "ee"
    assert [path.read_text() for path in pool.iterdir()] == ["foo"]
    assert fleet.json("hook", "check", "far")[0]["ok"]
    assert list((fleet.home / "run").glob("operation-*")) == []


def test_a_template_is_brought_to_a_newer_codebase_or_stays_as_it_is(
    copies: CopyFleet, exported: Path
) -> None:
    fleet, tree = copies.fleet, copies.fleet.home.parent / "newer"
    copy_tree(tree, release="5.1.0")
    fleet.run("codebase", "add", "newer", str(tree))
    words = ("site", "create", "next", "--url", "http://next.example.test", "--codebase", "newer")
    problem = fleet.problem(*words, "--template", "base", "--detach")
    assert problem["code"] == "source.version"
    assert "vmoodle template refresh base --upgrade newer" in problem["hint"]
    before, breaks = copies.engine.list_databases(), tree / "public" / "lib" / "db" / "fail_upgrade"
    breaks.touch()
    problem = fleet.problem("template", "refresh", "base", "--upgrade", "newer", failed=True)
    assert problem["code"] == "upgrade.failed"
    assert "fail_upgrade" in problem["detail"]
    assert copies.engine.list_databases() == before
    assert fleet.json("template", "show", "base")["fits"] == ["sandbox"]
    breaks.unlink()
    made = fleet.json("template", "refresh", "base", "--upgrade", "newer")
    assert (made["fits"], made["source"], made["files"]) == (["newer"], "(archive)", 1)
    assert sorted(path.name for path in Path(made["directory"]).iterdir()) == ["filedir"]
    assert SECRET not in copies.config(copies.template("base")).values()
    copies.make(*words, "--template", "base")
    assert fleet.json("hook", "check", "next")[0]["ok"]
    for codebase, code in (("newer", "needless"), ("sandbox", "older")):
        problem = fleet.problem("template", "refresh", "base", "--upgrade", codebase)
        assert problem["code"] == f"template.upgrade.{code}"
