"""Connections to MariaDB and MySQL: sessions of the administrator's, and those of sites."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from pymysql.constants import SERVER_STATUS
from pymysql.cursors import SSCursor
from pymysql.err import MySQLError

from vmoodle.engines import faults
from vmoodle.engines.address import ServerAddress
from vmoodle.engines.mariadb_driver import Driver, Settings, encryption, faults_of_login, translate
from vmoodle.engines.mariadb_words import READS, foreign_word
from vmoodle.engines.placeholders import expand
from vmoodle.engines.protocol import (
    CONNECT_TIMEOUT,
    GRACE,
    Most,
    Rows,
    SiteDatabase,
    size_of,
)
from vmoodle.errors import Failed, InvalidInput, Refused, Unavailable, VMoodleError
from vmoodle.secret import Secret

# SERVER_STATUS_IN_TRANS_READONLY of the client protocol; PyMySQL does not name it.
_IN_READ_ONLY_TRANSACTION = 0x2000


class Session:
    """Run statements on one connection; errors are VMoodle's."""

    def __init__(self, driver: Driver) -> None:
        self.driver = driver
        self.opening = ""
        """A comment that each statement of `run` begins with."""

    @property
    def is_mariadb(self) -> bool:
        """Tell MariaDB from MySQL by the greeting of the server."""
        return self.driver.is_mariadb

    @property
    def version(self) -> str:
        """Return the version as the vendor counts, without the 5.5.5- of old MariaDB greetings."""
        greeting = self.driver.server_version.removeprefix("5.5.5-")
        match = re.match(r"\d+(\.\d+)*", greeting)
        return match[0] if match else greeting

    def run(
        self, sql: str, params: Sequence[object] = (), *, otherwise: type[VMoodleError] = Failed
    ) -> Rows:
        """Run one statement and return its rows (none for a statement without an answer)."""
        try:
            with self.driver.cursor() as cursor:
                cursor.execute(self.opening + sql, tuple(params) or None)
                columns = [column[0] for column in cursor.description or ()]
                return Rows(columns, list(cursor.fetchall()) if columns else [])
        except MySQLError as error:
            raise translate(error, otherwise) from error
        except (TypeError, ValueError, OverflowError) as error:
            raise faults.unusable_parameters(error) from error

    def read(self, sql: str, params: Sequence[object], most: Most) -> Rows:
        """Run one statement and return its first rows; the connection is closed behind a cut."""
        try:
            cursor = self.driver.cursor(SSCursor)
            try:
                cursor.execute(sql, tuple(params) or None)
                columns = [column[0] for column in cursor.description or ()]
                rows, size = list[tuple[Any, ...]](), 0
                for row in cursor if columns else ():
                    if most.reached(len(rows), size):
                        self.driver.hang_up(cursor)
                        return Rows(columns, rows, cut=True)
                    rows.append(row)
                    size += size_of(row)
                return Rows(columns, rows)
            finally:
                cursor.close()
        except MySQLError as error:
            raise translate(error, InvalidInput) from error
        except (TypeError, ValueError, OverflowError) as error:
            raise faults.unusable_parameters(error) from error

    def touch(self, sql: str, params: Sequence[object] = ()) -> int:
        """Run one statement and return the number of rows it touched."""
        try:
            with self.driver.cursor() as cursor:
                return int(cursor.execute(sql, tuple(params) or None))
        except MySQLError as error:
            raise translate(error, InvalidInput) from error
        except (TypeError, ValueError, OverflowError) as error:
            raise faults.unusable_parameters(error) from error

    def log_in_again(self) -> None:
        """Open the connection anew, as the same account on the same database."""
        try:
            self.driver.connect()
        except MySQLError as error:
            raise translate(error, Unavailable) from error

    def literal(self, text: str) -> str:
        """Return a text as an SQL literal, for statements that take no parameters."""
        return str(self.driver.escape(text))


def quote_name(name: str) -> str:
    """Return an identifier in backticks, whatever it holds."""
    return "`" + name.replace("`", "``") + "`"


@contextmanager
def open_session(
    address: ServerAddress,
    *,
    user: str | None = None,
    password: Secret | None = None,
    database: str | None = None,
    timeout: float | None = None,
    settings: Settings | None = None,
) -> Iterator[Session]:
    """Log in, by default as the administrative account; raise Unavailable when that fails.

    `timeout` in seconds is how long the server may be silent; `settings` are set with the login.
    """
    with faults_of_login():
        driver = Driver(
            host=address.host,
            port=address.effective_port,
            unix_socket=address.socket,
            user=user or address.user,
            # As bytes: PyMySQL takes text for Latin-1, the server for UTF-8.
            password=(password if password is not None else address.password).reveal().encode(),
            database=database,
            charset="utf8mb4",
            connect_timeout=CONNECT_TIMEOUT,
            read_timeout=CONNECT_TIMEOUT,
            write_timeout=CONNECT_TIMEOUT,
            # The settings of a site may say otherwise.
            autocommit=None if settings else True,
            defer_connect=True,
            **encryption(address),
        )
        driver.settings = settings or driver.settings
        driver.connect()
    driver.limit_waiting(timeout)
    try:
        yield Session(driver)
    finally:
        if driver.open:
            _close(driver)


