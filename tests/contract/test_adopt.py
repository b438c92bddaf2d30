"""Existing Moodles become sites: as they are, and never VMoodle's to drop."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.checksums import checksum
from tests.contract.copies import OLD, CopyFleet, copies
from tests.contract.existing import Existing, files, make_existing, write_config

from vmoodle.files import write_atomically

__all__ = ["copies"]

# Where it makes no difference which engine it is, one is enough.
one_engine = pytest.mark.parametrize("copies", ["postgresql"], indirect=True)


@pytest.fixture(scope="module")
def existing(copies: CopyFleet) -> Iterator[Existing]:
    """A Moodle outside of VMoodle, gone after the tests."""
    made = make_existing(copies, "old")
    yield made
    copies.engine.drop_database(made.database, if_exists=True)
    copies.engine.drop_account(made.database.account, if_exists=True)
    shutil.rmtree(made.config.parent)


def adopt(copies: CopyFleet, existing: Existing, *words: str) -> dict[str, object]:
    found: dict[str, object] = copies.fleet.json(
        "site", "adopt", "old", "--config", str(existing.config), *words
    )
    return found


def content(copies: CopyFleet, existing: Existing) -> tuple[str, dict[str, str]]:
    return checksum(copies.engine, existing.database), files(existing.dataroot)


def test_a_dry_run_says_what_would_be_adopted_and_changes_nothing(
    copies: CopyFleet, existing: Existing
) -> None:
    before = content(copies, existing)
    found = adopt(copies, existing, "--dry-run")
    assert (found["server"], found["name"], found["url"]) == ("main", "First", existing.url)
    notes = "\n".join(found["notes"])  # type: ignore[arg-type]
    assert "$CFG->sslproxy" in notes
    assert f"it knows itself as {OLD}" in notes
    assert "vmoodle site move" not in notes  # for the site `first` has that address
    assert f"replace.php --search={OLD} --replace={existing.url} " in notes
    assert "it has the siteidentifier of first" in notes
    assert [row["shortname"] for row in copies.fleet.json("site", "list")] == ["first"]
    assert content(copies, existing) == before


def test_what_is_wrong_is_named_and_nothing_is_registered(
    copies: CopyFleet, existing: Existing, tmp_path: Path
) -> None:
    first = copies.fleet.json("site", "show", "first")
    wrong = [
        ("database", "nowhere", "adopt.database"),
        ("database", first["database"], "adopt.database.taken"),
        ("password", "not it", "adopt.database"),
        ("prefix", "x_", "adopt.notmoodle"),
        ("url", OLD, "site.url.taken"),
        ("dataroot", "/usr/share", "adopt.dataroot.none"),
        ("dataroot", "relative", "adopt.dataroot"),
        ("dataroot", first["dataroot"], "adopt.dataroot.shared"),
        ("dataroot", str(Path(first["dataroot"]).parent), "adopt.dataroot.none"),
        ("server", "nowhere", "server.unknown"),
        ("account", first["account"], "adopt.database.ours"),
        ("account", copies.engine.address.user, "adopt.account.administrative"),
    ]
    columns = ["database", "password", "prefix", "url", "dataroot", "server", "account"]
    path = tmp_path / "wrong.csv"
    path.write_text(
        f"shortname;config;{';'.join(columns)}\n"
        + "".join(
            f"x{number};{existing.config};"
            + ";".join(value if name == column else "" for name in columns)
            + "\n"
            for number, (column, value, _code) in enumerate(wrong)
        )
    )
    rows = copies.fleet.json("site", "import", str(path), "--simulate", status=1)
    assert [row["code"] for row in rows] == [code for _column, _value, code in wrong]
    assert existing.database.password.reveal() not in str(rows)
    (taken,) = [row for row in rows if row["code"] == "site.url.taken"]
    assert "vmoodle site adopt x4 --url URL" in taken["hint"]
    problem = copies.fleet.problem(
        "site", "adopt", "old", "--config", str(existing.config), "--take-ownership"
    )
    assert problem["code"] == "adopt.own.unconfirmed"
    assert [row["shortname"] for row in copies.fleet.json("site", "list")] == ["first"]


@one_engine
def test_a_server_that_vmoodle_does_not_know_is_refused_with_the_way_to_add_it(
    copies: CopyFleet, existing: Existing, tmp_path: Path
) -> None:
    elsewhere = Existing(
        existing.database, existing.dataroot, existing.url, tmp_path / "config.php"
    )
    write_config(copies, elsewhere)
    text = elsewhere.config.read_text()
    address = copies.engine.address
    host = "localhost" if address.socket else address.host
    elsewhere.config.write_text(text.replace(f"'{host}'", "'db9.example.org'").replace(
        f"'dbsocket' => '{address.socket}'", "'dbsocket' => ''"))  # fmt: skip
    problem = copies.fleet.problem("site", "adopt", "old", "--config", str(elsewhere.config))
    assert problem["code"] == "adopt.server.unknown"
    assert "vmoodle server add" in problem["hint"]


@one_engine
def test_a_newer_moodle_is_refused_and_an_older_one_is_told(
    copies: CopyFleet, existing: Existing
) -> None:
    def at(version: str) -> None:
        with copies.engine.connect(existing.database, read_only=False) as connection:
            connection.execute("UPDATE {config} SET value = %s WHERE name = 'version'", (version,))

    with copies.engine.connect(existing.database) as connection:
        ((now,),) = connection.query("SELECT value FROM {config} WHERE name = 'version'")
    try:
        at("2999010100.00")
        problem = copies.fleet.problem("site", "adopt", "old", "--config", str(existing.config))
        assert problem["code"] == "adopt.newer"
        at("2019010100.00")
        notes = adopt(copies, existing, "--dry-run")["notes"]
        assert "an upgrade is pending" in str(notes)
    finally:
        at(str(now))


def test_an_adopted_site_serves_and_all_that_sites_do_works_and_nothing_of_it_is_dropped(
    copies: CopyFleet, existing: Existing
) -> None:
    fleet, before = copies.fleet, content(copies, existing)
    shown = adopt(copies, existing, "--label", "origin=old")
    assert (shown["adopted"], shown["state"], shown["url"]) == (True, "enabled", existing.url)
    assert [row["ok"] for row in fleet.json("hook", "check", "old")] == [True]
    assert content(copies, existing) == before
    with copies.engine.connect(existing.database, read_only=False) as connection:
        connection.execute(
            "UPDATE {config} SET value = %s WHERE name = 'siteidentifier'", ("x" * 32,)
        )
    assert fleet.problem("site", "adopt", "twice", "--config", str(existing.config))["code"] == (
        "adopt.database.taken"
    )

    fleet.run("template", "create", "from-old", "--from", "old")
    fleet.run("snapshot", "create", "old")
    (snapshot,) = fleet.json("snapshot", "list", "old")
    assert fleet.problem("snapshot", "restore", snapshot["id"], "--confirm", "old")["code"] == (
        "site.adopted"
    )
    fleet.run("site", "move", "old", "--url", "http://moved.example.test", "--no-redirect")
    fleet.run("site", "suspend", "old")
    fleet.run("site", "delete", "old", "--confirm", "old")
    fleet.run("site", "revive", "old")
    fleet.run("site", "resume", "old")
    fleet.assert_clean()

    fleet.run("site", "suspend", "old")
    certificate = fleet.json("site", "purge", "old", "--confirm", "old", "--now")[0]
    assert certificate["destroyed"] == []
    assert {thing["name"] for thing in certificate["left"]} == {
        existing.database.name,
        existing.database.account,
        str(existing.dataroot),
    }
    assert copies.engine.database_exists(existing.database.name)
    assert files(existing.dataroot) == before[1]
    fleet.run("template", "delete", "from-old", "--confirm", "from-old")


@one_engine
def test_what_cannot_be_proved_is_withdrawn_and_was_not_changed(
    copies: CopyFleet, existing: Existing
) -> None:
    fleet, before = copies.fleet, content(copies, existing)
    settings = fleet.home / "vmoodle.toml"
    kept = settings.read_text() if settings.exists() else ""
    try:
        settings.write_text(f'{kept}\n[web]\nconnect = "127.0.0.1:1"\n')
        problem = fleet.problem(
            "site", "adopt", "old", "--config", str(existing.config), failed=True
        )
    finally:
        settings.unlink()
        if kept:
            write_atomically(settings, kept)
    assert problem["code"] == "site.proof"
    assert [row["shortname"] for row in fleet.json("site", "list")] == ["first"]
    assert not (fleet.home / "map" / "web" / "old.example.test.json").exists()
    # In maintenance mode there is no front page to prove it by.
    (existing.dataroot / "climaintenance.html").write_text("back soon")
    notes = adopt(copies, existing)["notes"]
    assert "it is in maintenance mode" in str(notes)
    (existing.dataroot / "climaintenance.html").unlink()
    assert content(copies, existing) == before
    fleet.run("site", "suspend", "old")
    fleet.run("site", "delete", "old", "--purge", "--confirm", "old")
    fleet.assert_clean()


def test_what_is_handed_over_is_dropped_with_the_site_but_for_its_account(
    copies: CopyFleet, existing: Existing
) -> None:
    fleet = copies.fleet
    adopt(copies, existing)
    assert (
        fleet.problem("site", "adopt", "first", "--take-ownership", "--confirm", "first")["code"]
        == "adopt.own.made"
    )
    fleet.run("site", "adopt", "old", "--take-ownership", "--confirm", "old")
    fleet.run("site", "suspend", "old")
    ended = fleet.run("site", "delete", "old", "--purge", "--confirm", "old")
    assert f"left, not made by VMoodle: account {existing.database.account}" in ended.stdout
    assert not copies.engine.database_exists(existing.database.name)
    assert not existing.dataroot.exists()
    assert copies.engine.account_exists(existing.database.account)
