"""Templates, clones, snapshots and deletions of a whole fleet: on the sandbox, and on real Moodle.

Each test goes over every codebase on every server (`pairs`), or over one codebase of each server.
"""

from __future__ import annotations

import base64
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.moodle.conftest import SiteUnderTest, World, full_name
from tests.site_cells import MUST_DIFFER, Cells, cells, declared, differing
from tests.web import Browser

from vmoodle.engines.address import parse_url
from vmoodle.engines.protocol import Engine, SiteConnection, SiteDatabase, open_engine
from vmoodle.moodle.database import content_urls
from vmoodle.moodle.identity.entry import Action
from vmoodle.secret import Keyring

# Words that a careless copy would take for a table or for an address.
TRAP = "mdl_user is text; so is x9_user. {}/course/view.php?id=1 and http%3A%2F%2F{}%2Fcourse%2F"
NEW_VALUES = {Action.REGENERATE, Action.REDRAW, Action.BUMP}


@dataclass(frozen=True)
class Pair:
    """One codebase on one server: a site there, and how to look into databases there."""

    world: World
    site: SiteUnderTest
    engine: Engine

    @property
    def template(self) -> str:
        return f"t-{self.site.shortname}"

    @contextmanager
    def inside(self, shortname: str, *, write: bool = False) -> Iterator[SiteConnection]:
        """Open the database of a site, or with `template:NAME` of a template."""
        with self.engine.connect(self._database(shortname), read_only=not write) as connection:
            yield connection

    def cells(self, shortname: str) -> Cells:
        """Return all a database holds."""
        with self.inside(shortname) as connection:
            return cells(connection)

    def make(self, *words: str) -> None:
        """Make a site whose administrator's password is its shortname's."""
        name = words[3] if words[1] == "clone" else words[2]
        self.world.fleet.run(
            *words, "--name", full_name(name), "--admin-password-file", "-", stdin=_password(name)
        )

    def remove(self, *shortnames: str) -> None:
        """Destroy sites of this test's."""
        self.world.fleet.run("site", "suspend", *shortnames)
        self.world.fleet.run(
            "site", "delete", *shortnames, "--confirm", ",".join(shortnames), "--purge"
        )

    def browser(self, host: str) -> Browser:
        return Browser(self.site.address, host)

    def _database(self, subject: str) -> SiteDatabase:
        """Read from the registry what no command tells."""
        kind, separator, name = subject.partition(":")
        table, key = ("template", "name") if separator else ("site", "shortname")
        home = self.world.fleet.home
        with closing(sqlite3.connect(home / "registry.sqlite3")) as connection:
            row = connection.execute(
                f'SELECT "database", account, table_prefix, password_encrypted'
                f" FROM registry_{table} WHERE {key} = ?",
                (name or kind,),
            ).fetchone()
        password = Keyring(home / "key").decrypt(row[3])
        return SiteDatabase(row[0], row[1], password, row[2])


def _password(shortname: str) -> str:
    return f"Own-{shortname}-Passw0rd!\n"


def _pairs(world: World, urls: dict[str, str]) -> list[Pair]:
    first: dict[tuple[str, str], SiteUnderTest] = {}
    for site in world.sites:
        first.setdefault((site.codebase, site.server), site)
    return [Pair(world, site, open_engine(parse_url(urls[site.server]))) for site in first.values()]


@pytest.fixture(scope="module")
def pairs(world: World, database_urls: dict[str, str]) -> Iterator[list[Pair]]:
    """One site of each codebase on each server, trapped and captured as a template."""
    made = _pairs(world, database_urls)
    for pair in made:
        _plant(pair)
        world.fleet.run("template", "create", pair.template, "--from", pair.site.shortname)
    yield made
    for pair in made:
        world.fleet.run("template", "delete", pair.template, "--confirm", pair.template)
    world.fleet.run("worker", "--until-idle")
    world.fleet.assert_clean()


@pytest.fixture(scope="module")
def unlike(pairs: list[Pair]) -> list[Pair]:
    """One pair of each server, on different codebases."""
    older = next(pair for pair in pairs if pair.site.codebase == "moodle4.5")
    return [older, next(pair for pair in pairs if (pair.site.codebase, pair.site.server) != (
        "moodle4.5", older.site.server) and pair.site.server != older.site.server
        and pair.site.codebase != "moodle4.5")]  # fmt: skip


def _plant(pair: Pair) -> None:
    """Write the site's own address where Moodle's editors and blocks write it."""
    text = TRAP.format(f"http://{pair.site.host}", pair.site.host)
    block = f'O:8:"stdClass":1:{{s:4:"text";s:{len(text.encode())}:"{text}";}}'
    with pair.inside(pair.site.shortname, write=True) as connection:
        connection.execute(
            "UPDATE {role} SET description = %s WHERE shortname = 'student'", (text,)
        )
        connection.execute(
            "INSERT INTO {config_plugins} (plugin, name, value) VALUES ('local_trap', 'block', %s)",
            (base64.b64encode(block.encode()).decode(),),
        )


