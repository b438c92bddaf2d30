"""A site's own addresses in all of its database: planned, rewritten, found.

SQL narrows to the rows that hold the host, in plain or in base64; Python rewrites them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from vmoodle.engines.protocol import SiteConnection
from vmoodle.moodle.database.address_text import AddressText
from vmoodle.moodle.database.site_schema import marks
from vmoodle.moodle.database.text_columns import DERIVED, PACKED, Derived, TextColumn, TextSchema

TOO_LONG = "longer than its column after rewriting"
DUPLICATE = "equal to another row's after rewriting, where each must be unique"
NO_ID = "in a table without a numeric id"

_TABLES_A_STATEMENT = 100
_ROWS_A_PAGE = 500
_ROWS_AN_UPDATE = 100
_CHARACTERS_AN_UPDATE = 1 << 19

Row = Mapping[str, object]


@dataclass(frozen=True)
class ColumnCount:
    """Count what is rewritten in one column; the table is named without the site's prefix."""

    table: str
    column: str
    cells: int
    addresses: int


@dataclass(frozen=True)
class LeftCell:
    """Name a cell in which an address stays (`row` is its id, None for a whole table), and why."""

    table: str
    column: str
    row: int | None
    reason: str


@dataclass(frozen=True)
class RewriteReport:
    """Say what a rewriting changes, or has changed, and what it leaves."""

    old: str
    new: str
    columns: tuple[ColumnCount, ...]
    left: tuple[LeftCell, ...]

    @property
    def tables(self) -> tuple[str, ...]:
        """The tables that are touched, in order, without the site's prefix."""
        return tuple(sorted({count.table for count in self.columns}))

    @property
    def cells(self) -> int:
        """How many cells change."""
        return sum(count.cells for count in self.columns)

    @property
    def addresses(self) -> int:
        """How many addresses change."""
        return sum(count.addresses for count in self.columns)


def plan(
    connection: SiteConnection, old: str, new: str, *, others: Iterable[str] = ()
) -> RewriteReport:
    """Return what `rewrite` would do, without doing it; the connection may be read-only."""
    return _Rewriting(connection, AddressText(old, new, others)).report(old, new, write=False)


def rewrite(
    connection: SiteConnection, old: str, new: str, *, others: Iterable[str] = ()
) -> RewriteReport:
    """Replace the addresses of wwwroot `old` by those of `new` everywhere in a site's database.

    `others` are wwwroots of other sites on the host of `old`; what lies below them stays. All
    happens in the connection's transaction, and a second call changes nothing. A cell that cannot
    be rewritten stays as it is and is in the report. The caller makes Moodle's caches forget the
    touched tables. Raise InvalidInput (`moodle.wwwroot`), and what the connection raises.
    """
    return _Rewriting(connection, AddressText(old, new, others)).report(old, new, write=True)


def find(
    connection: SiteConnection,
    wwwroot: str,
    *,
    others: Iterable[str] = (),
    untouched: bool = False,
) -> list[tuple[str, str, int]]:
    """Return table, column and number of cells that hold an address of the site in any encoding.

    Columns that `rewrite` does not touch are looked through only with `untouched`.
    """
    rules = AddressText(wwwroot, wwwroot, others)
    reader = _Reader(connection, rules, untouched=untouched)
    counts: Counter[tuple[str, str]] = Counter()
    for table in reader.candidates():
        for row in reader.rows(table):
            for column in reader.columns[table]:
                value = row[column.name]
                if isinstance(value, str) and rules.holds(value):
                    counts[table, column.name] += 1
    return [(table, column, count) for (table, column), count in sorted(counts.items())]


