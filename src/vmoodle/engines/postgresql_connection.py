"""Connections to PostgreSQL: login, statements, and server errors as VMoodle's own."""

from __future__ import annotations

import os
import re
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, LiteralString

import psycopg
from psycopg import sql
from psycopg.pq import TransactionStatus

from vmoodle.engines import faults
from vmoodle.engines.address import ServerAddress
from vmoodle.engines.deadlines import later
from vmoodle.engines.placeholders import expand
from vmoodle.engines.protocol import (
    CONNECT_TIMEOUT,
    GRACE,
    Most,
    Rows,
    SiteDatabase,
    size_of,
)
from vmoodle.errors import (
    Conflict,
    Failed,
    InvalidInput,
    Unavailable,
    VMoodleError,
)
from vmoodle.process import is_gone, this_process
from vmoodle.secret import Secret

# By SQLSTATE, else by its class (the first two characters).
_FAULTS: Mapping[str, faults.Fault] = {
    "28": faults.LOGIN,
    "08": faults.DOWN,
    "57P01": faults.DOWN,
    "57P02": faults.DOWN,
    "57P03": faults.DOWN,
    "53": faults.DISK,
    "53100": faults.DISK,
    "53200": faults.FULL,
    "53300": faults.FULL,
    "58030": faults.DISK,
    "42501": faults.GRANT,
    "25006": faults.READ_ONLY,
    "55006": faults.BUSY,
    "55P03": faults.BUSY,
    "40001": faults.BUSY,
    "40P01": faults.BUSY,
    "3D000": faults.NO_DATABASE,
    "57014": faults.TIMEOUT,
    "42P04": faults.DATABASE_EXISTS,
    "42710": (Conflict, "engine.account.exists", "Choose another name, or remove that account."),
    "42704": faults.NO_ACCOUNT,
    "2BP01": (Conflict, "engine.account.used", "Remove what the account owns first."),
    "42601": faults.SYNTAX,
    "23505": faults.DUPLICATE,
}
# A failed login carries no SQLSTATE; these words are in what the server says then.
_LOGIN_WORDS: Sequence[tuple[str, faults.Fault]] = (
    ("authentication failed", faults.LOGIN),
    ("no pg_hba.conf entry", faults.LOGIN),
    ("no password supplied", faults.LOGIN),
    ("permission denied for database", faults.LOGIN),
    ("is not permitted to log in", faults.LOGIN),
    ("role ", faults.LOGIN),
    ("database ", faults.NO_DATABASE),
    ("too many", faults.FULL),
    ("remaining connection slots", faults.FULL),
)


# What a server-side cursor takes; what else has an answer (SHOW, EXPLAIN) has a short one.
_SELECTS = re.compile(
    r"(?:\s | \( | /\*.*?\*/ | --[^\n]*\n)*(?:SELECT|WITH|VALUES|TABLE)\b",
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)
_BATCH_ROWS = 100
_PROGRAM = "vmoodle"
_LIMIT = "statement_timeout"
_SESSIONS = """
    SELECT pid, application_name FROM pg_stat_activity
     WHERE usename = current_user AND pid <> pg_backend_pid() AND application_name LIKE %s
"""


def translate(error: psycopg.Error, otherwise: type[VMoodleError] = Failed) -> VMoodleError:
    """Return the typed error for a driver's error; `otherwise` is for unlisted ones."""
    state = error.sqlstate or ""
    fault = _FAULTS.get(state) or _FAULTS.get(state[:2])
    if fault is None and not state and isinstance(error, psycopg.OperationalError):
        fault = faults.DOWN
    if fault is None:
        fault = faults.unlisted(otherwise)
    text = error.diag.message_primary or faults.sentences(str(error)) or "the connection is gone"
    # What uses an account stands in the detail only, a line for each.
    if state == "2BP01" and error.diag.message_detail:
        text = f"{text}: {', '.join(error.diag.message_detail.splitlines())}"
    return faults.said(fault, text)


def _login_fault(error: psycopg.Error) -> VMoodleError:
    text = faults.sentences(str(error))
    said = text.partition("FATAL:")[2]
    if isinstance(error, psycopg.errors.ConnectionTimeout):
        return faults.said(faults.SILENT, text, about="The database server cannot be used")
    matches = (fault for words, fault in _LOGIN_WORDS if said and words in said)
    return faults.said(next(matches, faults.DOWN), text, about="The database server cannot be used")


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
                raise faults.unusable_parameters(error) from error
            raise translate(error, otherwise) from error
        except psycopg.Error as error:
            raise translate(error, otherwise) from error

    def read(
        self, statement: str, params: Sequence[object], most: Most, patience: float | None
    ) -> Rows:
        """Run a SELECT by a cursor on the server and return its first rows."""
        try:
            with (
                _given_up_after(patience, self.driver),
                self.driver.cursor(name=_PROGRAM) as cursor,
            ):
                cursor.execute(_driver_text(statement), tuple(params) or None)
                columns = [column.name for column in cursor.description or ()]
                rows, size = list[tuple[Any, ...]](), 0
                at_once = min(_BATCH_ROWS, most.rows + 1)
                while batch := cursor.fetchmany(at_once):
                    for row in batch:
                        if most.reached(len(rows), size):
                            return Rows(columns, rows, cut=True)
                        rows.append(row)
                        size += size_of(row)
                    if len(batch) < at_once:
                        break
                return Rows(columns, rows)
        except (psycopg.DataError, psycopg.ProgrammingError) as error:
            if error.sqlstate is None:
                raise faults.unusable_parameters(error) from error
            raise translate(error, InvalidInput) from error
        except psycopg.Error as error:
            raise translate(error, InvalidInput) from error

    def run_batch(self, statements: Sequence[str]) -> None:
        """Run statements without parameters or answers in one message and one transaction."""
        try:
            # Without parameters the driver speaks the simple protocol, which takes several.
            self.driver.execute("; ".join(statements).encode())
        except psycopg.Error as error:
            raise translate(error) from error

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
    """Cut the connection when the block takes longer: libpq itself waits for a silent server.

    Raise Unavailable `engine.timeout` then.
    """
    if seconds is None:
        yield
        return
    is_cut = threading.Event()

    def cut() -> None:
        is_cut.set()
        with socket.socket(fileno=os.dup(driver.fileno())) as line:
            line.shutdown(socket.SHUT_RDWR)

    with later(seconds, cut):
        try:
            yield
        except (psycopg.Error, VMoodleError) as error:
            if is_cut.is_set():
                text = f"no answer came within {seconds:g} s; the connection was closed"
                about = "The database server was waited for"
                raise faults.said(faults.TIMEOUT, text, about=about) from error
            raise


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
            application_name=_client_name(),
        )
    except psycopg.Error as error:
        raise _login_fault(error) from error
    try:
        yield Session(driver)
    finally:
        driver.close()