def _trap(pair: Pair, shortname: str) -> tuple[str, str]:
    with pair.inside(shortname) as connection:
        (text,) = connection.query("SELECT description FROM {role} WHERE shortname = 'student'")[0]
        (block,) = connection.query(
            "SELECT value FROM {config_plugins} WHERE plugin = 'local_trap' AND name = 'block'"
        )[0]
    return str(text), base64.b64decode(str(block)).decode()


def test_a_template_tells_where_it_comes_from_and_knows_no_address(pairs: list[Pair]) -> None:
    for pair in pairs:
        facts = pair.world.fleet.json("template", "show", pair.template)
        assert (facts["source"], facts["server"]) == (pair.site.shortname, pair.site.server)
        assert facts["fits"] == [pair.site.codebase]
        assert facts["moodle"]
        assert facts["created"]
        assert facts["database_bytes"] > 0
        with pair.inside(f"template:{pair.template}") as connection:
            assert content_urls.find(connection, f"http://{pair.site.host}") == []
            assert connection.query("SELECT 1 FROM {sessions}") == []


def test_two_siblings_differ_in_what_is_declared_and_hold_no_address_but_their_own(
    pairs: list[Pair],
) -> None:
    for pair in pairs:
        names = [f"{pair.site.shortname}-{word}" for word in ("a", "b")]
        with ThreadPoolExecutor(2) as both:
            ordered = [
                both.submit(
                    pair.make, "site", "create", name, "--url", f"http://{name}.example.test",
                    "--template", pair.template, "--codebase", pair.site.codebase, *more,
                )
                for name, more in zip(names, ((), ("--prefix", "x9_")), strict=True)
            ]  # fmt: skip
        for order in ordered:
            order.result()
        one, other = (pair.cells(name) for name in names)
        template = pair.cells(f"template:{pair.template}")
        for copy in (one, other):
            rewritten = {
                cell
                for cell in differing(template, copy)
                if not declared(cell) and not _alive(cell)
            } - _addresses(template, copy)
            assert rewritten == set(), pair.site.shortname
            assert MUST_DIFFER & copy.keys() - differing(template, copy) == set()
        between = differing(one, other)
        odd = {c for c in between if not declared(c, NEW_VALUES) and not _alive(c)}
        assert odd <= _addresses(one, other)
        assert MUST_DIFFER & one.keys() - between == set()
        for name in names:
            own = f"http://{name}.example.test"
            text = TRAP.format(own, f"{name}.example.test")
            assert _trap(pair, name) == (
                text,
                f'O:8:"stdClass":1:{{s:4:"text";s:{len(text.encode())}:"{text}";}}',
            )
            foreign = (pair.site.host, "site.vmoodle.invalid")
            found = pair.cells(name).items()
            assert [cell for cell, v in found if any(word in str(v) for word in foreign)] == []
            visitor = pair.browser(f"{name}.example.test")
            assert f"«{name}»" in visitor.get("/").text
            visitor.login("admin", _password(name).strip())
            assert visitor.is_logged_in(), name
        pair.remove(*names)


def _addresses(one: Cells, other: Cells) -> set[tuple[str, str, str]]:
    """Return the cells that hold a site's own address in its content."""
    planted = {("config_plugins", "local_trap/block", "value")}
    return planted | {
        cell
        for cell in one.keys() & other.keys()
        if cell[0] == "role" and cell[2] == "description" and "x9_user" in str(one[cell])
    }


def test_a_copy_whose_database_refuses_its_identity_is_never_live(unlike: list[Pair]) -> None:
    for pair in unlike:
        fleet, name = pair.world.fleet, f"{pair.site.shortname}-no"
        table = f"{fleet.json('site', 'show', pair.site.shortname)['prefix']}config"
        with pair.inside(pair.site.shortname, write=True) as connection:
            (old,) = connection.query("SELECT value FROM {config} WHERE name = 'siteidentifier'")[0]
            connection.execute(
                f"ALTER TABLE {table} ADD CONSTRAINT vmoodle_no"
                f" CHECK (name <> 'siteidentifier' OR value = '{old}')"
            )
        try:
            problem = fleet.problem(
                "site", "clone", pair.site.shortname, name, "--url", f"http://{name}.example.test",
                "--admin-password-file", "-", stdin=_password(name), failed=True,
            )  # fmt: skip
        finally:
            with pair.inside(pair.site.shortname, write=True) as connection:
                connection.execute(f"ALTER TABLE {table} DROP CONSTRAINT vmoodle_no")
        assert "vmoodle_no" in problem["detail"]
        assert fleet.problem("site", "show", name)["code"] == "site.unknown"
        assert pair.browser(f"{name}.example.test").get("/").status == 404
        fleet.assert_clean()


