"""Copies of tables inside a MariaDB or MySQL server, several connections at once."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from queue import Empty, SimpleQueue

from vmoodle.engines.address import ServerAddress
from vmoodle.engines.mariadb_connection import Session, open_session, quote_name
from vmoodle.engines.prefixes import renamed
from vmoodle.engines.protocol import SiteDatabase
from vmoodle.errors import Failed, VMoodleError

# Making a table is waiting for the server's disk and for a lock inside InnoDB. Measured on two
# cores: in memory two to four connections are alike, on a disk four; eight and more are slower.
_CONNECTIONS = 4
# Seconds: who waits for a lock on a live site keeps those waiting that come later.
_LIVE_LOCK_WAIT = 3
_TICK = 0.1
_LONGEST_NAME = 64
_TABLES_PER_QUESTION = 200

_TABLES = """
    SELECT table_name, COALESCE(auto_increment, 0), COALESCE(data_length, 0)
      FROM information_schema.tables WHERE table_schema = %s AND table_type = 'BASE TABLE'
"""
_TEXT_THAT_NAMES_TABLES = """
    SELECT 'views' FROM information_schema.views WHERE table_schema = %s
    UNION
    SELECT 'triggers' FROM information_schema.triggers WHERE trigger_schema = %s
    UNION
    SELECT 'foreign keys' FROM information_schema.table_constraints
     WHERE table_schema = %s AND constraint_type = 'FOREIGN KEY'
"""
_DEFINED = """
    SELECT table_name, create_time FROM information_schema.tables
     WHERE table_schema = %s AND table_type = 'BASE TABLE' ORDER BY table_name
"""
_TABLES_WITH_FOREIGN_KEYS = """
    SELECT DISTINCT table_name FROM information_schema.table_constraints
     WHERE table_schema = %s AND constraint_type = 'FOREIGN KEY'
"""


@dataclass(frozen=True)
class _Table:
    name: str
    new_name: str
    exact: bool
    """Whether CREATE TABLE … LIKE would lose something: a counter above 1, foreign keys."""
    filled: bool
    made: bool = False


def text_that_names_tables(session: Session, database: str) -> str:
    """Return what in the database names tables by their prefix, empty for nothing."""
    rows = session.run(_TEXT_THAT_NAMES_TABLES, (database,) * 3)
    return " and ".join(str(row[0]) for row in rows)


def copy_tables(
    address: ServerAddress, source: SiteDatabase, target: SiteDatabase, *, live: bool
) -> None:
    """Make the source's tables and their rows in the empty target database.

    Nothing is written to the source. A `live` one is locked against writers meanwhile, so that
    the copy is of one moment; raise Unavailable (`engine.busy`) when the lock is not had soon.
    """
    with open_session(address, database=target.name) as session:
        if not session.is_mariadb:  # MySQL remembers counters for a day otherwise
            session.run("SET SESSION information_schema_stats_expiry = 0")
        found = session.run(_TABLES, (source.name,))
        if not found:
            return
        exact = {str(row[0]) for row in session.run(_TABLES_WITH_FOREIGN_KEYS, (source.name,))}
        exact |= {str(name) for name, counter, _size in found if counter > 1}
        sizes = {str(name): int(size) for name, _counter, size in found}
        names = renamed(sizes, source.prefix, target.prefix, longest=_LONGEST_NAME)
        with _locked(session, source.name, list(names) if live else []):
            filled = _filled(session, source.name, list(names))
            tables = [
                _Table(name, new_name, name in exact, name in filled)
                for name, new_name in names.items()
            ]
            # The largest first, so that no connection is left alone with one at the end.
            tables.sort(key=lambda table: (table.filled, sizes[table.name]), reverse=True)
            _copy(address, source.name, target.name, tables)


def prepare_tables(address: ServerAddress, source: SiteDatabase, target: SiteDatabase) -> str:
    """Make the source's tables, without rows, in the empty target; return how the source's are.

    Anybody goes on writing. Empty where it cannot be told later whether a table was changed: only
    MariaDB keeps when its definition was.
    """
    with open_session(address, database=target.name) as session:
        if not session.is_mariadb:
            return ""
        definitions = _definitions(session, source.name)
        found = session.run(_TABLES, (source.name,))
        exact = {str(row[0]) for row in session.run(_TABLES_WITH_FOREIGN_KEYS, (source.name,))}
        names = renamed(
            [str(row[0]) for row in found], source.prefix, target.prefix, longest=_LONGEST_NAME
        )
        tables = [
            _Table(name, new_name, name in exact, filled=False) for name, new_name in names.items()
        ]
    _copy(address, source.name, target.name, tables)
    return definitions


def fill_tables(
    address: ServerAddress, source: SiteDatabase, target: SiteDatabase, prepared: str
) -> bool:
    """Copy the source's rows into the tables that were prepared, as they are at one moment.

    Return False, with nothing done, where the source's tables are not what they were then. Writers
    wait meanwhile; raise Unavailable (`engine.busy`) when they do not let go soon.
    """
    with open_session(address, database=target.name) as session:
        found = [str(row[0]) for row in session.run(_DEFINED, (source.name,))]
        names = renamed(found, source.prefix, target.prefix, longest=_LONGEST_NAME)
        with _locked(session, source.name, list(names)):
            if _definitions(session, source.name) != prepared:
                return False
            # Asked once: for its answer the server opens every table.
            rows = session.run(_TABLES, (source.name,))
            sizes = {str(name): int(size) for name, _counter, size in rows}
            filled = _filled(session, source.name, list(names))
            tables = [
                _Table(name, names[name], exact=False, filled=True, made=True)
                for name in sorted(filled, key=lambda name: sizes[name], reverse=True)
            ]
            _copy(address, source.name, target.name, tables)
        wanted = {names[str(name)]: int(counter) for name, counter, _size in rows}
        _raise_counters(session, target.name, wanted)
    return True


def _definitions(session: Session, database: str) -> str:
    """Return a hash that is another once a table was made, changed or dropped.

    Times have whole seconds, so it is waited until the last change is not in the present one.
    """
    while True:
        rows = session.run(_DEFINED, (database,))
        now = session.run("SELECT NOW()")[0][0]
        if all(made is not None and made < now for _name, made in rows):
            said = "\n".join(f"{name} {made}" for name, made in rows)
            return hashlib.sha256(said.encode()).hexdigest()
        time.sleep(_TICK)


def _raise_counters(session: Session, database: str, wanted: Mapping[str, int]) -> None:
    """Let the next ids be the source's, also where its last rows were deleted."""
    given = {str(name): int(counter) for name, counter, _ in session.run(_TABLES, (database,))}
    for table, counter in wanted.items():
        if counter > max(1, given[table]):
            there = f"{quote_name(database)}.{quote_name(table)}"
            session.run(f"ALTER TABLE {there} AUTO_INCREMENT = {counter}")


