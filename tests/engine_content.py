"""What the tests of the engines put into a site's database, and how they look at it."""

from __future__ import annotations

from collections.abc import Callable

from vmoodle.engines import mariadb_connection, postgresql_connection
from vmoodle.engines.address import ServerAddress
from vmoodle.engines.protocol import Engine, SiteDatabase

MakeSite = Callable[..., SiteDatabase]
"""The fixture that makes a site's account and its database."""

_ID = {"mariadb": "BIGINT AUTO_INCREMENT PRIMARY KEY", "postgresql": "BIGSERIAL PRIMARY KEY"}
TEXTS = (
    "plain",
    "Ünïcode, 日本語, 🎓🧪",
    "mdl_config and {config} inside",
    "quote ' double \" back \\ semicolon ; -- end",
    "line\nbreak\ttab\r\n",
    "50% %s",
    "",
)


def administer(address: ServerAddress, *statements: str) -> None:
    """Run statements as the server's administrator."""
    if address.engine == "mariadb":
        with mariadb_connection.open_session(address) as session:
            for statement in statements:
                session.run(statement)
    else:
        with postgresql_connection.open_session(address, database="postgres") as session:
            for statement in statements:
                session.run(statement)


def fill(engine: Engine, site: SiteDatabase) -> None:
    """Make two tables with awkward rows, of which the last has been deleted again."""
    with engine.connect(site, read_only=False) as connection:
        for table in ("config", "user_info_data"):
            connection.execute(
                f"CREATE TABLE {{{table}}}"
                f" (id {_ID[engine.address.engine]}, name VARCHAR(255) NOT NULL, value TEXT)"
            )
            for text in TEXTS:
                connection.execute(
                    f"INSERT INTO {{{table}}} (name, value) VALUES (%s, %s)", ("key", text)
                )
            connection.execute(f"INSERT INTO {{{table}}} (name) VALUES ('last')")
            connection.execute(f"DELETE FROM {{{table}}} WHERE name = 'last'")


def rows(engine: Engine, site: SiteDatabase, table: str = "config") -> list[tuple[object, ...]]:
    """Return a table's rows in order."""
    with engine.connect(site) as connection:
        return connection.query(f"SELECT id, name, value FROM {{{table}}} ORDER BY id")


def count(engine: Engine, site: SiteDatabase) -> int:
    """Return how many rows the site's config has."""
    return len(rows(engine, site))


def check_copy(engine: Engine, source: SiteDatabase, copy: SiteDatabase) -> None:
    """Assert that a copy has all rows, goes on counting as the source, and is its account's own."""
    assert engine.tables(copy) == engine.tables(source)
    for table in ("config", "user_info_data"):
        assert rows(engine, copy, table) == rows(engine, source, table)
    for site in (copy, source):
        with engine.connect(site, read_only=False) as connection:
            connection.execute("INSERT INTO {config} (name) VALUES ('next')")
            connection.execute("ALTER TABLE {config} ADD COLUMN extra INT")
            found = connection.query("SELECT id FROM {config} WHERE name = 'next'")
        assert found == [(len(TEXTS) + 2,)]