class _Reader:
    """Read the rows of a site that can hold an address, and no others."""

    def __init__(
        self, connection: SiteConnection, rules: AddressText, *, untouched: bool = False
    ) -> None:
        self._connection = connection
        self._rules = rules
        self.schema = TextSchema(connection)
        shortest = min(map(len, rules.hints)) + len("//")
        wide = {
            table: [
                column
                for column in columns
                if (column.characters is None or column.characters >= shortest)
                and (untouched or not column.untouched)
            ]
            for table, columns in self.schema.columns.items()
        }
        self.columns = {table: columns for table, columns in wide.items() if columns}

    def candidates(self) -> list[str]:
        """Return the tables in which some row may hold an address."""
        tables, found = list(self.columns), list[str]()
        for start in range(0, len(tables), _TABLES_A_STATEMENT):
            parts: list[str] = []
            params: list[object] = []
            for number, table in enumerate(tables[start : start + _TABLES_A_STATEMENT], start):
                condition, values = self._condition(table)
                name = self.schema.table(table)
                parts.append(f"(SELECT {number} AS n FROM {name} WHERE {condition} LIMIT 1)")  # noqa: S608
                params += values
            answer = self._connection.query(" UNION ALL ".join(parts), params)
            found += [tables[int(number)] for (number,) in answer]
        return found

    def rows(self, table: str, more: Iterable[str] = ()) -> Iterator[Row]:
        """Yield a table's rows that may hold an address: `id`, its text columns, and `more`."""
        names = list(dict.fromkeys([*(column.name for column in self.columns[table]), *more]))
        condition, values = self._condition(table)
        quoted = [self.schema.dialect.name(name) for name in names]
        select = f"SELECT {{}} FROM {self.schema.table(table)} WHERE"  # noqa: S608
        if table not in self.schema.tables_with_id:
            everything = select.format(", ".join(["NULL", *quoted]))
            for row in self._connection.query(f"{everything} {condition}", values):
                yield dict(zip(["id", *names], row, strict=True))
            return
        # Ids first: one scan of the table, however many pages its rows then take.
        ids = [
            row[0] for row in self._connection.query(f"{select.format('id')} {condition}", values)
        ]
        ids.sort()
        page = select.format(", ".join(["id", *quoted]))
        for start in range(0, len(ids), _ROWS_A_PAGE):
            wanted = ids[start : start + _ROWS_A_PAGE]
            paged = f"{page} id IN ({marks(wanted)}) ORDER BY id"
            for row in self._connection.query(paged, wanted):
                yield dict(zip(["id", *names], row, strict=True))

    def _condition(self, table: str) -> tuple[str, list[object]]:
        parts: list[str] = []
        params: list[object] = []
        for column in self.columns[table]:
            name = self.schema.dialect.name(column.name)
            if (table, column.name) in PACKED:
                parts.append(f"{name} <> ''")
                continue
            folded = f"LOWER({name})" if column.exact_case else name
            for hint in self._rules.hints:
                parts.append(f"{folded} {self.schema.dialect.like} %s")
                params.append(_anywhere(hint.lower()))
            exact = self.schema.dialect.exact.format(name)
            for fragment in self._rules.fragments:
                parts.append(f"{exact} LIKE %s")
                params.append(_anywhere(fragment))
        return " OR ".join(parts), params


def _anywhere(text: str) -> str:
    escaped = re.sub(r"([%_\\])", r"\\\1", text)
    return f"%{escaped}%"


@dataclass
class _Change:
    """New values of one row's columns, and how many addresses each has."""

    row: int
    values: dict[str, str] = field(default_factory=dict)
    addresses: dict[str, int] = field(default_factory=dict)


