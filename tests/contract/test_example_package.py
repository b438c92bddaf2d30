"""The example package is installed, appears, runs, and what breaks in it stays there."""

from __future__ import annotations

import os
import shutil
import tomllib
from pathlib import Path

import pytest
from tests.contract.test_sql import Mixed, both, mixed

__all__ = ["both", "mixed"]

EXAMPLE = Path(__file__).parents[2] / "examples" / "acme-vmoodle"


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with what an installer makes of the example, without a registry."""
    directory = tmp_path_factory.mktemp("example")
    said = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
    shutil.copytree(EXAMPLE / "src" / "acme_vmoodle", directory / "acme_vmoodle")
    information = directory / f"acme_vmoodle-{said['version']}.dist-info"
    information.mkdir()
    facts = f"Metadata-Version: 2.1\nName: {said['name']}\nVersion: {said['version']}\n"
    (information / "METADATA").write_text(facts)
    groups = [
        f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in entries.items())
        for group, entries in said["entry-points"].items()
    ]
    (information / "entry_points.txt").write_text("".join(groups))
    return directory


@pytest.fixture
def acme(mixed: Mixed, package: Path) -> Mixed:
    """The fleet, with the package beside VMoodle."""
    mixed.fleet.environment["PYTHONPATH"] = f"{package}:{os.environ.get('PYTHONPATH', '')}"
    mixed.fleet.forked = False
    return mixed


def test_its_commands_appear_and_run(acme: Mixed) -> None:
    fleet = acme.fleet
    listed = {one["set"]: one for one in fleet.json("command", "list")}
    assert (listed["acme"]["ok"], listed["acme"]["package"]) == (True, "acme-vmoodle")
    assert fleet.json("command", "show", "acme.users")["parameters"][0]["choices"] == [
        "all", "suspended", "deleted"
    ]  # fmt: skip
    run = ("command", "run")
    document = fleet.json(*run, "acme.users", "--on", "*", "--users", "deleted")
    assert [row["value"] for row in document["results"]] == [1, 1, 1, 1]
    # The table lacks a column: that is this command's on this site, and nobody else's.
    document = fleet.json(*run, "acme.users", "--on", "*", "--users", "suspended", status=1)
    assert {row["error"]["code"] for row in document["results"]} == {"engine.sql"}
    assert fleet.problem(*run, "acme.users", "--on", "*", "--users", "odd")["code"] == (
        "command.parameter"
    )


def test_its_change_is_tried_out_and_made_where_it_can_be(acme: Mixed) -> None:
    for name in ("m1", "p1"):
        with acme.engines[name].connect(acme.databases[name], read_only=False) as connection:
            connection.execute(
                "INSERT INTO {config_plugins} (plugin, name, value) VALUES (%s, %s, %s)",
                ("theme_classic", "version", "1"),
            )
    fleet = acme.fleet
    assert fleet.json("command", "values", "acme.rename-theme", "new", "p1") == ["classic"]
    words = ("command", "run", "acme.rename-theme", "--old", "boost", "--new", "classic")
    document = fleet.json(*words, "--on", "m1, p1", "--dry-run")
    assert [row["value"] for row in document["results"]] == [1, 1]
    document = fleet.json(*words, "--on", "p1, p2", "--yes", status=1)
    assert [row["status"] for row in document["results"]] == ["ok", "failed"]
    assert acme.ask("p1", "SELECT value FROM {config} WHERE name = 'theme'") == [("classic",)]
    assert acme.ask("m1", "SELECT value FROM {config} WHERE name = 'theme'") == [("boost",)]


def test_a_broken_version_of_it_is_told_and_breaks_nothing(acme: Mixed, package: Path) -> None:
    module = package / "acme_vmoodle" / "commands.py"
    whole = module.read_text()
    module.write_text(whole + "\nimport nothing_there\n")
    try:
        listed = {one["set"]: one for one in acme.fleet.json("command", "list")}
        assert not listed["acme"]["ok"]
        assert "nothing_there" in listed["acme"]["error"]
        assert acme.sql("SELECT 1", "--on", "p1")["p1"]["value"] == 1
        problem = acme.fleet.problem("command", "run", "acme.users", "--on", "*")
        assert problem["code"] == "command.unknown"
        assert "could not be loaded" in problem["hint"]
    finally:
        module.write_text(whole)
