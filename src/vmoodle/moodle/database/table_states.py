"""What a database's tables hold, as fingerprints: by two of them it is known what has changed.

Every row is read, by the server. Two states of one database can be compared, on the same server.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vmoodle.engines.protocol import SiteConnection

_TABLES_PER_QUESTION = 50
_COUNTER = re.compile(r" AUTO_INCREMENT=(\d+)")

_MARIADB_TABLES = """
    SELECT table_name FROM information_schema.tables
     WHERE table_schema = DATABASE() AND table_type = 'BASE TABLE' ORDER BY table_name
"""
_POSTGRESQL_TABLES = """
    SELECT c.oid, c.relname, c.oid::regclass::text FROM pg_class c
     WHERE c.relkind IN ('r', 'p') AND c.relnamespace = current_schema()::regnamespace
     ORDER BY c.relname
"""
_POSTGRESQL_DEFINITIONS = """
    SELECT attrelid, 1, attnum::text || ' ' || attname || ' ' || format_type(atttypid, atttypmod)
           || ' ' || attnotnull::text || ' ' || COALESCE(pg_get_expr(d.adbin, d.adrelid), '')
      FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
      JOIN pg_class c ON c.oid = a.attrelid
     WHERE attnum > 0 AND NOT attisdropped AND c.relnamespace = current_schema()::regnamespace
    UNION ALL
    SELECT indrelid, 2, pg_get_indexdef(indexrelid) FROM pg_index
    UNION ALL
    SELECT conrelid, 3, conname || ' ' || pg_get_constraintdef(oid) FROM pg_constraint
    UNION ALL
    SELECT tgrelid, 4, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal
    ORDER BY 1, 2, 3
"""
_POSTGRESQL_COUNTERS = """
    SELECT d.refobjid, q.last_value::text
      FROM pg_depend d JOIN pg_class s ON s.oid = d.objid AND s.relkind = 'S'
      JOIN pg_sequences q ON q.sequencename = s.relname AND q.schemaname = current_schema()
     WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass
       AND d.deptype IN ('a', 'i') AND s.relnamespace = current_schema()::regnamespace
     ORDER BY 1, 2
"""
# Each row becomes two numbers of 64 bits; their sums are the same in whatever order the rows lie.
_POSTGRESQL_ROWS = """
    SELECT count(*), COALESCE(sum(hashtextextended(vmoodle_row::text, 0)), 0)::text
           || ' ' || COALESCE(sum(hashtextextended(vmoodle_row::text, 1)), 0)::text
      FROM {table} AS vmoodle_row
"""


@dataclass(frozen=True)
class TableState:
    """One table: how it is defined, what its rows come to, how many there are, its next number."""

    definition: str
    content: str
    rows: int
    counter: str


@dataclass(frozen=True)
class TableChange:
    """In what a table changed: `made`, `removed`, `definition`, `rows` or `counter`."""

    what: tuple[str, ...]
    rows_before: int
    rows_after: int

    def as_facts(self) -> dict[str, object]:
        """Return it for JSON."""
        return {
            "what": list(self.what), "rows_before": self.rows_before, "rows_after": self.rows_after
        }  # fmt: skip


def read_table_states(connection: SiteConnection) -> dict[str, TableState]:
    """Return the state of each table by its name without the site's prefix.

    A table whose rows came and went again has another counter, so that it is not taken for one
    that nobody wrote to.
    """
    prefix = connection.query("SELECT 1 AS {config}").columns[0].removesuffix("config")
    is_postgresql = "PostgreSQL" in str(connection.query("SELECT version()")[0][0])
    found = _postgresql(connection) if is_postgresql else _mariadb(connection)
    return {name.removeprefix(prefix): state for name, state in found.items()}


def changes(
    before: Mapping[str, TableState], after: Mapping[str, TableState]
) -> dict[str, TableChange]:
    """Return what differs between two states of one database, by table."""
    found: dict[str, TableChange] = {}
    for name in sorted({*before, *after}):
        old, new = before.get(name), after.get(name)
        if old is None or new is None:
            what: tuple[str, ...] = ("made",) if old is None else ("removed",)
        else:
            pairs = {
                "definition": old.definition != new.definition,
                "rows": (old.content, old.rows) != (new.content, new.rows),
                "counter": old.counter != new.counter,
            }
            what = tuple(word for word, differs in pairs.items() if differs)
        if what:
            found[name] = TableChange(what, old.rows if old else 0, new.rows if new else 0)
    return found


def _mariadb(connection: SiteConnection) -> dict[str, TableState]:
    names = [str(row[0]) for row in connection.query(_MARIADB_TABLES)]
    found: dict[str, TableState] = {}
    for start in range(0, len(names), _TABLES_PER_QUESTION):
        some = names[start : start + _TABLES_PER_QUESTION]
        quoted = [_backticks(name) for name in some]
        sums = connection.query(f"CHECKSUM TABLE {', '.join(quoted)}")
        counts = connection.query(
            " UNION ALL ".join(
                f"SELECT {number}, COUNT(*) FROM {table}"  # noqa: S608 - quoted
                for number, table in enumerate(quoted)
            )
        )
        rows = {int(number): int(count) for number, count in counts}
        for number, (name, table) in enumerate(zip(some, quoted, strict=True)):
            definition = str(connection.query(f"SHOW CREATE TABLE {table}")[0][1])
            counter = _COUNTER.search(definition)
            found[name] = TableState(
                _digest([_COUNTER.sub("", definition)]),
                str(sums[number][1]),
                rows[number],
                counter[1] if counter else "",
            )
    return found


def _postgresql(connection: SiteConnection) -> dict[str, TableState]:
    definitions = _by_table(connection.query(_POSTGRESQL_DEFINITIONS), 2)
    counters = _by_table(connection.query(_POSTGRESQL_COUNTERS), 1)
    found: dict[str, TableState] = {}
    for number, name, place in connection.query(_POSTGRESQL_TABLES):
        rows, content = connection.query(_POSTGRESQL_ROWS.format(table=place))[0]
        found[str(name)] = TableState(
            _digest(definitions.get(int(number), [])),
            str(content),
            int(rows),
            " ".join(counters.get(int(number), [])),
        )
    return found


def _by_table(rows: Sequence[Sequence[object]], column: int) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    for row in rows:
        found.setdefault(int(str(row[0])), []).append(str(row[column]))
    return found


def _digest(lines: Sequence[str]) -> str:
    return hashlib.sha256("\0".join(lines).encode()).hexdigest()


def _backticks(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"