class _Rewriting:
    """Rewrite one site's database once, or only count."""

    def __init__(self, connection: SiteConnection, rules: AddressText) -> None:
        self._connection = connection
        self._rules = rules
        self._reader = _Reader(connection, rules)
        self._cells: Counter[tuple[str, str]] = Counter()
        self._addresses: Counter[tuple[str, str]] = Counter()
        self._left: list[LeftCell] = []

    def report(self, old: str, new: str, *, write: bool) -> RewriteReport:
        """Go through all tables that may hold an address."""
        tables = self._reader.candidates()
        keys = self._reader.schema.unique_keys(tables)
        for table in tables:
            pending: list[_Change] = []
            for change in self._changes(table, keys.get(table, [])):
                for column, count in change.addresses.items():
                    self._cells[table, column] += 1
                    self._addresses[table, column] += count
                pending.append(change)
                if _is_full(pending):
                    self._update(table, pending, write=write)
            self._update(table, pending, write=write)
        columns = tuple(
            ColumnCount(table, column, cells, self._addresses[table, column])
            for (table, column), cells in sorted(self._cells.items())
        )
        return RewriteReport(old, new, columns, tuple(self._left))

    def _changes(self, table: str, keys: Sequence[tuple[str, ...]]) -> Iterator[_Change]:
        present = {column.name for column in self._reader.schema.columns[table]}
        derived = [
            rule
            for rule in DERIVED
            if rule.table == table and present.issuperset((*rule.sources, rule.target))
        ]
        more = {name for key in keys for name in key if name != "id"}
        more |= {name for rule in derived for name in (*rule.sources, rule.target)}
        claimed: set[tuple[object, ...]] = set()
        for row in self._reader.rows(table, sorted(more)):
            change = self._change(table, row)
            if change is None:
                continue
            followers = _follow(derived, row, change)
            self._keep_unique(table, keys, row, change, followers, claimed)
            if change.values:
                yield change

    def _change(self, table: str, row: Row) -> _Change | None:
        number = row["id"]
        identity = number if isinstance(number, int) else None
        change = _Change(identity or 0)
        for column in self._reader.columns[table]:
            value = row[column.name]
            if not isinstance(value, str):
                continue
            result = self._rules.rewrite(value)
            reasons = set(result.left)
            if result.replaced:
                if reason := _obstacle(column, identity, result.value):
                    reasons.add(reason)
                else:
                    change.values[column.name] = result.value
                    change.addresses[column.name] = result.replaced
            self._left += [
                LeftCell(table, column.name, identity, reason) for reason in sorted(reasons)
            ]
        return change if change.values else None

    def _keep_unique(
        self,
        table: str,
        keys: Sequence[tuple[str, ...]],
        row: Row,
        change: _Change,
        followers: Mapping[str, str],
        claimed: set[tuple[object, ...]],
    ) -> None:
        """Take back what would make the row equal to another in a unique index."""
        for key in keys:
            if not change.values.keys() & set(key):
                continue
            values = [change.values.get(name, row[name]) for name in key]
            if any(value is None for value in values):
                continue
            seen = (key, *map(self._folded, values))
            if seen not in claimed and not self._taken(table, key, values, change.row):
                claimed.add(seen)
                continue
            for name in key:
                change.values.pop(name, None)
                source = followers.get(name, name)
                change.values.pop(source, None)
                if change.addresses.pop(source, None):
                    self._left.append(LeftCell(table, source, change.row, DUPLICATE))
            for target, source in followers.items():
                if source not in change.values:
                    change.values.pop(target, None)

    def _folded(self, value: object) -> object:
        folds = isinstance(value, str) and self._reader.schema.dialect.ignores_case
        return str(value).casefold() if folds else value

    def _taken(self, table: str, key: Sequence[str], values: Sequence[object], row: int) -> bool:
        equal = " AND ".join(f"{self._reader.schema.dialect.name(name)} = %s" for name in key)
        return bool(
            self._connection.query(
                f"SELECT 1 FROM {self._reader.schema.table(table)} WHERE {equal} AND id <> %s LIMIT 1",  # noqa: S608, E501
                [*values, row],
            )
        )

    def _update(self, table: str, changes: list[_Change], *, write: bool) -> None:
        """Write the pending changes in one statement, and forget them."""
        if write and changes:
            assignments, params = [], list[object]()
            for column in sorted({name for change in changes for name in change.values}):
                name = self._reader.schema.dialect.name(column)
                cases = [
                    (change.row, change.values[column])
                    for change in changes
                    if column in change.values
                ]
                assignments.append(
                    f"{name} = CASE id{' WHEN %s THEN %s' * len(cases)} ELSE {name} END"
                )
                params += [item for case in cases for item in case]
            rows = [change.row for change in changes]
            self._connection.execute(
                f"UPDATE {self._reader.schema.table(table)} SET {', '.join(assignments)}"  # noqa: S608
                f" WHERE id IN ({', '.join(['%s'] * len(rows))})",
                [*params, *rows],
            )
        changes.clear()


def _is_full(changes: Sequence[_Change]) -> bool:
    size = sum(len(value) for change in changes for value in change.values.values())
    return len(changes) >= _ROWS_AN_UPDATE or size >= _CHARACTERS_AN_UPDATE


def _obstacle(column: TextColumn, identity: int | None, value: str) -> str:
    if identity is None:
        return NO_ID
    return "" if column.takes(value) else TOO_LONG


def _follow(rules: Iterable[Derived], row: Row, change: _Change) -> dict[str, str]:
    """Add what follows from the changed columns; return each such column's first source."""
    followers: dict[str, str] = {}
    for rule in rules:
        before = [row[name] for name in rule.sources]
        if None in before or not change.values.keys() & set(rule.sources):
            continue
        # A value that did not follow before is somebody's choice.
        if row[rule.target] == rule.value(*map(str, before)):
            after = [str(change.values.get(name, row[name])) for name in rule.sources]
            change.values[rule.target] = rule.value(*after)
            followers[rule.target] = rule.sources[0]
    return followers
