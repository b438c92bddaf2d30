"""`vmoodle plugin` on real Moodle databases of both engines, with the sandbox's code."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.contract.test_sql import Mixed, both
from tests.fixtures import load_fixture
from tests.fleet import Fleet
from tests.registered import register
from tests.servers import PrivateServer

from vmoodle.engines.protocol import SiteDatabase, open_engine
from vmoodle.installation import Installation
from vmoodle.sandbox import copy_tree
from vmoodle.secret import generate_password

__all__ = ["both"]

# One on each engine; to load a database takes seconds, so that all tests use the same ones.
SITES = {"m1": "mariadb", "p1": "postgresql"}


@pytest.fixture(scope="module")
def databases(both: dict[str, PrivateServer]) -> dict[str, SiteDatabase]:
    loaded = {}
    for site, kind in SITES.items():
        engine = open_engine(both[kind].address)
        database = SiteDatabase(f"vm_full_{site}", f"vm_full_{site}", generate_password())
        engine.create_account(database)
        engine.create_database(database)
        load_fixture(engine, database, "moodle-4.5.5")
        loaded[site] = database
    return loaded


@pytest.fixture
def moodles(
    both: dict[str, PrivateServer],
    databases: dict[str, SiteDatabase],
    installation: Installation,
    home: Path,
    tmp_path: Path,
) -> Mixed:
    from vmoodle.registry.models import Codebase, Site

    made = Mixed(Fleet(home), databases=databases)
    for name, kind in SITES.items():
        made.engines[name] = open_engine(both[kind].address)
        register(installation, kind, both[kind].url, made.engines[name], name)
        Site.objects.filter(shortname=name).update(
            database=databases[name].name,
            account=databases[name].account,
            password_encrypted=installation.encrypt(databases[name].password),
            dataroot=str(tmp_path / name),
        )
    tree = copy_tree(tmp_path / "tree")
    Codebase.objects.update(path=str(tree))
    for name, version in (("own", 2026010100), ("page", 2099010100)):
        file = tree / "mod" / name / "version.php"
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"<?php $plugin->version = {version};")
    return made


@contextmanager
def without(moodles: Mixed, site: str, component: str) -> Iterator[None]:
    """Let a plugin be none that is installed on a site."""
    place = "{config_plugins} SET plugin = %s WHERE plugin = %s AND name = 'version'"
    for new, old in ((f"was{component}", component), (component, f"was{component}")):
        with moodles.engines[site].connect(moodles.databases[site], read_only=False) as connection:
            connection.execute(f"UPDATE {place}", (new, old))
        if new != component:
            yield


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
    for row in results(
        fleet.json("plugin", "list", "--on", "*", "--type", "mods", status=1)
    ).values():
        assert row["error"]["code"] == "plugin.type"


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
    words = ("set", "mod_chat=enabled", "mod_page=disabled", "--on", "*", "--yes")
    before = states(moodles)
    with without(moodles, "p1", "mod_chat"):
        ended = moodles.fleet.run(
            "plugin", *words, "--confirm", "m1,p1", "--json", status=None
        )  # fmt: skip
        done = moodles.fleet.json("run", "list")[0]["run"]
        found = states(moodles)
        shown = moodles.fleet.run("plugin", "compare", "--on", "*", "--type", "mod").stdout
    assert "plugin.unknown" in ended.stdout
    assert (found["m1"]["mod_page"], found["p1"]["mod_page"]) == ("disabled", "enabled")
    assert "mod_chat" in shown
    moodles.fleet.run("run", "undo", done, "--yes", "--confirm", "m1")
    assert states(moodles) == before


def test_states_and_orders_of_one_site_are_given_to_another(moodles: Mixed) -> None:
    fleet, before = moodles.fleet, states(moodles)
    made = fleet.json(
        "plugin", "set", "filter_tex=enabled", "enrol_guest=disabled", "mod_chat=enabled",
        "repository_upload=hidden", "--on", "m1", "--yes", "--confirm", "m1",
    )["run"]  # fmt: skip
    with moodles.engines["m1"].connect(moodles.databases["m1"], read_only=False) as connection:
        connection.execute(
            "UPDATE {config} SET value = 'self,manual,cohort' WHERE name = 'enrol_plugins_enabled'"
        )
    source = states(moodles)["m1"]
    with without(moodles, "p1", "mod_chat"):
        done = fleet.json(
            "plugin", "sync", "--from", "m1", "--on", "*", "--yes", "--confirm", "p1"
        )  # fmt: skip
        rows = results(done)
        assert list(rows) == ["p1"], "a source is no target"
        notes = {row["plugin"]: row for row in rows["p1"]["rows"]}
        assert notes["filter_tex"]["new"] == "enabled"
        assert notes["mod_chat"]["note"].startswith("left: The site has no plugin")
        assert notes["order of enrol"]["new"] == "self, manual, cohort"
        assert {n for n, state in states(moodles)["p1"].items() if state != source.get(n)} <= {
            "mod_chat", "wasmod_chat"
        }  # fmt: skip
        again = results(fleet.json("plugin", "sync", "--from", "m1", "--on", "p1", "--dry-run"))
        assert [row["plugin"] for row in again["p1"]["rows"]] == ["mod_chat"]
        fleet.run("run", "undo", done["run"], "--yes", "--confirm", "p1")
    assert states(moodles)["p1"] == before["p1"]
    # The order of enrolments on m1 was set by somebody else since.
    refused = fleet.run("run", "undo", made, "--yes", "--confirm", "m1", status=None)
    assert "plugin.changed" in refused.stdout + refused.stderr


def test_an_unknown_source_and_words_that_are_none_are_refused(moodles: Mixed) -> None:
    for code, *words in (
        ("site.unknown", "sync", "--from", "nobody"),
        ("plugin.word", "set", "forum=enabled"),
        ("plugin.state.fixed", "set", "auth_manual=disabled"),
        ("plugin.state", "sync", "--from", "m1", "--type", "theme"),
    ):
        assert moodles.fleet.problem("plugin", *words, "--on", "*")["code"] == code


def test_a_site_whose_moodle_cannot_be_asked_is_told_and_does_not_hold_the_others(
    moodles: Mixed,
) -> None:
    """The tree here has no config.php: what takes Moodle's code fails, and what does not is set."""
    fleet, before = moodles.fleet, states(moodles)
    words = ("portfolio_download=enabled", "block_html=disabled")
    with moodles.engines["p1"].connect(moodles.databases["p1"], read_only=False) as connection:
        connection.execute(
            "INSERT INTO {portfolio_instance} (plugin, name, visible) VALUES ('download', 'd', 1)"
        )
    try:
        dry = results(fleet.json("plugin", "set", *words, "--on", "*", "--dry-run"))
        assert [(row["plugin"], row["note"]) for row in dry["m1"]["rows"]] == [
            ("portfolio_download", "by Moodle's own code"), ("block_html", "")
        ]  # fmt: skip
        assert [row["plugin"] for row in dry["p1"]["rows"]] == ["block_html"]
        done = fleet.json(
            "plugin", "set", *words, "--on", "*", "--yes", "--confirm", "m1,p1", status=1
        )
        told, now = results(done), states(moodles)
        assert told["m1"]["error"]["code"] == "script.failed"
        assert now["m1"] == before["m1"]
        assert now["p1"] == before["p1"] | {
            "portfolio_download": "enabled", "block_html": "disabled"
        }  # fmt: skip
        fleet.run("run", "undo", done["run"], "--yes", "--confirm", "p1")
        assert states(moodles)["p1"] == before["p1"] | {"portfolio_download": "enabled"}
    finally:
        with moodles.engines["p1"].connect(moodles.databases["p1"], read_only=False) as connection:
            connection.execute("DELETE FROM {portfolio_instance}")


