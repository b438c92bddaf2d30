"""Commands through the `vmoodle` program: one JSON document each, progress for people only."""

from __future__ import annotations

import json
import os
import pty
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests.fleet import LIMIT_SECONDS, PROGRAM, Fleet

from vmoodle.sandbox import copy_tree

URL = "http://first.example.test"


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    """A fleet on the embedded server with one site."""
    directory = Path(tempfile.mkdtemp(prefix="vmoodle-commands-"))
    directory.chmod(0o755)
    made = Fleet(directory / "home")
    made.run("server", "add", "main", "embedded")
    made.run("codebase", "add", "sandbox", "sandbox")
    made.run("site", "create", "first", "--url", URL)
    yield made
    made.assert_clean()
    assert made.json("stop") == {"done": ["stopped the embedded PostgreSQL"]}
    shutil.rmtree(directory, ignore_errors=True)


def test_what_changes_settings_and_the_map_prints_a_document(fleet: Fleet) -> None:
    words = ("debugdisplay", "1", "--site", "first")
    document = {"setting": "debugdisplay", "scope": "site first", "forced": True, "published": 1}
    assert fleet.json("forced", "set", *words) == document
    unset = fleet.json("forced", "unset", "debugdisplay", "--site", "first")
    assert unset == document | {"forced": False}
    assert fleet.json("hook", "rebuild") == {"sites": 1, "configurations": 0}


def test_a_registry_without_sites_empties_no_map(fleet: Fleet) -> None:
    entries = fleet.home / "map" / "web"
    before = {path.name for path in entries.iterdir()}
    aside = fleet.home / "aside"
    aside.mkdir()
    for path in fleet.home.glob("registry.sqlite3*"):
        path.rename(aside / path.name)
    try:
        assert fleet.problem("hook", "rebuild")["code"] == "hook.rebuild.empty"
        assert {path.name for path in entries.iterdir()} == before
    finally:
        for path in fleet.home.glob("registry.sqlite3*"):
            path.unlink()
        for path in aside.iterdir():
            path.rename(fleet.home / path.name)
        aside.rmdir()
    assert fleet.json("hook", "rebuild")["sites"] == 1


def test_an_operation_cancelled_and_a_worker_print_documents(fleet: Fleet) -> None:
    fleet.run("site", "suspend", "first")
    ordered = fleet.json("site", "delete", "first", "--confirm", "first", "--purge", "--detach")
    cancelled = fleet.json("operation", "cancel", ordered["operation"])
    assert (cancelled["id"], cancelled["state"]) == (ordered["operation"], "queued")
    worker = fleet.run("worker", "--until-idle", "--json")
    (ended,) = json.loads(worker.stdout)["ended"]
    introduced, begins, ends = worker.stderr.splitlines()
    assert introduced.startswith("worker of the node ") and introduced.endswith(str(fleet.home))
    told = f"  {ordered['operation']}  site.purge  first  "
    assert begins.endswith(f"{told}begins") and ends.endswith(f"{told}cancelled")
    assert fleet.run("worker", "--until-idle", "--quiet").stderr == ""
    assert (ended["id"], ended["state"]) == (ordered["operation"], "cancelled")
    assert fleet.problem("operation", "cancel", ended["id"])["code"] == "operation.state"
    fleet.run("site", "resume", "first")


def test_what_is_shown_or_forgotten_is_a_document_too(fleet: Fleet) -> None:
    assert fleet.json("site", "open", "first") == {"site": "first", "url": URL}
    assert "[sites]" in fleet.json("settings", "example")["toml"]
    fleet.run("codebase", "add", "short", "sandbox")
    assert fleet.json("codebase", "remove", "short") == {"removed": "short", "restored": None}
    assert [row["name"] for row in fleet.json("codebase", "list")] == ["sandbox"]
    other = Fleet(fleet.home.parent / "other")
    other.run("server", "add", "own", "embedded")
    assert other.json("server", "remove", "own") == {"removed": "own"}
    assert other.json("stop")["done"] == ["stopped the embedded PostgreSQL"]
    assert other.json("stop")["done"] == ["nothing was running"]