def test_a_clone_is_silent_its_source_unchanged(unlike: list[Pair]) -> None:
    for pair in unlike:
        source, name = pair.site.shortname, f"{pair.site.shortname}-c"
        before = pair.cells(source)
        pair.make(
            "site", "clone", source, name, "--url", f"http://{name}.example.test/sub",
            "--sanitise", "staging",
        )  # fmt: skip
        changed = {cell for cell in differing(before, pair.cells(source)) if not _alive(cell)}
        assert changed == set()
        with pair.inside(name) as connection:
            assert content_urls.find(connection, f"http://{pair.site.host}") == []
        assert f"«{name}»" in pair.browser(f"{name}.example.test").get("/sub/").text
        facts = pair.world.fleet.json("site", "move", name, "--url", f"http://{name}.example.test")
        assert facts["url"] == f"http://{name}.example.test"
        assert f"«{name}»" in pair.browser(f"{name}.example.test").get("/").text
        pair.remove(name)


def _alive(cell: tuple[str, str, str]) -> bool:
    """Tell whether a site that serves and runs its tasks writes there by itself."""
    return cell[0] in {"sessions", "logstore_standard_log", "task_log", "task_scheduled", "lock_db"}


def test_a_site_is_put_back_to_its_snapshot_and_drilled(unlike: list[Pair]) -> None:
    for pair in unlike:
        fleet, name = pair.world.fleet, f"{pair.site.shortname}-r"
        pair.make(
            "site", "create", name, "--url", f"http://{name}.example.test",
            "--template", pair.template,
        )  # fmt: skip
        (taken,) = fleet.json("snapshot", "create", name)
        with pair.inside(name, write=True) as connection:
            connection.execute("UPDATE {course} SET fullname = 'spoilt'")
            connection.execute("DELETE FROM {user} WHERE id > 1")
        fleet.run("snapshot", "restore", taken["id"], "--confirm", name)
        visitor = pair.browser(f"{name}.example.test")
        assert f"«{name}»" in visitor.get("/").text
        visitor.login("admin", _password(name).strip())
        assert visitor.is_logged_in()
        fleet.run("snapshot", "drill", taken["id"])
        assert fleet.json("snapshot", "show", taken["id"])["drilled_ok"] is True
        pair.remove(name)


def test_a_deleted_site_is_kept_revived_and_then_gone(unlike: list[Pair]) -> None:
    for pair in unlike:
        fleet, name = pair.world.fleet, f"{pair.site.shortname}-d"
        pair.make(
            "site", "create", name, "--url", f"http://{name}.example.test",
            "--template", pair.template,
        )  # fmt: skip
        facts = fleet.json("site", "show", name)
        problem = fleet.problem("site", "delete", name, "--confirm", name)
        assert problem["code"] == "site.enabled"
        fleet.run("site", "suspend", name)
        fleet.run("site", "delete", name, "--confirm", name)
        assert pair.browser(f"{name}.example.test").get("/").status == 410
        assert Path(facts["dataroot"]).is_dir()
        fleet.run("site", "revive", name)
        fleet.run("site", "resume", name)
        assert f"«{name}»" in pair.browser(f"{name}.example.test").get("/").text
        pair.remove(name)
        assert not Path(facts["dataroot"]).exists()
        assert not pair.engine.database_exists(facts["database"])


def test_a_snapshot_of_the_older_moodle_becomes_a_site_of_the_newer_by_moodles_upgrade(
    pairs: list[Pair],
) -> None:
    pair = next(
        pair
        for pair in pairs
        if (pair.site.codebase, pair.site.server) == ("moodle4.5", "postgres")
    )
    fleet, name = pair.world.fleet, "upgraded"
    (taken,) = fleet.json("snapshot", "create", pair.site.shortname)
    fleet.run("template", "create", name, "--from-snapshot", taken["id"])
    fleet.run("template", "refresh", name, "--upgrade", "moodle5.1")
    assert fleet.json("template", "show", name)["fits"] == ["moodle5.1"]
    words = ("site", "create", name, "--url", f"http://{name}.example.test")
    pair.make(*words, "--template", name, "--codebase", "moodle5.1")
    newer = Browser(pair.world.addresses["5.1"], f"{name}.example.test")
    assert f"«{name}»" in newer.get("/").text
    newer.login("admin", _password(name).strip())
    assert newer.is_logged_in()
    fleet.run("exec", name, "--", "admin/cli/checks.php", status=None)
    pair.remove(name)
    fleet.run("template", "delete", name, "--confirm", name)
