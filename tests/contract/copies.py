"""A fleet with one site to copy, on each engine, for the tests of templates, clones, snapshots."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests import servers
from tests.fleet import Fleet

from vmoodle.engines.protocol import Engine, SiteDatabase, open_engine
from vmoodle.secret import Secret

OLD = "http://first.example.test"
# What a careless copy gets wrong: a look-alike of the prefix, the address in other clothes.
TRAPS = (
    "mdl_user is text, x9_user too",
    f"see {OLD}/mod/page/view.php?id=1 and http%3A%2F%2Ffirst.example.test%2Fx",
    "http://first.example.test.other.example/ is another host",
)


@dataclass
class CopyFleet:
    """The fleet, its server's engine, and how to look into a site's database."""

    fleet: Fleet
    engine: Engine

    def database(self, shortname: str) -> SiteDatabase:
        """Return a site's database, opened by the administrative account's new password."""
        facts = self.fleet.json("site", "show", shortname)
        return self._opened(facts["database"], facts["account"], facts["prefix"])

    def template(self, name: str) -> SiteDatabase:
        """Return a template's database."""
        facts = self.fleet.json("template", "show", name)
        return self._opened(facts["database"], facts["database"], facts["prefix"])

    def _opened(self, name: str, account: str, prefix: str) -> SiteDatabase:
        return SiteDatabase(name, account, self.password(name), prefix)

    def password(self, database: str) -> Secret:
        """Return the password that the registry keeps of a database's account."""
        import sqlite3
        from contextlib import closing

        from vmoodle.secret import Keyring

        sql = " UNION ALL ".join(
            f'SELECT password_encrypted FROM registry_{table} WHERE "database" = :name'
            for table in ("site", "template", "warmcopy")
        )
        with closing(sqlite3.connect(self.fleet.home / "registry.sqlite3")) as connection:
            token = connection.execute(sql, {"name": database}).fetchone()[0]
        return Keyring(self.fleet.home / "key").decrypt(token)

    def rows(self, database: SiteDatabase, sql: str) -> list[tuple[Any, ...]]:
        """Return what a query answers."""
        with self.engine.connect(database) as connection:
            return list(connection.query(sql))

    def config(self, database: SiteDatabase) -> dict[str, str]:
        """Return Moodle's core settings."""
        return {str(name): str(value) for name, value in self.rows(
            database, "SELECT name, value FROM {config}"
        )}  # fmt: skip

    def make(self, *words: str) -> None:
        """Create a site with a password nobody needs."""
        self.fleet.run(*words, "--admin-password-file", "-", stdin="Own-Passw0rd!\n")


@pytest.fixture(scope="module", params=["mariadb", "postgresql"])
def copies(request: pytest.FixtureRequest) -> Iterator[CopyFleet]:
    """A fleet on one engine with the site `first`, into which the traps were planted."""
    servers.require(request.param)
    directory = Path(tempfile.mkdtemp(prefix="vmoodle-copies-"))
    directory.chmod(0o755)
    with getattr(servers, f"private_{request.param}")(directory / "server") as server:
        fleet = Fleet(directory / "home")
        fleet.run("server", "add", "main", server.url)
        fleet.run("codebase", "add", "sandbox", "sandbox")
        made = CopyFleet(fleet, open_engine(server.address))
        made.make("site", "create", "first", "--url", OLD, "--name", "First")
        plant(made)
        yield made
        fleet.run("worker", "--until-idle")
        fleet.assert_clean()
    shutil.rmtree(directory, ignore_errors=True)


def plant(copies: CopyFleet) -> None:
    """Put the traps, a secret and a file into the first site."""
    database = copies.database("first")
    with copies.engine.connect(database, read_only=False) as connection:
        connection.execute(
            "UPDATE {role} SET description = %s WHERE shortname = 'student'", ("\n".join(TRAPS),)
        )
        connection.execute("UPDATE {config} SET value = 'planted-s3cret' WHERE name = 'smtppass'")
    pool = Path(copies.fleet.json("site", "show", "first")["dataroot"]) / "filedir" / "0b" / "ee"
    pool.mkdir(parents=True, exist_ok=True)
    (pool / "0beec7b5ea3f0fdbc95d0dd47f3c5bc275da8a33").write_text("foo")
