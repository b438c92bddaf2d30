"""The Protocol every database engine keeps, and the values that pass through it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from vmoodle.engines.address import ServerAddress
from vmoodle.engines.names import PREFIX
from vmoodle.secret import Secret

CONNECT_TIMEOUT = 5
"""Seconds after which a server that does not answer a login counts as unavailable."""
GRACE = 5
"""Seconds a server may take beyond a statement's limit before its connection is given up."""


CopyMethod = Literal["server", "dump"]
"""How a database was copied: inside the server, or through the engine's own dump programs."""


@dataclass(frozen=True)
class SiteDatabase:
    """Name one site's database, the account that alone may use it, and its table prefix."""

    name: str
    account: str
    password: Secret
    prefix: str = "mdl_"


@dataclass(frozen=True)
class ServerFacts:
    """Say what a server is: flavour, version as the vendor counts, whether it refuses writes."""

    flavour: Literal["mariadb", "mysql", "postgresql"]
    version: str
    read_only: bool


@dataclass(frozen=True)
class MissingGrant:
    """Name a right the administrative account lacks, and the SQL with which to give it."""

    privilege: str
    statement: str


class Rows(list[tuple[Any, ...]]):
    """Hold the rows of an answer, with the names of their columns; `cut` says there were more."""

    def __init__(
        self, columns: Sequence[str], rows: Sequence[tuple[Any, ...]], *, cut: bool = False
    ) -> None:
        super().__init__(rows)
        self.columns = tuple(columns)
        self.cut = cut


@dataclass(frozen=True)
class Most:
    """Say how much of an answer is wanted: so many rows, and about so many bytes."""

    rows: int
    size: int

    def reached(self, rows: int, size: int) -> bool:
        """Tell whether no further row fits."""
        return rows >= self.rows or size >= self.size


def size_of(row: Sequence[object]) -> int:
    """Return about how many bytes a row takes."""
    return sum(len(cell) if isinstance(cell, str | bytes) else 8 for cell in row)


class SiteConnection(Protocol):
    """Speak SQL to one site's database, as the site's own account.

    In every method `{table}` becomes the prefixed name and `%s` a bound parameter; with
    parameters a percent sign is written `%%`, without any it is itself. One statement a call.
    Raise InvalidInput for SQL the server does not take, Refused (`engine.sql.readonly`,
    `engine.grant`), Conflict, or Unavailable (`engine.timeout`, `engine.connect`, `engine.disk`).
    """

    def query(self, sql: str, params: Sequence[object] = ()) -> Rows:
        """Return all rows of the answer."""

    def execute(self, sql: str, params: Sequence[object] = ()) -> int:
        """Return how many rows the statement touched."""

    def read(self, sql: str, params: Sequence[object] = (), *, most: Most) -> Rows:
        """Return the first rows of the answer; what is not wanted is never fetched.

        After an answer that was cut, MariaDB's next statement may be in another transaction.
        """


