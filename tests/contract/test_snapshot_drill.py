"""Drills: a snapshot is restored to scratch and tried out, and nothing of that is left."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.contract.copies import CopyFleet, copies

from vmoodle.store.store import open_store

__all__ = ["copies"]
# On MariaDB a drill comes to its end in tests/crash/test_killed_drill.py.
pytestmark = pytest.mark.parametrize("copies", ["postgresql"], indirect=True)


@pytest.fixture(scope="module")
def taken(copies: CopyFleet) -> str:
    """A snapshot of the first site."""
    (facts,) = copies.fleet.json("snapshot", "create", "first")
    return str(facts["id"])


@pytest.fixture(autouse=True)
def nothing_is_left(copies: CopyFleet, taken: str) -> Iterator[None]:
    """Fail a test after which there is more than before, or the site is published otherwise."""

    def seen() -> Any:
        home = copies.fleet.home
        return (
            copies.engine.list_databases(),
            sorted(path.name for path in (home / "moodledata").iterdir()),
            {path.name: path.read_bytes() for path in (home / "map" / "web").iterdir()},
            [row["shortname"] for row in copies.fleet.json("site", "list")],
        )

    before = seen()
    yield
    assert seen() == before


def badge(copies: CopyFleet, snapshot: str) -> tuple[bool | None, str]:
    facts = copies.fleet.json("snapshot", "show", snapshot)
    assert bool(facts["drilled"]) == (facts["drilled_ok"] is not None)
    return facts["drilled_ok"], facts["drill_fault"]


def test_a_snapshot_that_stands_its_drill_says_so(copies: CopyFleet, taken: str) -> None:
    assert badge(copies, taken) == (None, "")
    drilled = copies.fleet.json("snapshot", "drill", "--site", "first")
    assert (drilled["id"], drilled["drilled_ok"]) == (taken, True)
    listed = copies.fleet.run("snapshot", "list").stdout
    assert drilled["drilled"][:10] in listed.splitlines()[1].replace(drilled["taken"][:10], "", 1)

    # Whoever knew its address could visit it: it is written down for nobody.
    address = re.compile(rb"drill-[0-9a-f]{32}")
    files = [path for path in copies.fleet.home.rglob("*") if path.is_file()]
    assert len(files) > 10
    assert [path for path in files if address.search(path.read_bytes())] == []


@contextmanager
def spoilt(copies: CopyFleet, script: str, line: str) -> Iterator[None]:
    """Let a script of the code tree begin with this line."""
    tree = Path(copies.fleet.json("codebase", "show", "sandbox")["path"])
    before = (tree / script).read_text()
    (tree / script).write_text(before.replace("<?php", f"<?php {line}", 1).replace(
        "declare(strict_types=1);", "", 1
    ))  # fmt: skip
    try:
        yield
    finally:
        (tree / script).write_text(before)


@pytest.mark.parametrize(
    ("script", "line", "said"),
    [
        ("index.php", "http_response_code(500); exit;", "The front page does not show"),
        ("login/index.php", "$_POST['password'] = 'no';", "Invalid login"),
    ],
)
def test_a_drill_that_shows_no_working_site_fails_and_says_why(
    copies: CopyFleet, taken: str, script: str, line: str, said: str
) -> None:
    with spoilt(copies, script, line):
        problem = copies.fleet.problem("snapshot", "drill", taken, failed=True)
    assert problem["code"] == "snapshot.drill.failed"
    assert said in problem["detail"]
    ok, fault = badge(copies, taken)
    assert ok is False
    assert said in fault
    assert "FAILED" in copies.fleet.run("snapshot", "list").stdout


def test_a_damaged_snapshot_fails_its_drill_and_is_not_put_in_place_of_a_site(
    copies: CopyFleet,
) -> None:
    fleet = copies.fleet
    (facts,) = fleet.json("snapshot", "create", "first", "--note", "to be damaged")
    manifest = open_store(str(fleet.home.resolve() / "store")).read_manifest(facts["id"])
    dump = manifest.part("database").blob.sha256
    (content,) = (path for path in (fleet.home / "store").rglob(f"*{dump}*") if path.is_file())
    whole = content.read_bytes()
    content.write_bytes(whole[:-40] + bytes(40))
    assert fleet.problem("snapshot", "drill", facts["id"], failed=True)["code"] == (
        "store.blob.damaged"
    )
    assert badge(copies, facts["id"])[0] is False
    (verified,) = fleet.json("snapshot", "verify", "--all", status=1)[:1]
    assert (verified["snapshot"], verified["ok"]) == (facts["id"], False)
    words = ("snapshot", "restore", facts["id"], "--confirm", "first")
    assert fleet.problem(*words, failed=True)["code"] == "snapshot.damaged"
    assert fleet.json("site", "show", "first")["state"] == "enabled"
    # Verification has moved it aside: what is missing is found by the drill before it begins.
    assert fleet.problem("snapshot", "drill", facts["id"], failed=True)["code"] == (
        "snapshot.damaged"
    )
    fleet.run("snapshot", "delete", facts["id"])
    fleet.run("snapshot", "prune", "first")


def test_a_snapshot_that_no_codebase_can_run_is_not_drilled(copies: CopyFleet, taken: str) -> None:
    before = badge(copies, taken)
    with spoilt(copies, "mod/page/version.php", "$plugin = new stdClass();"):
        tree = Path(copies.fleet.json("codebase", "show", "sandbox")["path"])
        plugin = tree / "mod" / "page" / "version.php"
        plugin.write_text(plugin.read_text().replace("2024", "2025"))
        problem = copies.fleet.problem("snapshot", "drill", taken)
    assert problem["code"] == "snapshot.drill.codebase"
    assert badge(copies, taken) == before
    assert copies.fleet.problem("snapshot", "drill")["code"] == "snapshot.which"
    assert copies.fleet.problem("snapshot", "drill", "--site", "nosuch")["code"] == "snapshot.none"
