"""Connections to MariaDB and MySQL: login, statements, and server errors as VMoodle's own."""

from __future__ import annotations

import re
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, ClassVar

import pymysql
from pymysql.constants import SERVER_STATUS
from pymysql.cursors import SSCursor
from pymysql.err import InterfaceError, MySQLError

from vmoodle.engines import faults
from vmoodle.engines.address import ServerAddress
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

_UNKNOWN_SERVER_ERROR = 0
_MAKING_A_CONTEXT = threading.Lock()
# SERVER_STATUS_IN_TRANS_READONLY of the client protocol; PyMySQL does not name it.
_IN_READ_ONLY_TRANSACTION = 0x2000

# How the driver tells a server that fell silent, too: what it waited with is the cause.
_GONE = frozenset({2003, 2006, 2013})
_FAULTS: Mapping[int, faults.Fault] = {
    **dict.fromkeys(
        (2002, 2003, 2005, 2006, 2013, 2055, 1053, 1152, 1158, 1159, 1927), faults.DOWN
    ),
    **dict.fromkeys((1045, 1698, 1251, 1130, 2059, 1862, 4151), faults.LOGIN),
    **dict.fromkeys((1044, 1142, 1143, 1227, 1370, 1410), faults.GRANT),
    **dict.fromkeys((1008, 1049), faults.NO_DATABASE),
    **dict.fromkeys((1290, 1836), faults.READ_ONLY),
    **dict.fromkeys((1969, 3024), faults.TIMEOUT),
    **dict.fromkeys((1020, 1205, 1213), faults.BUSY),
    **dict.fromkeys((1021, 1114), faults.DISK),
    **dict.fromkeys((1040, 1203, 1226), faults.FULL),
    1007: faults.DATABASE_EXISTS,
    1133: faults.NO_ACCOUNT,
    1141: faults.NO_GRANT,
    1062: faults.DUPLICATE,
    1064: faults.SYNTAX,
    1792: faults.READS_ONLY,
}


def translate(error: MySQLError, otherwise: type[VMoodleError] = Failed) -> VMoodleError:
    """Return the typed error for a driver's error; `otherwise` is for unlisted ones."""
    number = (
        error.args[0] if error.args and isinstance(error.args[0], int) else _UNKNOWN_SERVER_ERROR
    )
    text = str(error.args[1]) if len(error.args) > 1 else str(error) or "the connection is gone"
    if isinstance(error, InterfaceError):
        fault = faults.DOWN
    elif number in _GONE and isinstance(error.__context__, TimeoutError):
        fault = faults.TIMEOUT
    elif "Errcode: 28" in text or "No space left" in text:
        fault = faults.DISK
    else:
        fault = _FAULTS.get(number, faults.unlisted(otherwise))
    return faults.said(fault, text)


Settings = Callable[[bool], Sequence[str]]
"""Gives the assignments of a SET, told whether the server is a MariaDB."""


class _Driver(pymysql.connections.Connection):
    """Bound the login by its own time limit, and waiting for the server afterwards by another."""

    server_version: str
    server_status: int | None
    settings: Settings = staticmethod(lambda _mariadb: ())
    """What is set for the session with each login."""
    _contexts: ClassVar[dict[tuple[object, ...], ssl.SSLContext]] = {}

    def _create_ssl_ctx(self, sslp: dict[str, Any]) -> ssl.SSLContext:
        # To read the system's certificates takes 24 ms, more than all the rest of a login. One for
        # each way to connect does; a file of certificates that has changed is read again.
        ca = sslp.get("ca")
        key = (*sorted((k, str(v)) for k, v in sslp.items()), _changed_at(ca) if ca else 0)
        with _MAKING_A_CONTEXT:
            if key not in self._contexts:
                driver: Any = super()
                self._contexts[key] = driver._create_ssl_ctx(sslp)
            return self._contexts[key]

    def set_character_set(self, charset: str, collation: str | None = None) -> None:  # noqa: ARG002
        """Set all that a session is to have by one statement; the driver calls this at login."""
        # To wait for the server a second time is a tenth of what a site that is asked takes.
        query: Any = self.query
        query(", ".join([f"SET NAMES {charset}", *self.settings(self.is_mariadb)]))

    @property
    def is_mariadb(self) -> bool:
        """Tell MariaDB from MySQL by the greeting of the server."""
        return "mariadb" in self.server_version.lower()

    @property
    def transaction_state(self) -> int:
        """Return the flags the server sent with its last answer."""
        return self.server_status or 0

    def limit_waiting(self, seconds: float | None) -> None:
        # The same for both ways: the driver tells the socket at each change between them.
        self._read_timeout = self._write_timeout = seconds

    def hang_up(self, cursor: Any) -> None:
        """Close the connection in the middle of an answer; to close the cursor would read on."""
        if cursor._result is not None:
            cursor._result.unbuffered_active = False
        cursor.connection = None
        driver: Any = self
        driver._force_close()


def _changed_at(path: str) -> float:
    try:
        return Path(path).stat().st_mtime
    except OSError:  # whoever reads it tells
        return 0.0


class Session:
    """Run statements on one connection; errors are VMoodle's."""

    def __init__(self, driver: _Driver) -> None:
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
    with _faults_of_login():
        driver = _Driver(
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
            **_encryption(address),
        )
        driver.settings = settings or driver.settings
        driver.connect()
    driver.limit_waiting(timeout)
    try:
        yield Session(driver)
    finally:
        if driver.open:
            _close(driver)


def _encryption(address: ServerAddress) -> dict[str, Any]:
    """Return what the driver is told for the `sslmode` of an address."""
    mode = address.options.get("sslmode", "prefer")
    if mode not in ("require", "verify-ca", "verify-full"):
        return {"ssl_disabled": mode == "disable"}
    return {
        "ssl": {"check_hostname": mode == "verify-full"},
        "ssl_ca": address.options.get("ssl_ca"),
        "ssl_verify_cert": mode != "require",
        "ssl_verify_identity": mode == "verify-full",
    }


@contextmanager
def _faults_of_login() -> Iterator[None]:
    """Raise what the driver says of a login as Unavailable, or as another fault of the server."""
    try:
        yield
    except MySQLError as error:
        fault = translate(error, Unavailable)
        if fault.code == "engine.grant":  # 1044 at login: known, but not let into that database
            fault = Unavailable(faults.LOGIN[1], fault.message, faults.LOGIN[2])
        if fault.code == "engine.timeout":
            fault = Unavailable(faults.SILENT[1], fault.message, faults.SILENT[2])
        raise fault from error
    except OSError as error:
        about = "The database server cannot be reached"
        kind = faults.SILENT if isinstance(error, TimeoutError) else faults.DOWN
        raise faults.said(kind, str(error), about=about) from error


def _close(driver: _Driver) -> None:
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