def test_a_kind_of_repository_with_linked_files_is_not_disabled(moodles: Mixed) -> None:
    fleet, before = moodles.fleet, states(moodles)
    for site, database in moodles.databases.items():
        with moodles.engines[site].connect(database, read_only=False) as connection:
            ((instance,),) = connection.query(
                "SELECT MIN(i.id) FROM {repository_instances} i JOIN {repository} r"
                " ON r.id = i.typeid WHERE r.type = 'upload'"
            )
            connection.execute(
                "INSERT INTO {files_reference} (repositoryid, reference, referencehash)"
                " VALUES (%s, 'x', 'x')",
                (instance,),
            )
            connection.execute(
                "UPDATE {files} SET referencefileid = (SELECT MAX(id) FROM {files_reference})"
                " WHERE id = (SELECT id FROM (SELECT MIN(id) AS id FROM {files}) f)"
            )
    try:
        words = ("plugin", "set", "block_html=disabled", "repository_upload=disabled", "--on", "*")
        for row in results(fleet.json(*words, "--dry-run", status=1)).values():
            assert row["error"]["code"] == "plugin.state.files"
        refused = fleet.problem(*words, "--yes", "--confirm", "m1,p1")
        assert refused["code"] == "run.trial"
        assert states(moodles) == before
    finally:
        for site, database in moodles.databases.items():
            with moodles.engines[site].connect(database, read_only=False) as connection:
                connection.execute("UPDATE {files} SET referencefileid = NULL")
                connection.execute("DELETE FROM {files_reference}")
