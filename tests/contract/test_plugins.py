"""`vmoodle plugin` on real Moodle databases of both engines, with the sandbox's code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.contract.test_sql import Mixed, both, mixed
from tests.fixtures import load_fixture

from vmoodle.installation import Installation
from vmoodle.sandbox import copy_tree

__all__ = ["both", "mixed"]

# One on each engine; to load a database takes seconds.
SITES = ("m1", "p1")


@pytest.fixture
def moodles(mixed: Mixed, installation: Installation, tmp_path: Path) -> Mixed:
    from vmoodle.registry.models import Codebase, Site

    Site.objects.exclude(shortname__in=SITES).delete()
    for name in SITES:
        mixed.engines[name].reset_database(mixed.databases[name])
        load_fixture(mixed.engines[name], mixed.databases[name], "moodle-4.5.5")
    tree = copy_tree(tmp_path / "tree")
    Codebase.objects.update(path=str(tree))
    Site.objects.update(dataroot=str(tmp_path / "data"))
    for name, content in (("own", "$plugin->version = 2026010100;"), ("page", "")):
        file = tree / "mod" / name / "version.php"
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"<?php {content or '$plugin->version = 2099010100;'}")
    return mixed


def results(document: Any) -> dict[str, Any]:
    return {row["site"]: row for row in document["results"]}


def states(fleet: Mixed, *words: str) -> dict[str, dict[str, str]]:
    told = results(fleet.fleet.json("plugin", "list", "--on", "*", *words))
    return {site: {r["plugin"]: r["state"] for r in row["rows"]} for site, row in told.items()}


def test_versions_states_and_the_code_are_told_and_compared(moodles: Mixed) -> None:
    fleet = moodles.fleet
    shown = fleet.run("plugin", "list", "--on", "*", "--type", "mod")
    lines = {line.split()[0]: line.split() for line in shown.stdout.splitlines()}
    assert lines["PLUGIN"] == ["PLUGIN", "INSTALLED", "ON", "DISK", "STATE", "SITES", "WHICH"]
    assert lines["mod_forum"][-3:] == ["enabled", "2", "all"]
    assert lines["mod_own"] == ["mod_own", "2026010100", "2", "all"]
    own = results(fleet.json("plugin", "list", "--on", "m1", "--not-standard", "--type", "mod"))
    assert "mod_own" in {row["plugin"] for row in own["m1"]["rows"]}
    assert "mod_page" not in {row["plugin"] for row in own["m1"]["rows"]}
    amiss = results(fleet.json("plugin", "missing", "--on", "*"))
    for row in amiss.values():
        what = {one["plugin"]: one["what"] for one in row["rows"]}
        assert what["mod_own"] == "on disk, not installed"
        assert what["mod_forum"] == "installed, not on disk"
        assert what["mod_page"] == "to be upgraded"
        assert what["mod_label"] in ("older on disk", "to be upgraded")
    assert fleet.problem("plugin", "list", "--on", "*", "--type", "mods", failed=True)["code"]


def test_states_are_set_shown_and_taken_back(moodles: Mixed) -> None:
    fleet, before = moodles.fleet, states(moodles)
    words = ("filter_tex=available", "mod_chat=enabled", "enrol_self=disabled")
    dry = results(fleet.json("plugin", "set", *words, "--on", "*", "--dry-run"))
    wanted = [
        ("filter_tex", "disabled", "available"), ("mod_chat", "disabled", "enabled"),
        ("enrol_self", "enabled", "disabled"),
    ]  # fmt: skip
    for row in dry.values():
        assert [(r["plugin"], r["old"], r["new"]) for r in row["rows"]] == wanted
    assert states(moodles) == before
    done = fleet.json("plugin", "set", *words, "--on", "*", "--yes", "--confirm", "m1,p1")
    for site, row in results(done).items():
        assert row["rows"] == dry[site]["rows"]
        assert states(moodles)[site] == before[site] | {name: new for name, _old, new in wanted}
    compared = fleet.run("plugin", "compare", "--on", "*", "--what", "version")
    assert "No differences." in compared.stdout
    fleet.run("run", "undo", done["run"], "--yes", "--confirm", "m1,p1")
    assert states(moodles) == before


def test_a_site_without_a_plugin_is_told_and_left_as_it_is(moodles: Mixed) -> None:
    with moodles.engines["p1"].connect(moodles.databases["p1"], read_only=False) as connection:
        connection.execute("DELETE FROM {config_plugins} WHERE plugin = 'mod_chat'")
    ended = moodles.fleet.run(
        "plugin", "set", "mod_chat=enabled", "mod_page=disabled", "--on", "*", "--yes",
        "--confirm", "m1,p1", "--json", status=1,
    )  # fmt: skip
    assert '"plugin.unknown"' in ended.stdout
    found = states(moodles)
    assert (found["m1"]["mod_page"], found["p1"]["mod_page"]) == ("disabled", "enabled")
    shown = moodles.fleet.run("plugin", "compare", "--on", "*", "--type", "mod").stdout
    assert "p1: (not there)" in shown or "m1: enabled" in shown


def test_states_and_orders_of_one_site_are_given_to_another(moodles: Mixed) -> None:
    fleet = moodles.fleet
    fleet.run(
        "plugin", "set", "filter_tex=enabled", "enrol_guest=disabled", "mod_chat=enabled",
        "repository_upload=hidden", "--on", "m1", "--yes", "--confirm", "m1",
    )  # fmt: skip
    with moodles.engines["m1"].connect(moodles.databases["m1"], read_only=False) as connection:
        connection.execute(
            "UPDATE {config} SET value = 'self,manual,cohort' WHERE name = 'enrol_plugins_enabled'"
        )
    with moodles.engines["p1"].connect(moodles.databases["p1"], read_only=False) as connection:
        connection.execute("DELETE FROM {config_plugins} WHERE plugin = 'mod_chat'")
    before = states(moodles)
    done = fleet.json(
        "plugin", "sync", "--from", "m1", "--on", "*", "--yes", "--confirm", "m1,p1"
    )  # fmt: skip
    rows = results(done)
    assert rows["m1"]["rows"] == []
    notes = {row["plugin"]: row for row in rows["p1"]["rows"]}
    assert notes["filter_tex"]["new"] == "enabled"
    assert notes["mod_chat"]["note"].startswith("left: The site has no plugin")
    assert notes["order of enrol"]["new"] == "self, manual, cohort"
    after = states(moodles)
    assert (
        after["p1"]
        == {n: s for n, s in after["m1"].items() if n in after["p1"]}
        | {n: s for n, s in before["p1"].items() if n not in before["m1"]}
        | {"mod_chat": after["p1"].get("mod_chat")}
        if "mod_chat" in after["p1"]
        else True
    )
    again = results(fleet.json("plugin", "sync", "--from", "m1", "--on", "p1", "--dry-run"))
    assert [row["plugin"] for row in again["p1"]["rows"]] == ["mod_chat"]
    fleet.run("run", "undo", done["run"], "--yes", "--confirm", "p1")
    assert states(moodles) == before


def test_an_unknown_source_and_words_that_are_none_are_refused(moodles: Mixed) -> None:
    for code, *words in (
        ("site.unknown", "sync", "--from", "nobody"),
        ("plugin.word", "set", "forum=enabled"),
        ("plugin.state.fixed", "set", "auth_manual=disabled"),
        ("plugin.state", "sync", "--from", "m1", "--type", "theme"),
    ):
        assert moodles.fleet.problem("plugin", *words, "--on", "*")["code"] == code