def on_a_terminal(fleet: Fleet, *words: str) -> tuple[Any, str]:
    """Run a call with standard error on a terminal; return its document and what was shown."""
    master, slave = pty.openpty()
    with subprocess.Popen(
        [str(PROGRAM), *words, "--json"],
        env=fleet.env() | {"TERM": "xterm"},
        stdin=slave, stdout=subprocess.PIPE, stderr=slave,
    ) as process:  # fmt: skip
        os.close(slave)
        shown = b""
        while True:
            try:
                part = os.read(master, 4096)
            except OSError:
                break
            shown += part
        assert process.stdout is not None
        document = json.loads(process.stdout.read())
        assert process.wait(LIMIT_SECONDS) == 0, shown
    os.close(master)
    return document, shown.decode(errors="replace")


def test_snapshots_are_ordered_of_all_the_sites_named_or_of_none(fleet: Fleet) -> None:
    assert fleet.problem("snapshot", "create", "first", "nosuch")["code"] == "site.unknown"
    assert fleet.json("operation", "list", "--active") == []
    (taken,) = fleet.json("snapshot", "create", "first", "first")
    assert taken["site"] == "first"
    fleet.run("snapshot", "delete", taken["id"])


def test_a_snapshot_goes_into_a_new_store_and_an_imported_one_keeps_its_date(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    (before,) = fleet.json("snapshot", "create", "first")
    archive = fleet.home.parent / "first.tar"
    fleet.run("snapshot", "export", before["id"], str(archive))
    monkeypatch.setitem(
        fleet.environment, "VMOODLE_SNAPSHOTS__STORE", str(fleet.home.parent / "other-store")
    )
    monkeypatch.setitem(
        fleet.environment, "VMOODLE_SNAPSHOTS__KEY", fleet.json("settings", "key")["key"]
    )
    (after,) = fleet.json("snapshot", "create", "first")
    assert fleet.json("snapshot", "verify", after["id"])["ok"] is True
    fleet.run("snapshot", "delete", after["id"])
    monkeypatch.delitem(fleet.environment, "VMOODLE_SNAPSHOTS__STORE")
    monkeypatch.delitem(fleet.environment, "VMOODLE_SNAPSHOTS__KEY")
    fleet.run("snapshot", "delete", before["id"])
    imported = fleet.json("snapshot", "import", str(archive))
    assert imported["taken"] == before["taken"]
    assert imported["imported"] is True
    assert fleet.json("snapshot", "import", str(archive))["imported"] is False
    said = fleet.run("snapshot", "import", str(archive)).stderr
    assert f"{before['id']} is there already; nothing was changed" in said
    fleet.run("snapshot", "delete", before["id"])


def test_a_pinned_snapshot_is_neither_pruned_nor_deleted(fleet: Fleet) -> None:
    (older,) = fleet.json("snapshot", "create", "first")
    (newer,) = fleet.json("snapshot", "create", "first")
    assert fleet.json("snapshot", "pin", older["id"])["pinned"] is True
    assert fleet.problem("snapshot", "delete", older["id"])["code"] == "snapshot.pinned"
    pruned = fleet.json("snapshot", "prune", "--keep", "last=1")
    assert (pruned["deleted"], pruned["pinned"]) == ([], [older["id"]])
    assert set(pruned["kept"]) == {older["id"], newer["id"]}
    said = fleet.run("snapshot", "prune", "--keep", "last=1").stderr
    assert said.endswith("2 kept, 1 of them pinned\n")
    assert fleet.json("snapshot", "unpin", older["id"])["pinned"] is False
    assert fleet.json("snapshot", "prune", "--keep", "last=1")["deleted"] == [older["id"]]
    fleet.run("snapshot", "delete", newer["id"])


def test_a_site_goes_back_to_its_snapshot_in_the_base_it_was_made_in(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    (taken,) = fleet.json("snapshot", "create", "first")
    monkeypatch.setitem(
        fleet.environment,
        "VMOODLE_SITES__DATAROOT_BASE",
        str(fleet.home.parent.resolve() / "newer"),
    )
    before = fleet.json("site", "show", "first")["dataroot"]
    fleet.run("snapshot", "restore", taken["id"], "--confirm", "first")
    assert fleet.json("site", "show", "first")["dataroot"] == before
    assert fleet.json("hook", "check", "first")[0]["ok"]
    fleet.run("snapshot", "delete", taken["id"])


@pytest.fixture(scope="module")
def broken(fleet: Fleet) -> str:
    """A second site, of which no other snapshot can be taken: Moodle says it is being upgraded."""
    fleet.run("site", "create", "second", "--url", "http://second.example.test")
    fleet.run("snapshot", "create", "second")
    words = ("admin/cli/cfg.php", "--name=upgraderunning", "--set=4102444800")
    fleet.run("exec", "second", "--", *words)
    return "second"


def test_a_site_that_fails_holds_up_no_other_snapshot(fleet: Fleet, broken: str) -> None:
    taken, failed = fleet.json("snapshot", "create", "*", status=1)
    assert (taken["site"], taken["ok"]) == ("first", True)
    assert (failed["site"], failed["ok"], failed["code"]) == (broken, False, "site.upgrading")
    assert "1 taken, 1 failed" in fleet.run("snapshot", "create", "--all", status=1).stderr
    assert fleet.problem("snapshot", "create", "none-*")["code"] == "target.none"
    assert fleet.problem("snapshot", "create")["code"] == "target.nothing"
    words = ("snapshot", "create", "--label", "region=none")
    assert fleet.problem(*words)["code"] == "target.none"
    fleet.run("snapshot", "prune", "--keep", "last=1")


def test_what_is_due_is_taken_once_by_a_worker_or_a_timer(
    fleet: Fleet, broken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert fleet.json("snapshot", "schedule")["schedule"] == "off"
    monkeypatch.setitem(fleet.environment, "VMOODLE_SNAPSHOTS__SCHEDULE", "daily")
    assert fleet.problem("worker", "--until-idle")["code"] == "schedule.invalid"
    monkeypatch.setitem(fleet.environment, "VMOODLE_SNAPSHOTS__SCHEDULE", "daily 02:30")
    monkeypatch.setitem(fleet.environment, "VMOODLE_SNAPSHOTS__RETENTION", "last=1")
    assert fleet.json("snapshot", "due") == []
    before = [row["id"] for row in fleet.json("snapshot", "list", "first")]
    a_day_passes(fleet)
    fleet.run("worker", "--until-idle")
    (taken,) = fleet.json("snapshot", "list", "first")
    assert taken["reason"] == "schedule"
    assert taken["id"] not in before
    shown = fleet.json("snapshot", "schedule")
    assert (shown["taken"], shown["failed"], shown["state"]) == (1, [broken], "done")
    assert fleet.json("worker", "--until-idle")["ended"] == []
    assert fleet.json("snapshot", "due") == []
    a_day_passes(fleet)
    monkeypatch.setitem(fleet.environment, "VMOODLE_SNAPSHOTS__SCHEDULE_SITES", "f* second")
    taken, failed = fleet.json("snapshot", "due", status=1)
    assert (taken["site"], failed["site"]) == ("first", broken)
    fleet.run("snapshot", "delete", taken["id"])


def a_day_passes(fleet: Fleet) -> None:
    """Put back by a day when the schedule was last in force and due."""
    with closing(sqlite3.connect(fleet.home / "registry.sqlite3")) as connection, connection:
        connection.execute(
            "UPDATE registry_schedule SET since = datetime(since, '-1 day'), "
            "due_at = datetime(due_at, '-1 day')"
        )


def test_a_site_of_which_no_snapshot_can_be_taken_is_not_deleted_unless_one_says_so(
    fleet: Fleet, broken: str
) -> None:
    fleet.run("site", "suspend", broken)
    words = ("site", "delete", broken, "--confirm", broken)
    problem = fleet.problem(*words, failed=True)
    assert problem["code"] == "site.delete.snapshot"
    assert "--no-snapshot" in problem["hint"]
    assert fleet.json("site", "show", broken)["state"] == "suspended"
    (taken,) = fleet.json("snapshot", "list", broken)
    assert fleet.json(*words, "--no-snapshot")["snapshot"] == ""
    (certificate,) = fleet.json("site", "purge", broken, "--confirm", broken, "--now")
    assert certificate["snapshots_deleted"] == []
    assert certificate["snapshots_remaining"] == [taken["id"]]
    fleet.run("snapshot", "delete", taken["id"])


def test_a_deleted_site_says_how_long_it_is_kept_and_what_can_be_done(fleet: Fleet) -> None:
    fleet.run("site", "suspend", "first")
    fleet.run("site", "delete", "first", "--confirm", "first", "--no-snapshot")
    assert fleet.json("site", "show", "first")["kept_until"]
    hint = fleet.problem("site", "delete", "first", "--confirm", "first")["hint"]
    assert "revive" in hint and "suspend" not in hint
    assert fleet.json("site", "revive", "first")["kept_until"] == ""
    fleet.run("site", "resume", "first")


def test_policies_are_listed_and_one_is_told_in_full(fleet: Fleet) -> None:
    listed = fleet.run("site", "policies").stdout
    assert "staging" in listed and "anonymous" in listed and "sessions" not in listed
    assert "sessions" in fleet.run("site", "policies", "staging").stdout
    assert fleet.problem("site", "policies", "nosuch")["code"] == "sanitise.unknown"


def test_progress_is_shown_on_a_terminal_and_nowhere_else(fleet: Fleet) -> None:
    tree = fleet.home.parent / "tree"
    copy_tree(tree)
    for words, shown in (
        (("codebase", "add", "copied", str(tree), "--copy"), "tree"),
        (("hook", "rebuild"), "map"),
        (("doctor",), "V0"),
    ):
        assert shown in on_a_terminal(fleet, *words)[1]
    fleet.run("codebase", "remove", "copied")
    assert fleet.run("codebase", "add", "copied", str(tree), "--copy").stderr == ""
    for words in (("hook", "rebuild"), ("doctor",), ("codebase", "remove", "copied")):
        assert fleet.run(*words).stderr == ""
    shutil.rmtree(tree)


def immutable_tree(fleet: Fleet) -> Path:
    """Return a sandbox tree with the class that Moodle builds its component cache with."""
    tree = fleet.home.parent / "immutable"
    copy_tree(tree)
    (tree / "lib" / "classes").mkdir(exist_ok=True)
    (tree / "lib" / "classes" / "component.php").write_text(
        "<?php namespace core; class component {"
        " public static function get_cache_content() { return \\component_cache_content(); } }\n"
    )
    library = tree / "lib" / "componentlib.php"
    library.write_text(library.read_text() + "\nrequire_once __DIR__ . '/classes/component.php';\n")
    return tree


def test_sites_on_an_immutable_tree_that_changed_are_published_with_its_new_cache(
    fleet: Fleet,
) -> None:
    tree = immutable_tree(fleet)
    fleet.run("codebase", "add", "fixed", str(tree), "--immutable")
    url = "http://fixed.example.test"
    fleet.run("site", "create", "fixed", "--url", url, "--codebase", "fixed")
    entry = fleet.home / "map" / "web" / "fixed.example.test.json"

    def cache() -> Path:
        return Path(json.loads(entry.read_text())["cfg"]["alternative_component_cache"])

    before = cache()
    fleet.run("codebase", "check", "fixed")
    assert cache() == before
    (tree / "mod" / "novel").mkdir()
    (tree / "mod" / "novel" / "version.php").write_text("<?php $plugin->version = 1;\n")
    fleet.run("codebase", "check", "fixed")
    assert cache() != before
    assert "novel" in cache().read_text()
    assert "novel" not in before.read_text()
    fleet.assert_clean()
    shutil.rmtree(tree / "mod" / "novel")
    fleet.run("codebase", "check", "fixed")
    assert sorted(before.parent.iterdir()) != [before]

    cache().unlink()
    assert [finding["check"] for finding in fleet.json("doctor", status=1)] == ["V020"]
    fleet.run("codebase", "check", "fixed")
    fleet.run("site", "suspend", "fixed")
    fleet.run("site", "delete", "fixed", "--confirm", "fixed", "--purge")
    fleet.run("codebase", "remove", "fixed")
    assert not before.parent.exists()
    shutil.rmtree(tree)


def test_sites_of_a_tree_that_is_gone_are_wrong_and_the_others_are_requested(fleet: Fleet) -> None:
    tree = fleet.home.parent / "second"
    copy_tree(tree)
    fleet.run("codebase", "add", "second", str(tree))
    fleet.run(
        "site", "create", "blind", "--url", "http://blind.example.test", "--codebase", "second"
    )
    aside = tree.with_name("aside")
    tree.rename(aside)
    try:
        rows = {row["site"]: row for row in fleet.json("hook", "check", status=1)}
        assert rows["first"]["ok"]
        assert not rows["blind"]["ok"]
        assert str(tree) in rows["blind"]["seen"]
        wrong = {"VMOODLE_WEB__CONNECT": "nowhere"}
        assert fleet.problem("hook", "check", **wrong)["code"] == "settings.value"
    finally:
        aside.rename(tree)
    fleet.run("site", "suspend", "blind")
    fleet.run("site", "delete", "blind", "--confirm", "blind", "--purge")
    fleet.run("codebase", "remove", "second")
    shutil.rmtree(tree)
