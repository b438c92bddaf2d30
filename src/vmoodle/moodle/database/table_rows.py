"""Rows of one table of a site, read and written in batches, the same for both engines.

Every table of Moodle has an `id` that counts itself; by it rows are read in order, a batch at a
time, so that a table of any size takes the memory of one batch.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, TypeAlias

from vmoodle.engines.protocol import SiteConnection, size_of
from vmoodle.errors import Failed, InvalidInput
from vmoodle.moodle.database.site_schema import Column

Row: TypeAlias = tuple[Any, ...]
"""An id, then the values of the other columns in their order."""

_BATCH_BYTES = 2_000_000
_BATCH_ROWS = 1000
_MOST_PARAMETERS = 30_000  # PostgreSQL takes 65,535
_BEFORE_ALL = -(1 << 62)


@dataclass(frozen=True)
class TableSlice:
    """Name the rows of a table where columns have values; all rows without any.

    `columns` are those besides `id`; `is_postgresql` says whose SQL is spoken.
    """

    table: str
    columns: tuple[Column, ...]
    is_postgresql: bool
    where: Mapping[str, str]

    @property
    def names(self) -> list[str]:
        """Return the columns besides id, quoted."""
        return [self.quoted(column.name) for column in self.columns]

    def quoted(self, name: str) -> str:
        """Return a column's name as the engine takes any: some are words of SQL."""
        return f'"{name}"' if self.is_postgresql else f"`{name}`"

    def condition(self) -> tuple[str, list[Any]]:
        """Return what follows WHERE; a text is the same by each of its characters."""
        parts, values = [], list[Any]()
        texts = {column.name: column.is_text for column in self.columns}
        for name, value in self.where.items():
            if not texts[name]:
                parts.append(f"{self.quoted(name)} = %s")
                values.append(Decimal(value) if "." in value else int(value))
                continue
            same = "" if self.is_postgresql else " COLLATE utf8mb4_bin"
            parts.append(f"{self.quoted(name)} = %s{same}")
            values.append(value)
        return " AND ".join(parts) or "1 = 1", values


