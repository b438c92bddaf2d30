"""Existing Moodles become sites: as they are, and never VMoodle's to drop."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.contract.copies import OLD, CopyFleet
from tests.contract.existing import Existing, files, make_existing, write_config


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
    return copies.engine.checksum(existing.database), files(existing.dataroot)


def test_a_dry_run_says_what_would_be_adopted_and_changes_nothing(
    copies: CopyFleet, existing: Existing
) -> None:
    before = content(copies, existing)
    found = adopt(copies, existing, "--dry-run")
    assert (found["server"], found["name"], found["url"]) == ("main", "First", existing.url)
    notes = "\n".join(found["notes"])  # type: ignore[arg-type]
    assert "$CFG->sslproxy" in notes
    assert f"it knows itself as {OLD}" in notes
    assert "it has the siteidentifier of first" in notes
    assert [row["shortname"] for row in copies.fleet.json("site", "list")] == ["first"]
    assert content(copies, existing) == before


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("--database", "nowhere"), "adopt.database"),
        (("--prefix", "x_"), "adopt.notmoodle"),
        (("--url", OLD), "site.url.taken"),
        (("--dataroot", "/usr/share"), "adopt.dataroot.none"),
        (("--dataroot", "relative"), "adopt.dataroot"),
        (("--server", "nowhere"), "server.unknown"),
        (("--account", "root"), "adopt.account.administrative"),
        (("--take-ownership",), "adopt.own.unconfirmed"),
        (("--take-ownership", "--confirm", "other"), "adopt.own.unconfirmed"),
    ],
)
def test_what_is_wrong_is_named_and_nothing_is_registered(
    copies: CopyFleet, existing: Existing, words: tuple[str, ...], code: str
) -> None:
    words = tuple(copies.engine.address.user if word == "root" else word for word in words)
    problem = copies.fleet.problem("site", "adopt", "old", "--config", str(existing.config), *words)
    assert problem["code"] == code, problem
    assert existing.database.password.reveal() not in str(problem)
    assert [row["shortname"] for row in copies.fleet.json("site", "list")] == ["first"]


def test_a_wrong_password_a_site_of_ours_and_a_shared_moodledata_are_refused(
    copies: CopyFleet, existing: Existing, tmp_path: Path
) -> None:
    first = copies.fleet.json("site", "show", "first")
    wrong = tmp_path / "wrong"
    wrong.write_text("not it\n")
    for words, code in (
        (("--password-file", str(wrong)), "adopt.database"),
        (("--database", first["database"]), "adopt.database.taken"),
        (("--account", first["account"]), "adopt.database.ours"),
        (("--dataroot", first["dataroot"]), "adopt.dataroot.shared"),
        (("--dataroot", first["dataroot"] + "/filedir"), "adopt.dataroot.none"),
    ):
        problem = copies.fleet.problem(
            "site", "adopt", "old", "--config", str(existing.config), *words
        )
        assert problem["code"] == code, problem


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
    fleet.assert_clean()
    # One account may be several adopted sites', one database not.
    assert fleet.problem("site", "adopt", "twice", "--config", str(existing.config))["code"] == (
        "adopt.database.taken"
    )

    copies.make("site", "clone", "old", "cloned", "--url", "http://cloned.example.test")
    fleet.run("template", "create", "from-old", "--from", "old")
    taken = fleet.json("snapshot", "create", "old")
    snapshot = (taken[0] if isinstance(taken, list) else taken)["id"]
    problem = fleet.problem("snapshot", "restore", snapshot, "--confirm", "old")
    assert problem["code"] == "site.adopted"
    fleet.run("site", "move", "old", "--url", "http://moved.example.test", "--no-redirect")
    fleet.run("site", "suspend", "old")
    fleet.run("site", "resume", "old")
    fleet.run("site", "suspend", "old")
    fleet.run("site", "delete", "old", "--confirm", "old")
    fleet.run("site", "revive", "old")
    fleet.assert_clean()

    certificate = fleet.json("site", "purge", "old", "--confirm", "old", "--now")[0]
    assert certificate["destroyed"] == []
    assert {thing["name"] for thing in certificate["left"]} == {
        existing.database.name, existing.database.account, str(existing.dataroot)
    }  # fmt: skip
    assert copies.engine.database_exists(existing.database.name)
    assert files(existing.dataroot) == before[1]
    for name in ("cloned",):
        fleet.run("site", "suspend", name)
        fleet.run("site", "delete", name, "--purge", "--confirm", name)
    fleet.run("template", "delete", "from-old", "--confirm", "from-old")
    fleet.assert_clean()


def test_what_cannot_be_proved_is_withdrawn_and_was_not_changed(
    copies: CopyFleet, existing: Existing
) -> None:
    fleet = copies.fleet
    with copies.engine.connect(existing.database, read_only=False) as connection:
        connection.execute("DELETE FROM {config} WHERE name = 'siteadmins'")
        connection.execute("UPDATE {config} SET value = 'nosuch' WHERE name = 'theme'")
    before = content(copies, existing)
    broken = existing.dataroot / "climaintenance.html"
    shown = adopt(copies, existing)
    assert shown["state"] == "enabled"
    fleet.run("site", "suspend", "old")
    fleet.run("site", "delete", "old", "--purge", "--confirm", "old")
    assert content(copies, existing) == before
    assert not broken.exists()


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
