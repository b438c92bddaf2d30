"""`vmoodle upgrade pending` on real Moodle databases of both engines, with the sandbox's code."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from tests.contract.test_plugins import both, databases, moodles
from tests.contract.test_sql import Mixed

from vmoodle.moodle.code.tree import MoodleTree
from vmoodle.moodle.code.versions import all_versions_hash
from vmoodle.sandbox import copy_tree

__all__ = ["both", "databases", "moodles"]

PENDING = 8


def told(fleet: Mixed, *words: str, status: int = PENDING) -> dict[str, list[dict[str, Any]]]:
    document = fleet.fleet.json("upgrade", "pending", "--on", "*", *words, status=status)
    found = {row["site"]: row["rows"] for row in document["results"]}
    assert found.keys() == fleet.databases.keys()
    return found


def words(rows: list[dict[str, Any]]) -> dict[str, str]:
    return {row["subject"]: row["what"] for row in rows}


def write(fleet: Mixed, site: str, sql: str, *values: object) -> None:
    with fleet.engines[site].connect(fleet.databases[site], read_only=False) as connection:
        connection.execute(sql, values)


@pytest.fixture
def tree(moodles: Mixed) -> Path:
    """A tree at the sites' own version: theirs has the sandbox's, which is older."""
    from vmoodle.registry.models import Codebase

    root = Path(Codebase.objects.get().path)
    version = root / "version.php"
    version.write_text(version.read_text().replace("2024100700.00", "2024100705.01"))
    return root


def test_a_site_whose_code_is_older_is_refused_and_not_pending(moodles: Mixed) -> None:
    for rows in told(moodles, status=0).values():
        assert rows[0]["what"] == "refused: Moodle is older on disk"
        assert rows[0]["installed"] == "4.5.5+ (2024100705.01)"
        assert rows[0]["on_disk"] == "4.5.0 (2024100700)"


def test_plugins_that_differ_make_it_pending_and_are_told(moodles: Mixed, tree: Path) -> None:
    for rows in told(moodles).values():
        what = words(rows)
        assert what["Moodle"] == "pending: plugins differ"
        assert what["mod_own"] == "on disk, not installed"
        assert what["mod_forum"] == "installed, not on disk"
        assert "mod_page" not in what
    every = told(moodles, "--every")
    assert words(every["p1"])["mod_page"] == "to be upgraded"
    (tree / "mod" / "page" / "version.php").write_text("<?php $plugin->version = 2000010100;")
    assert words(told(moodles)["m1"])["mod_page"] == "older on disk"


def test_the_hash_alone_decides_as_it_does_in_moodle(moodles: Mixed, tree: Path) -> None:
    hashed = all_versions_hash(MoodleTree.open(tree))
    before = {
        site: moodles.ask(site, "SELECT value FROM {config} WHERE name = 'allversionshash'")[0][0]
        for site in ("m1", "p1")
    }
    sql = "UPDATE {config} SET value = %s WHERE name = 'allversionshash'"
    try:
        write(moodles, "m1", sql, hashed)
        write(moodles, "p1", sql, "")
        found = told(moodles)
        assert words(found["m1"])["Moodle"] == "up to date"
        assert words(found["p1"])["Moodle"].startswith("pending: a plugin was uninstalled")
        write(moodles, "p1", sql, hashed)
        shown = moodles.fleet.run("upgrade", "pending", "--on", "*").stdout
        assert "up to date" in shown
        assert " 2 " in shown.splitlines()[1]
    finally:
        for site, value in before.items():
            write(moodles, site, sql, value)


def test_a_site_is_compared_with_another_codebase(
    moodles: Mixed, tree: Path, tmp_path: Path
) -> None:
    from vmoodle.registry.models import Codebase

    newer = copy_tree(tmp_path / "newer", release="5.1")
    Codebase.objects.create(
        name="newer", path=str(newer), layout="public", version="2025100600",
        release="5.1.0", branch="501",
    )  # fmt: skip
    for rows in told(moodles, "--to", "newer").values():
        assert rows[0]["what"] == "pending: Moodle is newer on disk"
        assert rows[0]["on_disk"] == "5.1.0 (2025100600)"
        assert words(rows)["mod_forum"] == "installed, not on disk"
        assert "auth_mnet" not in words(rows)
    problem = moodles.fleet.problem("upgrade", "pending", "--on", "*", "--to", "none")
    assert problem["code"] == "codebase.unknown"
    shutil.rmtree(newer)
    document = moodles.fleet.json("upgrade", "pending", "--on", "*", "--to", "newer", status=1)
    assert len(document["results"]) == len(moodles.databases)
    assert {row["error"]["code"] for row in document["results"]} == {"codebase.notmoodle"}
    assert tree.is_dir()


def test_a_version_that_only_php_can_tell_is_said_to_be_unknown(moodles: Mixed, tree: Path) -> None:
    file = tree / "mod" / "own" / "version.php"
    file.write_text("<?php $plugin->version = date('Ymd') . '00';")
    for rows in told(moodles).values():
        assert words(rows)["Moodle"].startswith("pending perhaps")


def test_an_upgrade_under_way_is_told(moodles: Mixed, tree: Path) -> None:
    write(moodles, "m1", "INSERT INTO {config} (name, value) VALUES ('upgraderunning', %s)",
          "99999999999")  # fmt: skip
    try:
        found = told(moodles)
        assert "an upgrade is under way" in words(found["m1"]).values()
        assert "an upgrade is under way" not in words(found["p1"]).values()
    finally:
        write(moodles, "m1", "DELETE FROM {config} WHERE name = %s", "upgraderunning")
    assert tree.is_dir()