def _client_name() -> str:
    """Return what this process is called among the server's sessions."""
    return f"{_PROGRAM} {this_process().text}"


def end_forsaken(session: Session) -> None:
    """End what the server still does for processes of this machine that were killed.

    A statement goes on when its client is gone: it would give an account a database after somebody
    saw that it has none.
    """
    rows = session.ask(_SESSIONS, (f"{_PROGRAM} %",))
    forsaken = [pid for pid, client in rows if is_gone(client.partition(" ")[2])]
    if forsaken:
        session.ask("SELECT pg_terminate_backend(pid, 5000) FROM unnest(%s) pid", (forsaken,))


class PostgreSQLSiteConnection:
    """Speak SQL to one site's database; keep the promise of SiteConnection."""

    def __init__(
        self,
        session: Session,
        prefix: str,
        *,
        read_only: bool,
        timeout: float | None,
        one_moment: bool,
    ) -> None:
        self._session = session
        self._prefix = prefix
        self._read_only = read_only
        self._patience = None if timeout is None else timeout + GRACE
        level = "ISOLATION LEVEL REPEATABLE READ " if one_moment else ""
        self._begin = [f"BEGIN {level}READ {'ONLY' if read_only else 'WRITE'}"]
        self._limit = ""
        self._limit_lost = False
        if timeout is not None:
            self._limit = f"SET LOCAL {_LIMIT} = {max(1, round(timeout * 1000))}"
            self._begin.append(self._limit)
        # It takes the snapshot, after which PostgreSQL lets no one make it READ WRITE.
        self._begin.append("SELECT 1")

    def query(self, sql: str, params: Sequence[object] = ()) -> Rows:
        """Return all rows of the answer."""
        return self._run(sql, params)[0]

    def execute(self, sql: str, params: Sequence[object] = ()) -> int:
        """Return how many rows the statement touched."""
        return self._run(sql, params)[1]

    def read(self, sql: str, params: Sequence[object] = (), *, most: Most) -> Rows:
        """Return the first rows of the answer; what is not wanted is never fetched."""
        if not (self._read_only and _SELECTS.match(sql)):
            whole = self.query(sql, params)
            return Rows(whole.columns, whole[: most.rows], cut=len(whole) > most.rows)
        self._ensure_transaction(sql)
        with self._only_reading():
            return self._session.read(expand(sql, self._prefix), params, most, self._patience)

    def _run(self, text: str, params: Sequence[object]) -> tuple[Rows, int]:
        self._ensure_transaction(text)
        with self._only_reading():
            return self._session.run(
                expand(text, self._prefix), params, otherwise=InvalidInput, patience=self._patience
            )

    @contextmanager
    def _only_reading(self) -> Iterator[None]:
        try:
            yield
        except Unavailable as error:
            if error.code == "engine.readonly" and self._read_only:
                kind, code, hint = faults.READS_ONLY
                raise kind(code, error.message, hint) from error
            raise

    def end(self, word: str) -> None:
        """End the transaction, if there is one; a server that falls silent is given up."""
        with _given_up_after(self._patience, self._session.driver):
            self._session.run_batch([word])

    def _ensure_transaction(self, sql: str) -> None:
        """Begin a transaction of our kind, with its limit, where the last statement left none."""
        # A statement may end the transaction (COMMIT); none runs outside one of our kind.
        idle = self._session.driver.info.transaction_status == TransactionStatus.IDLE
        lost, self._limit_lost = self._limit_lost, bool(self._limit) and _LIMIT in sql.lower()
        if idle or lost:
            with _given_up_after(self._patience, self._session.driver):
                self._session.run_batch(self._begin if idle else [self._limit])


@contextmanager
def open_site(
    address: ServerAddress,
    database: SiteDatabase,
    *,
    read_only: bool,
    statement_timeout: float | None,
    one_moment: bool,
) -> Iterator[PostgreSQLSiteConnection]:
    """Log in as a site's account and keep one transaction until the end of the `with`."""
    with open_session(
        address, database=database.name, user=database.account, password=database.password
    ) as session:
        connection = PostgreSQLSiteConnection(
            session,
            database.prefix,
            read_only=read_only,
            timeout=statement_timeout,
            one_moment=one_moment,
        )
        try:
            yield connection
        except BaseException:
            if not (read_only or session.driver.closed or session.driver.broken):
                with suppress(Unavailable):  # to hang up takes it back as well
                    connection.end("ROLLBACK")
            raise
        # Where only was read, to hang up ends the transaction as well.
        if not read_only:
            connection.end("COMMIT")