@contextmanager
def _locked(session: Session, database: str, tables: Sequence[str]) -> Iterator[None]:
    if not tables:
        yield
        return
    session.run(f"SET SESSION lock_wait_timeout = {_LIVE_LOCK_WAIT}")
    locks = (f"{quote_name(database)}.{quote_name(table)} READ" for table in tables)
    session.run(f"LOCK TABLES {', '.join(locks)}")
    try:
        yield
    finally:
        # With the connection gone, so are its locks.
        if session.driver.open:
            session.run("UNLOCK TABLES")


def _filled(session: Session, database: str, tables: Sequence[str]) -> set[str]:
    """Return the tables that hold a row: in a fresh Moodle, one of nine."""
    filled: set[str] = set()
    for start in range(0, len(tables), _TABLES_PER_QUESTION):
        questions = (
            f"(SELECT {session.literal(table)} FROM"  # noqa: S608 - both are quoted
            f" {quote_name(database)}.{quote_name(table)} LIMIT 1)"
            for table in tables[start : start + _TABLES_PER_QUESTION]
        )
        filled |= {str(row[0]) for row in session.run(" UNION ALL ".join(questions))}
    return filled


def _copy(address: ServerAddress, source: str, target: str, tables: Sequence[_Table]) -> None:
    waiting: SimpleQueue[_Table] = SimpleQueue()
    for table in tables:
        waiting.put(table)
    failed = threading.Event()

    def work() -> VMoodleError | None:
        try:
            _copy_waiting(address, source, target, waiting, failed)
        except VMoodleError as error:
            if error.code != "engine.connections":  # the others do without this one
                failed.set()
            return error
        return None

    workers = min(_CONNECTIONS, len(tables))
    with ThreadPoolExecutor(workers, thread_name_prefix="copy") as pool:
        try:
            errors = [job.result() for job in [pool.submit(work) for _ in range(workers)]]
        except BaseException:
            failed.set()
            raise
    if failed.is_set() or not waiting.empty():
        found = [error for error in errors if error is not None]
        raise min(found, key=lambda error: error.code == "engine.connections")


def _copy_waiting(
    address: ServerAddress,
    source: str,
    target: str,
    waiting: SimpleQueue[_Table],
    failed: threading.Event,
) -> None:
    with open_session(address, database=target) as session:
        session.run(
            "SET SESSION foreign_key_checks = 0, unique_checks = 0, sql_quote_show_create = 1,"
            " sql_mode = 'NO_AUTO_VALUE_ON_ZERO'"
        )
        if session.is_mariadb:  # a table that the source could have, the copy can have too
            session.run("SET SESSION innodb_strict_mode = 0")
        # Rows alone are written to the disk once for all tables; a definition ends a transaction.
        session.run("START TRANSACTION")
        while not failed.is_set():
            try:
                table = waiting.get_nowait()
            except Empty:
                break
            _copy_table(session, source, table)
        session.run("COMMIT")


def _copy_table(session: Session, source: str, table: _Table) -> None:
    here, there = f"{quote_name(source)}.{quote_name(table.name)}", quote_name(table.new_name)
    if table.made:
        pass
    elif table.exact:
        start = f"CREATE TABLE {quote_name(table.name)} "
        definition = str(session.run(f"SHOW CREATE TABLE {here}")[0][1])
        if not definition.startswith(start):
            raise Failed(
                "engine.clone.definition",
                f"The server shows the table {table.name} in a way VMoodle does not know.",
                "Copy this database with the server's own dump program.",
            )
        session.run(f"CREATE TABLE {there} {definition.removeprefix(start)}")
    else:
        session.run(f"CREATE TABLE {there} LIKE {here}")
    if table.filled:
        session.run(f"INSERT INTO {there} SELECT * FROM {here}")  # noqa: S608 - quoted


def rename_tables(session: Session, database: str, source: str, target: str) -> None:
    """Give the database's tables the target's prefix instead of the source's, all or none."""
    found = [str(row[0]) for row in session.run(_TABLES, (database,))]
    names: Mapping[str, str] = renamed(found, source, target, longest=_LONGEST_NAME)
    where = quote_name(database)
    changes = [
        f"{where}.{quote_name(old)} TO {where}.{quote_name(new)}"
        for old, new in names.items()
        if old != new
    ]
    if changes:
        session.run(f"RENAME TABLE {', '.join(changes)}")
