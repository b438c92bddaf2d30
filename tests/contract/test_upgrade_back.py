"""After an upgrade a site can go back to what it was, for as long as its safety copy is kept."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from tests import servers
from tests.checksums import table_checksums
from tests.contract.copies import CopyFleet
from tests.fleet import Fleet

from vmoodle.engines.protocol import open_engine
from vmoodle.sandbox import copy_tree


@pytest.fixture(params=["mariadb", "postgresql"])
def fleet(request: pytest.FixtureRequest) -> Iterator[CopyFleet]:
    """A site on the codebase `old`, and the codebases `new` and `newer`."""
    missing = getattr(servers, f"{request.param}_missing")()
    if missing:
        pytest.skip(missing)
    directory = Path(tempfile.mkdtemp(prefix="vmoodle-upgrade-back-"))
    directory.chmod(0o755)
    with getattr(servers, f"private_{request.param}")(directory / "server") as server:
        fleet = Fleet(directory / "home")
        fleet.run("server", "add", "main", server.url)
        fleet.run("codebase", "add", "old", "sandbox")
        for name, release in (("new", "5.0.0"), ("newer", "5.1.0")):
            fleet.run("codebase", "add", name, str(copy_tree(directory / name, release=release)))
        made = CopyFleet(fleet, open_engine(server.address))
        made.make("site", "create", "site", "--url", "http://site.test", "--codebase", "old")
        yield made
        fleet.assert_clean()
    shutil.rmtree(directory, ignore_errors=True)


def upgrade(fleet: CopyFleet, to: str) -> dict[str, object]:
    words = ("--accept", "plugin.missing", "--yes")
    ended = fleet.fleet.json("upgrade", "run", "--to", to, "--on", "site", *words)
    return dict(ended["sites"][0])


def databases(fleet: CopyFleet) -> list[str]:
    return [name for name in fleet.engine.list_databases() if name.startswith("vm_")]


def let_pass(fleet: CopyFleet) -> None:
    """Let the copies have been kept long enough."""
    with closing(sqlite3.connect(fleet.fleet.home / "registry.sqlite3")) as registry:
        registry.execute("UPDATE registry_upgradecopy SET until = '2020-01-01 00:00:00'")
        registry.commit()


def test_a_site_goes_back_to_its_code_and_its_data(fleet: CopyFleet) -> None:
    before = table_checksums(fleet.engine, fleet.database("site"))
    assert upgrade(fleet, "new")["back_until"]
    assert len(databases(fleet)) == 2
    with fleet.engine.connect(fleet.database("site"), read_only=False) as connection:
        connection.execute("INSERT INTO {config} (name, value) VALUES ('later', '1')")
    for words in ((), ("--confirm", "other")):
        problem = fleet.fleet.problem("upgrade", "back", "site", *words)
        assert problem["code"] == "upgrade.back.unconfirmed"
    shown = fleet.fleet.json("upgrade", "back", "site", "--confirm", "site")
    assert shown["codebase"] == "old"
    after = table_checksums(fleet.engine, fleet.database("site"))
    assert {name for name in before if after[name] != before[name]} <= {"config"}
    assert "later" not in fleet.config(fleet.database("site"))
    assert "200" in fleet.fleet.run("hook", "check", "site").stdout
    assert databases(fleet) == [fleet.database("site").name]
    assert list((fleet.fleet.home / "run").glob("upgrade-*")) == []
    assert fleet.fleet.problem("upgrade", "back", "site")["code"] == "upgrade.back.none"
    # And forth again: that it went back is no failure of the upgrade.
    assert upgrade(fleet, "new")["state"] == "done"


def test_the_copy_is_dropped_in_time_by_the_next_upgrade_or_with_the_site(
    fleet: CopyFleet,
) -> None:
    upgrade(fleet, "new")
    (first,) = set(databases(fleet)) - {fleet.database("site").name}
    fleet.fleet.run("worker", "--until-idle")
    assert first in databases(fleet)
    upgrade(fleet, "newer")
    assert first not in databases(fleet)
    assert len(databases(fleet)) == 2
    let_pass(fleet)
    fleet.fleet.run("worker", "--until-idle")
    assert databases(fleet) == [fleet.database("site").name]
    assert fleet.fleet.problem("upgrade", "back", "site")["code"] == "upgrade.back.none"
    fleet.fleet.run("site", "clone", "site", "other", "--url", "http://other.test")
    fleet.fleet.json("codebase", "list")
    fleet.fleet.run("site", "suspend", "site")
    fleet.fleet.run("site", "purge", "site", "--now", "--confirm", "site")
    assert fleet.fleet.run("doctor").returncode == 0


def test_a_site_that_has_moved_since_and_one_whose_copy_is_gone_stay(fleet: CopyFleet) -> None:
    upgrade(fleet, "new")
    fleet.fleet.run("site", "move", "site", "--url", "http://moved.test", "--no-redirect")
    problem = fleet.fleet.problem("upgrade", "back", "site", "--confirm", "site")
    assert problem["code"] == "upgrade.back.moved"
    upgrade(fleet, "newer")
    (copy,) = set(databases(fleet)) - {fleet.database("site").name}
    fleet.engine.drop_database(fleet.engine.anonymous_database(copy))
    fleet.fleet.problem("upgrade", "back", "site", "--confirm", "site", failed=True)
    assert fleet.fleet.json("site", "show", "site")["codebase"] == "newer"
    assert "200" in fleet.fleet.run("hook", "check", "site").stdout
    let_pass(fleet)
    fleet.fleet.run("worker", "--until-idle")


def test_the_copy_goes_with_the_site(fleet: CopyFleet) -> None:
    upgrade(fleet, "new")
    fleet.fleet.run("site", "suspend", "site")
    fleet.fleet.run("site", "purge", "site", "--now", "--confirm", "site")
    assert databases(fleet) == []


def test_one_that_does_not_serve_when_it_went_back_goes_forth_again(fleet: CopyFleet) -> None:
    upgrade(fleet, "new")
    trees = {one["name"]: Path(one["path"]) for one in fleet.fleet.json("codebase", "list")}
    index = trees["old"] / "index.php"
    kept = index.read_text()
    index.write_text("<?php http_response_code(500);")
    try:
        fleet.fleet.problem("upgrade", "back", "site", "--confirm", "site", failed=True)
    finally:
        index.write_text(kept)
    assert fleet.fleet.json("site", "show", "site")["codebase"] == "new"
    assert len(databases(fleet)) == 2
    shown = fleet.fleet.json("upgrade", "back", "site", "--confirm", "site")
    assert shown["codebase"] == "old"