def rows_of(
    connection: SiteConnection,
    part: TableSlice,
    *,
    after: int | None = None,
    until: int | None = None,
    lock: bool = False,
) -> Iterator[list[Row]]:
    """Give the rows in batches in the order of their ids; with `lock` nobody changes them then.

    Those with the ids beyond `after`, up to `until`.
    """
    condition, values = part.condition()
    if until is not None:
        condition, values = f"{condition} AND id <= %s", [*values, until]
    columns = ", ".join(["id", *part.names])
    end = " FOR UPDATE" if lock else ""
    last, count = _BEFORE_ALL if after is None else after, 100
    while True:
        rows = connection.query(
            f"SELECT {columns} FROM {{{part.table}}} WHERE {condition} AND id > %s"  # noqa: S608
            f" ORDER BY id LIMIT {count}{end}",
            [*values, last],
        )
        if not rows:
            return
        yield list(rows)
        last = rows[-1][0]
        if len(rows) < count:
            return
        mean = max(1, sum(size_of(row) for row in rows) // len(rows))
        count = max(1, min(_BATCH_ROWS, _BATCH_BYTES // mean))


def insert_rows(
    connection: SiteConnection, part: TableSlice, rows: Sequence[Row], *, with_ids: bool
) -> None:
    """Write rows, with their ids or with new ones.

    Raise InvalidInput `table.zero` for a text with a zero byte, which PostgreSQL cannot keep.
    """
    if part.is_postgresql:
        _refuse_zero_bytes(part, rows)
    names = ["id", *part.names] if with_ids else part.names
    one = f"({', '.join(['%s'] * len(names))})"
    for some in _pieces(rows, len(names)):
        values = [value for row in some for value in (row if with_ids else row[1:])]
        connection.execute(
            f"INSERT INTO {{{part.table}}} ({', '.join(names)})"  # noqa: S608
            f" VALUES {', '.join([one] * len(some))}",
            values,
        )


def raise_sequence(connection: SiteConnection, part: TableSlice, prefix: str) -> None:
    """Let a PostgreSQL table count on after the ids that were written; it never counts back.

    Raise Failed `table.sequence` where the table has no counter.
    """
    if not part.is_postgresql:
        return  # MariaDB and MySQL do by themselves
    name = prefix + part.table
    rows = connection.query(
        "SELECT setval(s.name, GREATEST(COALESCE(s.last, 1), COALESCE(MAX(t.id), 1)),"  # noqa: S608
        " s.last IS NOT NULL OR MAX(t.id) IS NOT NULL) FROM (SELECT q.name,"
        " pg_sequence_last_value(q.name) AS last FROM"
        " (SELECT pg_get_serial_sequence(%s, 'id')::regclass AS name) q) s"
        f" LEFT JOIN {{{part.table}}} t ON true GROUP BY s.name, s.last",
        [name],
    )
    if not rows or rows[0][0] is None:
        raise Failed(
            "table.sequence",
            f"The table {part.table} has no sequence of its own for its ids.",
            "Let the site's table own its sequence: ALTER SEQUENCE … OWNED BY.",
        )


class Digest:
    """A mark of rows: the same for the same rows in the same order, on each engine."""

    def __init__(self, *, with_ids: bool) -> None:
        self._hash = hashlib.sha256()
        self._from = 0 if with_ids else 1
        self.rows = 0
        self.size = 0

    def add(self, rows: Iterable[Row]) -> None:
        """Count rows in."""
        for row in rows:
            for value in row[self._from :]:
                self._hash.update(_canonical(value))
            self.rows += 1
            self.size += size_of(row)

    @property
    def mark(self) -> str:
        """Return the mark of all rows so far."""
        return f"{self.rows}:{self._hash.hexdigest()}"


def digest_of(batches: Iterable[list[Row]], *, with_ids: bool) -> Digest:
    """Return the mark of all rows."""
    digest = Digest(with_ids=with_ids)
    for batch in batches:
        digest.add(batch)
    return digest


def key_of(row: Row, places: Sequence[int]) -> int:
    """Return a mark of some of a row's values, which no two keys have in common."""
    values = b"".join(_canonical(row[at]) for at in places)
    return int.from_bytes(hashlib.blake2b(values, digest_size=16).digest())


def as_json(row: Row) -> list[Any]:
    """Return a row as JSON can hold it."""
    return [
        {"bytes": base64.b64encode(value).decode()}
        if isinstance(value, bytes)
        else {"number": str(value)}
        if isinstance(value, Decimal)
        else value
        for value in row
    ]


def from_json(row: Sequence[Any]) -> Row:
    """Return a row that was made JSON."""
    return tuple(
        (base64.b64decode(value["bytes"]) if "bytes" in value else Decimal(value["number"]))
        if isinstance(value, dict)
        else value
        for value in row
    )


def _canonical(value: object) -> bytes:
    match value:
        case None:
            return b"N;"
        case bool() | int():
            text = f"i{int(value)}".encode()
        case Decimal():
            whole = value == value.to_integral_value()
            text = (f"i{int(value)}" if whole else f"d{value.normalize():f}").encode()
        case float():
            text = f"f{value!r}".encode()
        case bytes() | bytearray() | memoryview():
            text = b"b" + bytes(value)
        case _:
            text = b"s" + str(value).encode("utf-8", "surrogatepass")
    return b"%d:%b;" % (len(text), text)


def _pieces(rows: Sequence[Row], columns: int) -> Iterator[Sequence[Row]]:
    """Give rows in pieces that one statement can hold."""
    most = max(1, _MOST_PARAMETERS // columns)
    piece: list[Row] = []
    size = 0
    for row in rows:
        size += size_of(row)
        if piece and (len(piece) >= most or size > _BATCH_BYTES):
            yield piece
            piece, size = [], size_of(row)
        piece.append(row)
    if piece:
        yield piece


def _refuse_zero_bytes(part: TableSlice, rows: Sequence[Row]) -> None:
    for row in rows:
        for column, value in zip(part.columns, row[1:], strict=True):
            if isinstance(value, str) and "\0" in value:
                raise InvalidInput(
                    "table.zero",
                    f"Row {row[0]} of {part.table} has a zero byte in {column.name}, which"
                    " PostgreSQL cannot keep.",
                    "Take it out on the source first.",
                )
