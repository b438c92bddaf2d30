"""Databases that copies are proved on: a real Moodle's, and one with what a copy could lose."""

from __future__ import annotations

import os
import subprocess
from contextlib import suppress

from vmoodle.engines.protocol import Engine, SiteDatabase
from vmoodle.errors import Conflict

DUMPS = {"mariadb": "moodle-4.5.5-content-mariadb", "postgresql": "moodle-4.5.5-content-postgresql"}


def is_mariadb(engine: Engine) -> bool:
    """Tell which of the two kinds is under test."""
    return engine.address.engine == "mariadb"


def load(engine: Engine, site: SiteDatabase, text: bytes) -> None:
    """Run a dump in SQL as the site's own account."""
    address = engine.address
    if is_mariadb(engine):
        command = ["mariadb", f"-h{address.host}", f"-P{address.effective_port}", "--protocol=tcp"]
        command += [f"-u{site.account}", site.name]
        secret = {"MYSQL_PWD": site.password.reveal()}
    else:
        command = ["psql", "-qX", "-v", "ON_ERROR_STOP=1", "-h", address.socket or address.host]
        command += ["-p", str(address.effective_port), "-U", site.account, site.name]
        secret = {"PGPASSWORD": site.password.reveal()}
    subprocess.run(
        command, input=text, env=os.environ | secret, check=True, stdout=subprocess.DEVNULL
    )


def small(engine: Engine, site: SiteDatabase) -> None:
    """Make tables with what a copy could lose: counters, indexes, quotes, an empty table."""
    number = "BIGINT AUTO_INCREMENT" if is_mariadb(engine) else "BIGSERIAL"
    with engine.connect(site, read_only=False) as connection:
        for table in ("config", "empty"):
            connection.execute(
                f"CREATE TABLE {{{table}}} (id {number} PRIMARY KEY,"
                " name VARCHAR(100) NOT NULL, value TEXT)"
            )
            connection.execute(f"CREATE UNIQUE INDEX mdl_{table}_nam_uix ON {{{table}}} (name)")
        for name in ("mdl_user and {config}", 'it\'s "quoted" \\ ; --', "Ünï 🎓", "50% %s"):
            connection.execute(
                "INSERT INTO {config} (name, value) VALUES (%s, %s)", (name, name * 2)
            )
        for table in ("config", "empty"):
            connection.execute(f"INSERT INTO {{{table}}} (name) VALUES ('gone')")
            connection.execute(f"DELETE FROM {{{table}}} WHERE name = 'gone'")


def next_ids(engine: Engine, site: SiteDatabase) -> list[object]:
    """Insert a row into both small tables and return the ids they get."""
    ids: list[object] = []
    with engine.connect(site, read_only=False) as connection:
        for table in ("config", "empty"):
            connection.execute(f"INSERT INTO {{{table}}} (name) VALUES ('next')")
            ids += connection.query(f"SELECT id FROM {{{table}}} WHERE name = 'next'")[0]
            with suppress(Conflict):
                connection.execute(f"INSERT INTO {{{table}}} (name) VALUES ('next')")
                raise AssertionError("the unique index is lost")
            connection.execute("ROLLBACK")
    return ids


def names(engine: Engine, site: SiteDatabase) -> dict[str, list[str]]:
    """Return the names of tables, indexes and sequences by kind."""
    if is_mariadb(engine):
        return {"r": engine.tables(site)}
    found: dict[str, list[str]] = {}
    with engine.connect(site) as connection:
        rows = connection.query(
            "SELECT relkind::text, relname FROM pg_class"
            " WHERE relnamespace = 'public'::regnamespace ORDER BY 1, 2"
        )
    for kind, name in rows:
        found.setdefault(str(kind), []).append(str(name))
    return found
