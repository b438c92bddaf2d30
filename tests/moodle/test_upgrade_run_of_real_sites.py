"""Real sites of both engines go 4.5.5 → 4.5.6 → 5.1.0 in waves, while a client asks them all.

`VMOODLE_TEST_UPGRADE_SITES` says how many sites, half of them on each engine; 12 take their time.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests.checksums import table_checksums
from tests.contract.copies import CopyFleet
from tests.fleet import LIMIT_SECONDS, Fleet
from tests.moodle.conftest import SERVERS
from tests.trees import real_trees
from tests.web import Browser

from vmoodle.engines.address import parse_url
from vmoodle.engines.protocol import open_engine
from vmoodle.installation import DEFAULT_WEB_ACCOUNT
from vmoodle.moodle.code.tree import MoodleTree
from vmoodle.moodle.php.binary import PhpBinary, find_php
from vmoodle.moodle.php.server import PhpServer

pytestmark = pytest.mark.moodle
WANTED = ("4.5.5", "4.5.6", "5.1.0")
PASSWORD = "Own-Passw0rd!"
PERIOD = 0.2
SITES = int(os.environ.get("VMOODLE_TEST_UPGRADE_SITES", "2"))
# Passes the hook and config.php and nothing else of Moodle: cheap enough for many sites.
PULSE = "/lib/javascript.php/-1/lib/javascript-static.js"


@dataclass
class Client:
    """Asks every site by the web root of the codebase it is on.

    For a small script all of them every fifth of a second, for their front pages in turn.
    """

    home: Path
    servers: dict[str, tuple[str, int]]
    sites: list[str]
    seen: list[tuple[str, float, float, int]] = field(default_factory=list)
    stopped: threading.Event = field(default_factory=threading.Event)

    def address(self, shortname: str) -> tuple[str, int]:
        path = self.home / "map" / "web" / f"{shortname}.example.test.json"
        return self.servers[json.loads(path.read_text())["codebase"]]

    def ask(self, shortname: str, path: str = "/") -> int:
        browser = Browser(self.address(shortname), f"{shortname}.example.test")
        return browser.get(path).status

    def look(self, shortname: str, path: str) -> None:
        began = time.time()
        status = self.ask(shortname, path)
        self.seen.append((shortname, began, time.time(), status))

    def pages(self) -> None:
        for shortname in itertools.cycle(self.sites):
            if self.stopped.wait(PERIOD):
                return
            self.look(shortname, "/")

    def pulse(self, shortname: str) -> None:
        while not self.stopped.wait(PERIOD):
            self.look(shortname, PULSE)

    def threads(self) -> list[threading.Thread]:
        pulses = [threading.Thread(target=self.pulse, args=(name,)) for name in self.sites]
        return [threading.Thread(target=self.pages), *pulses]


@contextmanager
def asking(client: Client) -> Iterator[None]:
    threads = client.threads()
    client.seen.clear()
    client.stopped.clear()
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        client.stopped.set()
        for thread in threads:
            thread.join()


@dataclass
class World:
    fleet: Fleet
    client: Client
    engines: dict[str, CopyFleet]
    trees: dict[str, Path]

    def upgrade(self, to: str, *words: str, status: int = 0) -> dict[str, Any]:
        """Upgrade all sites while the client asks; fail when one was away outside of its window."""
        everyone = ",".join(self.client.sites)
        with asking(self.client):
            ended = self.fleet.json(
                "upgrade", "run", "--to", to, "--on", "*", "--confirm", everyone,
                "--waves", "1,2",
                # The trees that machines have for tests may be without some of Moodle's plugins.
                "--accept", "plugin.missing", *words, status=status,
            )  # fmt: skip
        self.assert_only_own_windows(ended)
        return dict(ended)

    def content(self, shortname: str) -> list[tuple[Any, ...]]:
        """Return what people have put into a site, and by what they log in."""
        copies = self.engines[shortname[0]]
        database = copies.database(shortname)
        return [
            row
            for sql in (
                "SELECT id, username, password, email, auth FROM {user} ORDER BY id",
                "SELECT id, shortname, fullname, format FROM {course} ORDER BY id",
                "SELECT id, userid, roleid, contextid FROM {role_assignments} ORDER BY id",
                "SELECT id, contenthash, component, filearea FROM {files} ORDER BY id",
            )
            for row in copies.rows(database, sql)
        ]

    def assert_only_own_windows(self, ended: dict[str, Any]) -> None:
        windows: dict[str, tuple[float, float]] = {}
        for one in ended["sites"]:
            if one["operation_id"]:
                result = self.fleet.json("operation", "show", one["operation_id"])["result"]
                windows[one["shortname"]] = (result["closed"], result["opened"])
        asked = {shortname for shortname, *_rest in self.client.seen}
        assert asked == set(self.client.sites)
        for shortname, began, answered, status in self.client.seen:
            closed, opened = windows.get(shortname, (0.0, 0.0))
            if status != 200:
                # What was begun on the old code may be answered when the site has moved on.
                assert answered >= closed, (shortname, status)
                assert began <= opened, (shortname, status)


@pytest.fixture(scope="module")
def world(database_urls: dict[str, str]) -> Iterator[World]:
    """Sites on both engines, at the oldest of three codebases that stand side by side."""
    real = {path.name: path for path in real_trees() if path.name in WANTED}
    if len(real) < len(WANTED):
        pytest.skip(f"no real Moodle {WANTED} found (VMOODLE_MOODLE_TREES): {sorted(real)}")
    directory = Path(tempfile.mkdtemp(prefix="vmoodle-upgrades-"))
    directory.chmod(0o755)
    fleet = Fleet(directory / "home", limit=LIMIT_SECONDS * max(1, SITES // 4))
    # Other fleets of the tests are on the same servers.
    fleet.environment["VMOODLE_SITES__DATABASE_PREFIX"] = "upgrade_"
    for name in SERVERS:
        fleet.run("server", "add", name, database_urls[name])
    for name in WANTED:
        fleet.run("codebase", "add", f"m{name.replace('.', '')}", str(real[name]), "--copy")
    trees = {one["name"]: Path(one["path"]) for one in fleet.json("codebase", "list")}
    for number in range(1, SITES // 2 + 1):
        for server in SERVERS:
            how = ["create"] if number == 1 else ["clone", f"{server[0]}1"]
            more = ["--codebase", "m455", "--server", server] if number == 1 else []
            fleet.run(
                "site", *how, f"{server[0]}{number}", *more, "--detach",
                "--url", f"http://{server[0]}{number}.example.test",
                "--name", f"Site {server[0]}{number}",
                "--admin-password-file", "-", stdin=f"{PASSWORD}\n",
            )  # fmt: skip
        fleet.run("worker", "--until-idle")
    account = DEFAULT_WEB_ACCOUNT if os.geteuid() == 0 else None
    php = PhpBinary(find_php(None), account)
    with ExitStack() as stack:
        places = {}
        for name, path in trees.items():
            server = stack.enter_context(PhpServer(MoodleTree.open(path), php, workers=4))
            places[name] = (server.host, server.port)
        sites = [one["shortname"] for one in fleet.json("site", "list")]
        engines = {
            name[0]: CopyFleet(fleet, open_engine(parse_url(database_urls[name])))
            for name in SERVERS
        }
        yield World(fleet, Client(fleet.home, places, sites), engines, trees)
        fleet.assert_clean()
    shutil.rmtree(directory, ignore_errors=True)


def test_sites_go_on_while_others_are_upgraded_and_keep_their_logins(world: World) -> None:
    browsers = {}
    for name in world.client.sites:
        assert world.client.ask(name) == 200
        browsers[name] = Browser(world.client.address(name), f"{name}.example.test")
        browsers[name].login("admin", PASSWORD)
        assert browsers[name].is_logged_in()
    content = {name: world.content(name) for name in world.client.sites}
    ended = world.upgrade("m456")
    assert ended["summary"] == {"done": SITES}, ended
    told(ended)

    plugin = world.trees["m510"] / "public" / "local" / "vmfail"
    plant(plugin)
    first = world.client.sites[0]
    copies = world.engines[first[0]]
    before = table_checksums(copies.engine, copies.database(first))
    halted = world.upgrade("m510", status=1)
    assert halted["state"] == "halted"
    assert halted["summary"] == {"failed": 1, "waiting": SITES - 1}
    after = table_checksums(copies.engine, copies.database(first))
    changed = {table for table in before if before[table] != after.get(table)}
    # Visitors came between: what Moodle writes for each of them is no trace of the upgrade.
    assert changed <= VISITS, changed
    assert {one["codebase"] for one in world.fleet.json("site", "list")} == {"m456"}

    shutil.rmtree(plugin)
    with asking(world.client):
        ended = world.fleet.json("upgrade", "retry", halted["upgrade"])
    world.assert_only_own_windows(ended)
    assert ended["summary"] == {"done": SITES}, ended
    told(ended)
    assert {name: world.content(name) for name in world.client.sites} == content
    for name, browser in browsers.items():
        browser.server = world.client.address(name)
        assert browser.is_logged_in()
        later = Browser(browser.server, browser.host)
        later.login("admin", PASSWORD)
        assert later.is_logged_in()


def test_a_site_goes_back_to_the_release_and_the_content_it_had(world: World) -> None:
    for name in (world.client.sites[0], world.client.sites[-1]):
        content = world.content(name)
        shown = world.fleet.json("upgrade", "back", name, "--confirm", name)
        assert shown["codebase"] == "m456"
        assert world.content(name) == content
        assert world.client.ask(name) == 200
        browser = Browser(world.client.address(name), f"{name}.example.test")
        browser.login("admin", PASSWORD)
        assert browser.is_logged_in()


def told(ended: dict[str, Any]) -> None:
    """Print of each site for how long it was closed, and how long Moodle's upgrade took of it."""
    for one in ended["sites"]:
        closed, upgrade = one["downtime_ms"] / 1000, one["upgrade_ms"] / 1000
        print(f"{one['shortname']}: closed {closed:.1f} s, Moodle's own {upgrade:.1f} s")


VISITS = {
    "sessions",
    "logstore_standard_log",
    "user_lastaccess",
    "user",
    "config_plugins",
    "config",
}


def plant(plugin: Path) -> None:
    """Put a plugin into the tree whose installation fails."""
    (plugin / "db").mkdir(parents=True)
    (plugin / "lang" / "en").mkdir(parents=True)
    (plugin / "version.php").write_text(
        "<?php $plugin->component = 'local_vmfail'; $plugin->version = 2024010100;"
    )
    (plugin / "lang" / "en" / "local_vmfail.php").write_text("<?php $string['pluginname'] = 'F';")
    (plugin / "db" / "install.php").write_text(
        "<?php function xmldb_local_vmfail_install() { throw new coding_exception('planted'); }"
    )
