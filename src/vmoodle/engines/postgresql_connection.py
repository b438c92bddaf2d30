"""Connections to PostgreSQL: login, statements, and server errors as VMoodle's own."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, LiteralString

import psycopg
from psycopg import sql
from psycopg.pq import TransactionStatus

from vmoodle.engines.address import ServerAddress
from vmoodle.engines.placeholders import expand
from vmoodle.engines.protocol import CONNECT_TIMEOUT, Rows
from vmoodle.errors import (
    Conflict,
    Failed,
    InvalidInput,
    NotFound,
    Refused,
    Unavailable,
    VMoodleError,
)
from vmoodle.secret import Secret

# Seconds the server may take beyond a statement's limit before the connection is given up.
_GRACE = 5

_Fault = tuple[type[VMoodleError], str, str]
_DOWN: _Fault = (Unavailable, "engine.connect", "Check that the server runs and listens there.")
_LOGIN: _Fault = (
    Unavailable,
    "engine.login",
    "Check user and password, and the server's pg_hba.conf.",
)
_DISK: _Fault = (Unavailable, "engine.disk", "Free some space on the database server.")
_FULL: _Fault = (
    Unavailable,
    "engine.connections",
    "Try again, or raise the server's max_connections.",
)
_BUSY: _Fault = (Unavailable, "engine.busy", "Try again when other work on the database has ended.")
_GRANT: _Fault = (Refused, "engine.grant", "Give the account the right, then try again.")
_READ_ONLY: _Fault = (
    Unavailable,
    "engine.readonly",
    "Name the primary, or end its read-only mode.",
)
_NO_DATABASE: _Fault = (NotFound, "engine.database.missing", "Check the name of the database.")
_READS_ONLY: _Fault = (Refused, "engine.sql.readonly", "This connection only reads.")

# By SQLSTATE, else by its class (the first two characters).
_FAULTS: Mapping[str, _Fault] = {
    "28": _LOGIN,
    "08": _DOWN,
    "57P01": _DOWN,
    "57P02": _DOWN,
    "57P03": _DOWN,
    "53": _DISK,
    "53100": _DISK,
    "53200": _FULL,
    "53300": _FULL,
    "58030": _DISK,
    "42501": _GRANT,
    "25006": _READ_ONLY,
    "55006": _BUSY,
    "55P03": _BUSY,
    "40001": _BUSY,
    "40P01": _BUSY,
    "3D000": _NO_DATABASE,
    "57014": (Unavailable, "engine.timeout", "Ask for less at once, or allow more time."),
    "42P04": (Conflict, "engine.database.exists", "Choose another name, or remove that database."),
    "42710": (Conflict, "engine.account.exists", "Choose another name, or remove that account."),
    "42704": (NotFound, "engine.account.missing", "Create the account first."),
    "2BP01": (Conflict, "engine.account.used", "Remove what the account owns first."),
    "23505": (Conflict, "engine.sql.duplicate", "A row with that key is there already."),
}
# A failed login carries no SQLSTATE; these words are in what the server says then.
_LOGIN_WORDS: Sequence[tuple[str, _Fault]] = (
    ("authentication failed", _LOGIN),
    ("no pg_hba.conf entry", _LOGIN),
    ("no password supplied", _LOGIN),
    ("permission denied for database", _LOGIN),
    ("is not permitted to log in", _LOGIN),
    ("role ", _LOGIN),
    ("database ", _NO_DATABASE),
    ("too many", _FULL),
    ("remaining connection slots", _FULL),
)


def translate(error: psycopg.Error, otherwise: type[VMoodleError] = Failed) -> VMoodleError:
    """Return the typed error for a driver's error; `otherwise` is for unlisted ones."""
    state = error.sqlstate or ""
    fault = _FAULTS.get(state) or _FAULTS.get(state[:2])
    if fault is None and not state and isinstance(error, psycopg.OperationalError):
        fault = _DOWN
    if fault is None:
        fault = (otherwise, "engine.sql", "Read the server's message above.")
    kind, code, hint = fault
    text = error.diag.message_primary or str(error).strip() or "the connection is gone"
    return kind(code, f"The database server said: {text}", hint)


def _login_fault(error: psycopg.Error) -> VMoodleError:
    text = " ".join(str(error).split())
    said = text.partition("FATAL:")[2]
    matches = (fault for words, fault in _LOGIN_WORDS if said and words in said)
    kind, code, hint = next(matches, _DOWN)
    return kind(code, f"The database server cannot be used: {text}", hint)


