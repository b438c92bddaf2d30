"""Upgrades of real sites of both engines, rehearsed while a client asks them.

To the next release, or to 5.1.0 where `VMOODLE_TEST_UPGRADE_SITES` asks for many sites: that takes
five times as long.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.checksums import table_checksums
from tests.contract.copies import CopyFleet
from tests.fleet import Fleet
from tests.moodle.conftest import SERVERS
from tests.moodle.test_upgrade_run_of_real_sites import (
    PASSWORD,
    SITES,
    VISITS,
    Client,
    World,
    asking,
    plant,
)
from tests.trees import real_trees

from vmoodle.engines.address import parse_url
from vmoodle.engines.protocol import open_engine
from vmoodle.installation import DEFAULT_WEB_ACCOUNT
from vmoodle.moodle.code.tree import MoodleTree
from vmoodle.moodle.php.binary import PhpBinary, find_php
from vmoodle.moodle.php.server import PhpServer

pytestmark = pytest.mark.moodle
WANTED = ("4.5.5", "4.5.6" if SITES < 12 else "5.1.0")
TO = f"m{WANTED[1].replace('.', '')}"
# The trees that machines have for tests may be without some of Moodle's plugins.
ACCEPT = ("--accept", "plugin.missing")


@pytest.fixture(scope="module")
def rehearsed(database_urls: dict[str, str]) -> Iterator[World]:
    """A site on each engine, at the older of two codebases."""
    real = {path.name: path for path in real_trees() if path.name in WANTED}
    if len(real) < len(WANTED):
        pytest.skip(f"no real Moodle {WANTED} found (VMOODLE_MOODLE_TREES): {sorted(real)}")
    directory = Path(tempfile.mkdtemp(prefix="vmoodle-rehearsals-"))
    directory.chmod(0o755)
    fleet = Fleet(directory / "home")
    # Other fleets of the tests are on the same servers.
    fleet.environment["VMOODLE_SITES__DATABASE_PREFIX"] = "rehearse_"
    for name in SERVERS:
        fleet.run("server", "add", name, database_urls[name])
    for name in WANTED:
        fleet.run("codebase", "add", f"m{name.replace('.', '')}", str(real[name]), "--copy")
    trees = {one["name"]: Path(one["path"]) for one in fleet.json("codebase", "list")}
    for server in SERVERS:
        name = f"{server[0]}9"
        fleet.run(
            "site", "create", name, "--codebase", "m455", "--server", server, "--detach",
            "--url", f"http://{name}.example.test", "--name", f"Site {name}",
            "--admin-password-file", "-", stdin=f"{PASSWORD}\n",
        )  # fmt: skip
    fleet.run("worker", "--until-idle")
    account = DEFAULT_WEB_ACCOUNT if os.geteuid() == 0 else None
    php = PhpBinary(find_php(None), account)
    with ExitStack() as stack:
        places = {}
        for name, path in trees.items():
            server = stack.enter_context(PhpServer(MoodleTree.open(path), php))
            places[name] = (server.host, server.port)
        sites = [one["shortname"] for one in fleet.json("site", "list")]
        engines = {
            name[0]: CopyFleet(fleet, open_engine(parse_url(database_urls[name])))
            for name in SERVERS
        }
        yield World(fleet, Client(fleet.home, places, sites), engines, trees)
        fleet.assert_clean()
    shutil.rmtree(directory, ignore_errors=True)


def contents(world: World) -> dict[str, dict[str, str]]:
    """Return checksums of each site's tables."""
    found = {}
    for name in world.client.sites:
        copies = world.engines[name[0]]
        found[name] = table_checksums(copies.engine, copies.database(name))
    return found


def changed(before: dict[str, str], after: dict[str, str]) -> set[str]:
    return {name for name in {*before, *after} if before.get(name) != after.get(name)}


def test_rehearsed_on_copies_the_sites_serve_and_are_what_they_were(rehearsed: World) -> None:
    for name in rehearsed.client.sites:
        assert rehearsed.client.ask(name) == 200
    before = contents(rehearsed)
    databases = {name: one.engine.list_databases() for name, one in rehearsed.engines.items()}
    plugin = MoodleTree.open(rehearsed.trees[TO]).webroot / "local" / "vmfail"
    words = ("upgrade", "rehearse", "--to", TO, "--on", "*", *ACCEPT)
    plant(plugin)
    with asking(rehearsed.client):
        failed = rehearsed.fleet.json(*words, "--largest", "1", status=1)
    shutil.rmtree(plugin)
    (row,) = failed["rehearsals"]
    assert (row["state"], row["failed_component"]) == ("failed", "local_vmfail")
    assert "planted" in row["error_message"]
    assert {status for *_when, status in rehearsed.client.seen} == {200}

    with asking(rehearsed.client):
        passed = rehearsed.fleet.json(*words)
    assert {status for *_when, status in rehearsed.client.seen} == {200}
    rows = {one["shortname"]: one for one in passed["rehearsals"]}
    assert {one["state"] for one in rows.values()} == {"passed"}, rows
    assert set(rows) == set(rehearsed.client.sites)
    after = contents(rehearsed)
    for name in rehearsed.client.sites:
        assert changed(before[name], after[name]) <= VISITS
    assert {
        name: one.engine.list_databases() for name, one in rehearsed.engines.items()
    } == databases
    for one in rows.values():
        print(one["shortname"], one["copy_ms"], one["upgrade_ms"], one["touched_tables"])


def test_the_real_upgrade_touches_what_was_rehearsed(rehearsed: World) -> None:
    fleet = rehearsed.fleet
    rows = {}
    for row in fleet.json("upgrade", "rehearsals", "--to", TO):
        rows.setdefault(row["shortname"], fleet.json("upgrade", "rehearsal", row["rehearsal"]))
    before = contents(rehearsed)
    ended = fleet.json(
        "upgrade", "run", "--to", TO, "--on", "*", *ACCEPT, "--max-factor", "20",
        "--confirm", ",".join(rehearsed.client.sites),
    )  # fmt: skip
    assert ended["summary"] == {"done": 2}, ended
    after = contents(rehearsed)
    for one in ended["sites"]:
        name = one["shortname"]
        assert one["expected_ms"] == rows[name]["upgrade_ms"]
        touched = set(rows[name]["touched"])
        assert changed(before[name], after[name]) - VISITS <= touched
        print(name, one["upgrade_ms"], one["expected_ms"], len(touched))