class Engine(Protocol):
    """Administer the databases of one server.

    Every method raises Unavailable when the server does not answer within CONNECT_TIMEOUT
    (`engine.connect`), does not take the login (`engine.login`), is read-only
    (`engine.readonly`) or full (`engine.disk`), and Refused (`engine.grant`) when the
    administrative account lacks a right; the hint then has the statement that gives it.
    """

    address: ServerAddress

    def facts(self) -> ServerFacts:
        """Return what the server is."""

    def missing_grants(self) -> list[MissingGrant]:
        """Return the rights that creating databases and accounts takes and the account lacks."""

    def account_exists(self, account: str) -> bool:
        """Tell whether a site's account of that name exists."""

    def create_account(self, database: SiteDatabase, *, if_missing: bool = False) -> None:
        """Make the site's account, without any right yet.

        Raise Conflict (`engine.account.exists`) when there is one; with `if_missing` that one is
        given the site's password instead.
        """

    def drop_account(self, account: str, *, if_exists: bool = False) -> None:
        """Remove an account; raise NotFound (`engine.account.missing`) without `if_exists`."""

    def database_exists(self, name: str) -> bool:
        """Tell whether a database of that name exists."""

    def create_database(self, database: SiteDatabase, *, if_missing: bool = False) -> None:
        """Make an empty UTF-8 database that the site's account, and no other site's, may use.

        Raise Conflict (`engine.database.exists`) when there is one; with `if_missing` the rights
        on that one are set instead. Raise NotFound (`engine.account.missing`) for no account.
        """

    def drop_database(self, database: SiteDatabase, *, if_exists: bool = False) -> None:
        """End its connections and remove it; raise NotFound (`engine.database.missing`)."""

    def reset_database(self, database: SiteDatabase) -> None:
        """Drop the database when there is one, and make it again, empty."""

    def anonymous_database(self, name: str, prefix: str = "mdl_") -> SiteDatabase:
        """Name a database as one that the administrative account reads and writes by itself.

        Every method takes it like a site's. As a source it is one that nobody writes meanwhile.
        """

    def prepare_clone(self, source: SiteDatabase, target: SiteDatabase) -> str:
        """Do beforehand what a copy takes and can be done while the source is in use.

        Return what to give to `clone_database`, empty where there is nothing. A target that is
        there is dropped first.
        """

    def clone_database(
        self,
        source: SiteDatabase,
        target: SiteDatabase,
        *,
        replace: bool = False,
        prepared: str = "",
    ) -> CopyMethod:
        """Make the target database a copy of the source, owned by the target's account.

        The account must exist, the database not (Conflict); with `replace` one that is there is
        dropped first, so that a copy that was cut off is made again: only for one known to be ours.
        What was `prepared` is filled; where it does not fit any more it is dropped, and made anew.
        A copy that fails is dropped. With another prefix, tables, and what PostgreSQL names
        beside them, are renamed; contents never change. Raise InvalidInput (`engine.clone.prefix`)
        for a prefix that cannot be, Conflict (`engine.clone.programs`, `engine.clone.names`) where
        renaming would break something, Refused (`engine.clone.itself`) for a copy onto its source.

        The copy is of one moment, and the source is never changed. The server copies by itself
        where nobody can write meanwhile, else (PostgreSQL: a source in use; MariaDB: a large one
        that is a site's) by a dump, during which writers go on. Return which.
        """

    def dump(self, database: SiteDatabase, path: Path) -> None:
        """Write a consistent dump (0600) with the engine's own tool, whole or not at all."""

    def restore(self, path: Path, database: SiteDatabase) -> None:
        """Load a dump into the database; raise Conflict when that is not empty."""

    def size(self, name: str) -> int:
        """Return the bytes of data and indexes; raise NotFound for no such database."""

    def data_directory(self) -> str:
        """Return where on its machine it keeps its data; empty where the account may not know."""

    def tables(self, database: SiteDatabase) -> list[str]:
        """Return the names of its tables in order, prefix included."""

    def list_databases(self) -> list[str]:
        """Return the names of the server's databases in order, without the server's own."""

    def connect(
        self,
        database: SiteDatabase,
        *,
        read_only: bool = True,
        statement_timeout: float | None = None,
        one_moment: bool = False,
    ) -> AbstractContextManager[SiteConnection]:
        """Open the site's database as the site's account, in one transaction.

        Commit on a clean end of the `with`, else roll back. With `read_only` the database itself
        refuses every write. `statement_timeout` in seconds ends each statement on the server. With
        `one_moment` all statements see the database as it was at the first of them.
        """

    def moodle_config(self, database: SiteDatabase) -> dict[str, object]:
        """Return the `$CFG` members with which Moodle reaches the database (password in clear)."""


def open_engine(
    address: ServerAddress, flavour: str | None = None, *, prefix: str = PREFIX
) -> Engine:
    """Return the engine of an address; it connects when first asked something.

    With the flavour known from an earlier answer, `moodle_config` needs no connection. `prefix` is
    what the names of the sites' databases begin with: rights on a pattern are judged by it.
    """
    if address.engine == "mariadb":
        from vmoodle.engines.mariadb import MariaDB

        return MariaDB(address, flavour, prefix)
    from vmoodle.engines.postgresql import PostgreSQL

    return PostgreSQL(address)
