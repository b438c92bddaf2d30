"""A site that several write at once: somebody else is done before our first lock or write."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.engine_servers import Server, new_site
from tests.fixtures import load_fixture

from vmoodle.engines.protocol import Engine, Most, Rows, SiteConnection, SiteDatabase
from vmoodle.moodle.config.names import parse_setting

_loaded: dict[str, SiteDatabase] = {}
LIMIT, NEW = parse_setting("courseswithsummarieslimit"), parse_setting("local_x/new")


@dataclass
class Before:
    """A connection on which somebody else is done before the first statement of a kind."""

    connection: SiteConnection
    words: tuple[str, ...]
    act: Callable[[], object]
    met: list[str] = field(default_factory=list)

    def query(self, sql: str, params: Any = ()) -> Rows:
        self._meet(sql)
        return self.connection.query(sql, params)

    def execute(self, sql: str, params: Any = ()) -> int:
        self._meet(sql)
        return self.connection.execute(sql, params)

    def read(self, sql: str, params: Any = (), *, most: Most) -> Rows:
        self._meet(sql)
        return self.connection.read(sql, params, most=most)

    def _meet(self, sql: str) -> None:
        if not self.met and any(word in sql for word in self.words):
            self.met.append(sql)
            self.act()


@dataclass(frozen=True)
class Site:
    """A site's database that several write."""

    engine: Engine
    database: SiteDatabase

    @contextmanager
    def open(self, *, one_moment: bool = False) -> Iterator[SiteConnection]:
        with self.engine.connect(
            self.database, read_only=False, one_moment=one_moment
        ) as connection:
            yield connection

    @property
    def is_mariadb(self) -> bool:
        return self.engine.address.engine == "mariadb"

    def change(self, sql: str) -> None:
        with self.open() as connection:
            connection.execute(sql)

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        with self.open() as connection:
            return list(connection.query(sql))

    def meanwhile(self, connection: SiteConnection, sql: str, *words: str) -> Before:
        """Return the connection, before whose first lock or write another one does something."""
        return Before(connection, words or ("FOR UPDATE", "UPDATE {"), lambda: self.change(sql))


def shared_site(server: Server) -> Site:
    """Return a Moodle of the engine, one for each process; what a test leaves there is its own."""
    name = f"{server.name}{server.address.effective_port}"
    if name not in _loaded:
        _loaded[name] = database = new_site()
        server.engine.create_account(database)
        server.engine.create_database(database)
        load_fixture(server.engine, database, "moodle-4.5.5")
    return Site(server.engine, _loaded[name])


def setting(site: Site, name: str = LIMIT.name) -> list[tuple[Any, ...]]:
    """Return the one row of a setting of core, as a list of rows."""
    return site.ask(f"SELECT value FROM {{config}} WHERE name = '{name}'")
