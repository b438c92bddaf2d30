"""Checksums of a database's content, whatever the order in which its rows lie."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from vmoodle.engines.address import EngineName
from vmoodle.engines.protocol import Engine, SiteConnection, SiteDatabase

_TABLES_PER_QUESTION = 200
# Each row becomes an MD5; the sums of their halves are the same in every order, and tell how often
# a row is there. Against chance, not against somebody who forges rows.
_MARIADB_COLUMNS = """
    SELECT table_name, column_name, column_type, '' FROM information_schema.columns
     WHERE table_schema = %s ORDER BY table_name, ordinal_position
"""
_MARIADB_VIEWS = "SELECT table_name FROM information_schema.views WHERE table_schema = %s"
_MARIADB_ROWS = """
    SELECT COUNT(*),
           COALESCE(SUM(CAST(CONV(SUBSTR(h, 1, 16), 16, 10) AS UNSIGNED)), 0),
           COALESCE(SUM(CAST(CONV(SUBSTR(h, 17, 16), 16, 10) AS UNSIGNED)), 0)
      FROM (SELECT MD5(CONCAT_WS(',', {values})) AS h FROM {table}) AS hashed
"""
_POSTGRESQL_COLUMNS = """
    SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), c.oid::regclass::text
      FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
      JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped
       AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\\_%'
     ORDER BY n.nspname, c.relname, a.attnum
"""
_POSTGRESQL_ROWS = """
    SELECT count(*),
           COALESCE(sum(('x' || substr(h, 1, 16))::bit(64)::bigint::numeric), 0),
           COALESCE(sum(('x' || substr(h, 17, 16))::bit(64)::bigint::numeric), 0)
      FROM (SELECT md5(ROW({values})::text) AS h FROM {table}) AS hashed
"""
# How values are written as text must not depend on what somebody set for the database.
_POSTGRESQL_TEXT = """
    SELECT set_config('DateStyle', 'ISO, YMD', true), set_config('TimeZone', 'UTC', true),
           set_config('bytea_output', 'hex', true), set_config('extra_float_digits', '1', true),
           set_config('IntervalStyle', 'postgres', true)
"""


@dataclass(frozen=True)
class _Table:
    name: str
    place: str
    """How a statement names the table."""
    columns: Sequence[tuple[str, str]]


def table_checksums(engine: Engine, database: SiteDatabase) -> dict[str, str]:
    """Return a checksum of each table by its name without the prefix.

    It covers columns and rows, in whatever order they lie on the disk: equal for copies on
    the same engine, also under another prefix. Counters and indexes do not count.
    """
    with engine.connect(database) as connection:
        return _of_tables(engine.address.engine, connection, database)


def checksum(engine: Engine, database: SiteDatabase) -> str:
    """Return one checksum of all tables."""
    sums = table_checksums(engine, database)
    return _digest([f"{table} {value}" for table, value in sorted(sums.items())])


def _of_tables(
    engine: EngineName, connection: SiteConnection, database: SiteDatabase
) -> dict[str, str]:
    """Return a checksum of each table by its name without the prefix."""
    find, hashed = {
        "mariadb": (_mariadb_tables, _mariadb_hashed),
        "postgresql": (_postgresql_tables, _postgresql_hashed),
    }[engine]
    tables = find(connection, database)
    filled = _filled(connection, tables)
    sums = {}
    for number, table in enumerate(tables):
        totals = connection.query(hashed(table))[0] if number in filled else (0, 0, 0)
        sums[table.name] = _sum(table.columns, totals)
    return sums


def _filled(connection: SiteConnection, tables: Sequence[_Table]) -> set[int]:
    """Return the numbers of the tables that hold a row; most of a Moodle's do not."""
    filled: set[int] = set()
    for start in range(0, len(tables), _TABLES_PER_QUESTION):
        questions = (
            f"(SELECT {start + number} FROM {table.place} LIMIT 1)"
            for number, table in enumerate(tables[start : start + _TABLES_PER_QUESTION])
        )
        filled |= {int(row[0]) for row in connection.query(" UNION ALL ".join(questions))}
    return filled


def _mariadb_tables(connection: SiteConnection, database: SiteDatabase) -> list[_Table]:
    views = {str(row[0]) for row in connection.query(_MARIADB_VIEWS, (database.name,))}
    found = connection.query(_MARIADB_COLUMNS, (database.name,))
    return [
        _Table(name.removeprefix(database.prefix), _backticks(name), _columns(rows))
        for (name, _place), rows in groupby(found, key=_key)
        if name not in views
    ]


def _postgresql_tables(connection: SiteConnection, database: SiteDatabase) -> list[_Table]:
    connection.query(_POSTGRESQL_TEXT)
    tables = []
    for (name, place), rows in groupby(connection.query(_POSTGRESQL_COLUMNS), key=_key):
        schema = place.removesuffix(_double_quotes(name)).removesuffix(name)
        own = schema + name.removeprefix(database.prefix)
        tables.append(_Table(own, place, _columns(rows)))
    return tables


def _key(row: Sequence[object]) -> tuple[str, str]:
    return str(row[0]), str(row[3])


def _columns(rows: Iterable[Sequence[object]]) -> list[tuple[str, str]]:
    return [(str(row[1]), str(row[2])) for row in rows]


def _mariadb_hashed(table: _Table) -> str:
    # Hashed one by one: a text of all of them could be longer than the server lets one be.
    values = (f"COALESCE(MD5({_backticks(name)}), '-')" for name, _kind in table.columns)
    return _MARIADB_ROWS.format(values=", ".join(values), table=table.place)


def _postgresql_hashed(table: _Table) -> str:
    values = (_double_quotes(name) for name, _kind in table.columns)
    return _POSTGRESQL_ROWS.format(values=", ".join(values), table=table.place)


def _sum(columns: Sequence[tuple[str, str]], totals: Sequence[object]) -> str:
    return _digest([*(f"{name} {kind}" for name, kind in columns), *map(str, totals)])


def _digest(lines: Sequence[str]) -> str:
    return hashlib.sha256("\0".join(lines).encode()).hexdigest()


def _backticks(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


def _double_quotes(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