class Session:
    """Run statements on one connection; errors are VMoodle's."""

    def __init__(self, driver: psycopg.Connection[tuple[Any, ...]]) -> None:
        self.driver = driver

    @property
    def major(self) -> int:
        """Return the server's major version."""
        return self.driver.info.server_version // 10000

    def run(
        self,
        statement: str | sql.Composed,
        params: Sequence[object] = (),
        *,
        otherwise: type[VMoodleError] = Failed,
        patience: float | None = None,
    ) -> tuple[Rows, int]:
        """Run one statement; return its rows (none without an answer) and how many it touched.

        `patience` in seconds ends the connection when the server falls silent for that long.
        """
        try:
            # Prepared, because the extended protocol takes one statement only.
            with _given_up_after(patience, self.driver), self.driver.cursor() as cursor:
                cursor.execute(_driver_text(statement), tuple(params) or None, prepare=True)
                if cursor.description is None:
                    return Rows((), ()), max(cursor.rowcount, 0)
                columns = [column.name for column in cursor.description]
                return Rows(columns, cursor.fetchall()), max(cursor.rowcount, 0)
        except (psycopg.DataError, psycopg.ProgrammingError) as error:
            if error.sqlstate is None:
                raise InvalidInput(
                    "engine.sql.parameters",
                    f"The parameters do not fit the statement: {error}.",
                    "Give one parameter for each %s, and write a percent sign as %%.",
                ) from error
            raise translate(error, otherwise) from error
        except psycopg.Error as error:
            raise translate(error, otherwise) from error

    def ask(self, statement: str, params: Sequence[object] = ()) -> Rows:
        """Run one statement and return its rows."""
        return self.run(statement, params)[0]

    def do(self, template: LiteralString, **names: sql.Composable) -> None:
        """Run an administrative statement with identifiers and literals put in safely."""
        self.run(sql.SQL(template).format(**names))


def _driver_text(statement: str | sql.Composed) -> bytes | sql.Composed:
    """Return the statement as the driver takes one that is not a constant of the program."""
    return statement.encode() if isinstance(statement, str) else statement


@contextmanager
def _given_up_after(
    seconds: float | None, driver: psycopg.Connection[tuple[Any, ...]]
) -> Iterator[None]:
    """Cut the connection when the block takes longer: libpq itself waits for a silent server."""
    if seconds is None:
        yield
        return

    def cut() -> None:
        with socket.socket(fileno=os.dup(driver.fileno())) as line:
            line.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(seconds, cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def connection_parameters(address: ServerAddress) -> dict[str, str | int]:
    """Return libpq's parameters for reaching the server, without account and database."""
    parameters: dict[str, str | int] = {
        "host": address.socket or address.host,
        "port": address.effective_port,
        "sslmode": address.options.get("sslmode", "prefer"),
        "connect_timeout": CONNECT_TIMEOUT,
    }
    if ca := address.options.get("ssl_ca"):
        parameters["sslrootcert"] = ca
    return parameters


@contextmanager
def open_session(
    address: ServerAddress,
    *,
    database: str,
    user: str | None = None,
    password: Secret | None = None,
) -> Iterator[Session]:
    """Log in, by default as the administrative account; raise Unavailable when that fails."""
    secret = password if password is not None else address.password
    try:
        driver = psycopg.connect(
            **connection_parameters(address),  # type: ignore[arg-type]
            user=user or address.user,
            password=secret.reveal() or None,
            dbname=database,
            autocommit=True,
            client_encoding="UTF8",
            application_name="vmoodle",
        )
    except psycopg.Error as error:
        raise _login_fault(error) from error
    try:
        yield Session(driver)
    finally:
        driver.close()


class PostgreSQLSiteConnection:
    """Speak SQL to one site's database; keep the promise of SiteConnection."""

    def __init__(
        self, session: Session, prefix: str, *, read_only: bool, patience: float | None
    ) -> None:
        self._session = session
        self._prefix = prefix
        self._read_only = read_only
        self._patience = patience

    def query(self, sql: str, params: Sequence[object] = ()) -> Rows:
        """Return all rows of the answer."""
        return self._run(sql, params)[0]

    def execute(self, sql: str, params: Sequence[object] = ()) -> int:
        """Return how many rows the statement touched."""
        return self._run(sql, params)[1]

    def _run(self, text: str, params: Sequence[object]) -> tuple[Rows, int]:
        self._ensure_transaction()
        try:
            return self._session.run(
                expand(text, self._prefix), params, otherwise=InvalidInput, patience=self._patience
            )
        except Unavailable as error:
            if error.code == "engine.readonly" and self._read_only:
                kind, code, hint = _READS_ONLY
                raise kind(code, error.message, hint) from error
            raise

    def _ensure_transaction(self) -> None:
        # A statement may end the transaction (COMMIT); none runs outside one of our kind. The
        # SELECT takes the snapshot, after which PostgreSQL lets no one make it READ WRITE.
        if self._session.driver.info.transaction_status == TransactionStatus.IDLE:
            self._session.run(f"BEGIN READ {'ONLY' if self._read_only else 'WRITE'}")
            self._session.run("SELECT 1")


@contextmanager
def open_site(
    address: ServerAddress,
    *,
    account: str,
    password: Secret,
    database: str,
    prefix: str,
    read_only: bool,
    statement_timeout: float | None,
) -> Iterator[PostgreSQLSiteConnection]:
    """Log in as a site's account and keep one transaction until the end of the `with`."""
    with open_session(address, database=database, user=account, password=password) as session:
        patience = None
        if statement_timeout is not None:
            patience = statement_timeout + _GRACE
            session.run(f"SET statement_timeout = {max(1, round(statement_timeout * 1000))}")
        connection = PostgreSQLSiteConnection(
            session, prefix, read_only=read_only, patience=patience
        )
        try:
            yield connection
        except BaseException:
            if not session.driver.closed and not session.driver.broken:
                session.run("ROLLBACK")
            raise
        session.run("COMMIT")
