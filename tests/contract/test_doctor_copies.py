"""The doctor finds templates, warm copies, snapshots and identities that are not as they should."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest
from tests.contract.copies import CopyFleet, copies

from vmoodle.engines.protocol import SiteDatabase
from vmoodle.secret import Secret

__all__ = ["copies"]


@pytest.fixture(scope="module")
def filled(copies: CopyFleet) -> CopyFleet:
    """The fleet with a template, a copy that waits, a snapshot and a clone, all of them whole."""
    copies.fleet.run("template", "create", "base", "--from", "first")
    copies.fleet.run("template", "warm", "base", "--keep", "1")
    copies.fleet.run("snapshot", "create", "first")
    copies.make("site", "clone", "first", "twin", "--url", "http://twin.example.test")
    copies.fleet.run("worker", "--until-idle")
    copies.fleet.assert_clean()
    return copies


@contextmanager
def changed(copies: CopyFleet, table: str, column: str, value: str) -> Iterator[None]:
    """Let the one row of a table of the registry have another value for the length of the block."""
    with closing(sqlite3.connect(copies.fleet.home / "registry.sqlite3")) as connection:
        sql = f'SELECT "{column}" FROM registry_{table}'
        ((before,),) = connection.execute(sql).fetchall()
    write(copies, table, column, value)
    try:
        yield
    finally:
        write(copies, table, column, before)


def write(copies: CopyFleet, table: str, column: str, value: object) -> None:
    with closing(sqlite3.connect(copies.fleet.home / "registry.sqlite3")) as connection:
        sql = f'UPDATE registry_{table} SET "{column}" = ?'
        connection.execute(sql, (value,))
        connection.commit()


def found(copies: CopyFleet) -> list[str]:
    """Return the numbers of the checks that find something, once for each finding."""
    return [row["check"] for row in copies.fleet.json("doctor", status=None)]


@pytest.mark.parametrize(
    ("table", "column", "value", "findings"),
    [
        ("template", "database", "vm_gone", ["V070"]),
        ("template", "state", "making", ["V070"]),
        ("warmcopy", "state", "making", ["V071"]),
        ("warmcopy", "revision", "0", ["V071"]),
        ("warmcopy", "database", "vm_gone", ["V071"]),
        ("snapshot", "state", "making", ["V072"]),
        # Once for what the store has not, once for what the registry has not.
        ("snapshot", "id", "first-20200101-000000-00000000", ["V072", "V072"]),
    ],
)
def test_what_the_registry_says_and_is_not_so_is_found(
    filled: CopyFleet, table: str, column: str, value: str, findings: list[str]
) -> None:
    with changed(filled, table, column, value):
        assert found(filled) == findings
    filled.fleet.assert_clean()


@pytest.mark.parametrize(("pattern", "finding"), [(".template-*", "V070"), (".warm-*", "V071")])
def test_a_directory_that_is_gone_is_found(filled: CopyFleet, pattern: str, finding: str) -> None:
    (path,) = (filled.fleet.home / "moodledata").glob(pattern)
    aside = filled.fleet.home / "aside"
    path.rename(aside)
    try:
        assert found(filled) == [finding]
    finally:
        aside.rename(path)
    filled.fleet.assert_clean()


def test_two_sites_with_one_identifier_are_found(filled: CopyFleet) -> None:
    own = filled.config(filled.database("twin"))["siteidentifier"]
    identify(filled, filled.config(filled.database("first"))["siteidentifier"])
    (finding,) = filled.fleet.json("doctor", status=1)
    assert finding["check"] == "V073"
    assert "first, twin" in str(finding)
    identify(filled, own)
    filled.fleet.assert_clean()


def identify(copies: CopyFleet, value: str) -> None:
    """Give the clone a siteidentifier."""
    with copies.engine.connect(copies.database("twin"), read_only=False) as connection:
        connection.execute("UPDATE {config} SET value = %s WHERE name = 'siteidentifier'", (value,))


def test_what_can_be_mended_is_offered_and_mended(filled: CopyFleet) -> None:
    fleet, engine = filled.fleet, filled.engine
    write(filled, "warmcopy", "revision", "0")
    (fleet.home / "key").chmod(0o644)
    next((fleet.home / "map" / "web").rglob("first.example.test*")).unlink()
    left = fleet.home / "moodledata" / "left"
    left.mkdir()
    pair = SiteDatabase("vm_left", "vm_left", Secret("Left-0ver!"))
    engine.create_account(pair)
    engine.create_database(pair)
    # As they are made: the account first.
    entries = (("account", "main", "vm_left"), ("database", "main", "vm_left"))
    with closing(sqlite3.connect(fleet.home / "registry.sqlite3")) as connection:
        for kind, place, name in (*entries, ("directory", "", str(left))):
            connection.execute(
                "INSERT INTO registry_ledgerentry"
                " (kind, place, name, owner, operation_id, made, written_at)"
                " VALUES (?, ?, ?, 'nobody', 'gone', 1, '2026-01-01')",
                (kind, place, name),
            )
        connection.commit()
    assert set(found(filled)) == {"V001", "V030", "V050", "V071"}
    assert fleet.problem("doctor", "--mend")["code"] == "doctor.unconfirmed"
    assert engine.database_exists("vm_left")
    answer = fleet.json("doctor", "--mend", "--yes")
    assert answer["findings"] == []
    assert [one["ok"] for one in answer["mended"]] == [True] * 6
    assert not engine.database_exists("vm_left")
    assert not engine.account_exists("vm_left")
    assert not left.exists()
    assert fleet.json("hook", "check", "first")[0]["ok"]
    fleet.assert_clean()


@pytest.mark.parametrize("place", ["map", "map/web", "map/cli", "map/web/first.example.test.json"])
def test_wrong_rights_in_the_map_are_found_with_their_path_and_mended(
    filled: CopyFleet, place: str
) -> None:
    path = filled.fleet.home / place
    path.chmod(0o700)
    findings = filled.fleet.json("doctor", status=1)
    assert {row["check"] for row in findings} <= {"V002", "V030"}
    assert all(str(path) in row["hint"] for row in findings)
    assert filled.fleet.json("doctor", "--mend", "--yes")["findings"] == []
    filled.fleet.assert_clean()