def _close(driver: Driver) -> None:
    try:
        driver.close()
    except (MySQLError, OSError):  # the server went first; there is nothing left to close
        driver.limit_waiting(0)


class MariaDBSiteConnection:
    """Speak SQL to one site's database; keep the promise of SiteConnection."""

    def __init__(self, session: Session, prefix: str, *, read_only: bool) -> None:
        self._session = session
        self._prefix = prefix
        self._read_only = read_only
        self._begin = f"START TRANSACTION READ {'ONLY' if read_only else 'WRITE'}"
        self._wanted = SERVER_STATUS.SERVER_STATUS_IN_TRANS
        if read_only:
            self._wanted |= _IN_READ_ONLY_TRANSACTION
        self._untouched = True

    def query(self, sql: str, params: Sequence[object] = ()) -> Rows:
        """Return all rows of the answer."""
        self._ensure_transaction(sql)
        return self._session.run(self._expand(sql), params, otherwise=InvalidInput)

    def execute(self, sql: str, params: Sequence[object] = ()) -> int:
        """Return how many rows the statement touched."""
        self._ensure_transaction(sql)
        return self._session.touch(self._expand(sql), params)

    def read(self, sql: str, params: Sequence[object] = (), *, most: Most) -> Rows:
        """Return the first rows of the answer; what is not wanted is never fetched."""
        self._ensure_transaction(sql)
        return self._session.read(self._expand(sql), params, most)

    def _expand(self, sql: str) -> str:
        return expand(sql, self._prefix, backslash_escapes=True)

    def _ensure_transaction(self, sql: str) -> None:
        if self._read_only and not READS.match(sql):
            if word := foreign_word(sql):
                raise faults.said(faults.SYNTAX, f"no statement begins with {word[:40]}")
            raise Refused(
                "engine.sql.readonly",
                "A connection that only reads takes SELECT, SHOW, EXPLAIN and the like.",
                "This connection only reads.",
            )
        if not self._session.driver.open:  # an answer was cut
            self._session.log_in_again()
            self._untouched = True
        state = self._session.driver.transaction_state
        first, self._untouched = self._untouched, False
        if first and self._read_only and not state & SERVER_STATUS.SERVER_STATUS_AUTOCOMMIT:
            return  # it begins the transaction by itself, of the kind that the session was set to
        if self._read_only and not first and state & self._wanted != self._wanted:
            # An answer that is read row by row does not tell the state it left.
            self._session.run("DO 0")
            state = self._session.driver.transaction_state
        # A statement may end the transaction (COMMIT, DDL); none runs outside one of our kind.
        if state & self._wanted != self._wanted:
            self._session.run(self._begin)


def _settings(*, read_only: bool, timeout: float | None, one_moment: bool) -> Settings:
    """Return what the session of a site is set to."""

    def settings(mariadb: bool) -> list[str]:
        wanted = [f"SESSION autocommit = {0 if read_only else 1}"]
        if timeout is not None:
            wanted.append(
                f"SESSION max_statement_time = {timeout:.6f}"
                if mariadb
                else f"SESSION max_execution_time = {max(1, round(timeout * 1000))}"
            )
        kind = "tx" if mariadb else "transaction"
        if read_only:
            wanted.append(f"SESSION {kind}_read_only = 1")
        if one_moment:
            wanted.append(f"SESSION {kind}_isolation = 'REPEATABLE-READ'")
        return wanted

    return settings


@contextmanager
def open_site(
    address: ServerAddress,
    database: SiteDatabase,
    *,
    read_only: bool,
    statement_timeout: float | None,
    one_moment: bool,
) -> Iterator[MariaDBSiteConnection]:
    """Log in as a site's account and keep one transaction until the end of the `with`."""
    patience = None if statement_timeout is None else statement_timeout + GRACE
    with open_session(
        address,
        user=database.account,
        password=database.password,
        database=database.name,
        timeout=patience,
        settings=_settings(read_only=read_only, timeout=statement_timeout, one_moment=one_moment),
    ) as session:
        connection = MariaDBSiteConnection(session, database.prefix, read_only=read_only)
        try:
            yield connection
        except BaseException:
            if session.driver.open and not read_only:
                with suppress(Unavailable):  # to hang up takes it back as well
                    session.run("ROLLBACK")
            raise
        # Where only was read, to hang up ends the transaction as well.
        if session.driver.open and not read_only:
            session.run("COMMIT")
