"""A table of one site put into another's: replaced whole or in part, or filled up.

All of it is in the transactions of the two connections, which must each see one moment. What stands
in the target afterwards is read back and compared with what was read of the source, so that nothing
is cut off or changed on the way without a word.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

from vmoodle.engines.protocol import SiteConnection
from vmoodle.errors import Conflict, Failed, Refused, changed_since
from vmoodle.moodle.copies.table_copy_rules import Who
from vmoodle.moodle.database.site_admins import first_administrator
from vmoodle.moodle.database.table_rows import (
    Digest,
    Row,
    TableSlice,
    as_json,
    digest_of,
    from_json,
    insert_rows,
    key_of,
    raise_sequence,
    rows_of,
)

MOST_KEPT_ROWS = 20_000
MOST_KEPT_BYTES = 8_000_000
"""What is kept of a target's rows to take a copy back."""

MOST_FILLED_ROWS = 1_000_000
"""Of a table that is filled up: a mark of each row's key is held in memory."""

_MANY_KEYS = 100_000
_MOST_RUNS = 1000
_ONE_AT_A_TIME = threading.Lock()


@dataclass(frozen=True)
class TableChange:
    """Say how many rows there were, what became of them, and what takes it back."""

    before: int
    added: int
    removed: int
    undo: dict[str, Any] | None = None
    can_undo: bool = True

    @property
    def is_nothing(self) -> bool:
        """Tell whether the site had it all already."""
        return not self.added and not self.removed


def people_of(connection: SiteConnection, people: Mapping[str, Who]) -> dict[str, int | None]:
    """Return the ids that take the place of the source's people, by column."""
    admin = first_administrator(connection) if Who.ADMINISTRATOR in people.values() else None
    return {name: admin if who is Who.ADMINISTRATOR else None for name, who in people.items()}


def with_people(
    batches: Iterable[list[Row]], part: TableSlice, people: Mapping[str, int | None]
) -> Iterator[list[Row]]:
    """Give the rows with the target's people in the place of the source's."""
    places = {
        at: people[column.name] if column.nullable or people[column.name] is not None else 0
        for at, column in enumerate(part.columns, start=1)
        if column.name in people
    }
    for batch in batches:
        yield (
            [tuple(places.get(at, value) for at, value in enumerate(row)) for row in batch]
            if places
            else batch
        )


def refuse_not_transactional(connection: SiteConnection, part: TableSlice, prefix: str) -> None:
    """Raise Refused `table.engine` for a MariaDB table whose changes cannot be taken back."""
    if part.is_postgresql:
        return
    rows = connection.query(
        "SELECT ENGINE FROM information_schema.TABLES"
        " WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = %s",
        [prefix + part.table],
    )
    if rows and rows[0][0] != "InnoDB":
        raise Refused(
            "table.engine",
            f"The table {part.table} is of the engine {rows[0][0]}, which has no transactions.",
            "Change it: admin/cli/mysql_engine.php --engine=InnoDB by vmoodle exec.",
        )


def replace_rows(
    connection: SiteConnection,
    part: TableSlice,
    source: Iterable[list[Row]],
    prefix: str,
    *,
    with_ids: bool,
    same_as: str = "",
) -> TableChange:
    """Put the source's rows in the place of the target's; all in the connection's transaction.

    Nothing is done where the target's rows have the mark `same_as` already.
    """
    _lock(connection, part)
    kept = _Kept(with_ids)
    for batch in rows_of(connection, part, lock=True):
        kept.add(batch)
    if same_as and kept.digest.mark == same_as:
        return TableChange(kept.digest.rows, 0, 0)
    condition, values = part.condition()
    gone = connection.execute(f"DELETE FROM {{{part.table}}} WHERE {condition}", values)  # noqa: S608
    if gone != kept.digest.rows:
        raise _busy(part)
    if not with_ids:  # new ids come after those that stay
        raise_sequence(connection, part, prefix)
    written = Digest(with_ids=with_ids)
    for batch in source:
        insert_rows(connection, part, batch, with_ids=with_ids)
        written.add(batch)
    if with_ids:
        raise_sequence(connection, part, prefix)
    left = digest_of(rows_of(connection, part), with_ids=with_ids)
    _refuse_different(part, written, left)
    undo = None
    if kept.rows is not None:
        undo = {"kind": "replaced", "rows": kept.rows, "left": left.mark, "with_ids": with_ids}
    return TableChange(gone, written.rows, gone, undo, can_undo=kept.rows is not None)


def add_missing(
    connection: SiteConnection,
    part: TableSlice,
    source: Iterable[list[Row]],
    prefix: str,
    key: Sequence[str],
) -> TableChange:
    """Add the source's rows whose key the target has not, under new ids."""
    _lock(connection, part)
    raise_sequence(connection, part, prefix)
    ((before, highest),) = connection.query(
        f"SELECT COUNT(*), COALESCE(MAX(id), 0) FROM {{{part.table}}}"  # noqa: S608
    )
    if before > MOST_FILLED_ROWS:
        raise Refused(
            "table.large",
            f"The table {part.table} has {before:,} rows on this site; up to {MOST_FILLED_ROWS:,}"
            " can be looked through for what is missing.",
            "Replace the rows, all or some of them, or write them by vmoodle sql.",
        )
    with _ONE_AT_A_TIME if before > _MANY_KEYS else nullcontext():
        written = _insert_missing(connection, part, source, key)
    mine = Digest(with_ids=False)
    added = _Added()
    for batch in rows_of(connection, part, after=int(highest)):
        mine.add(batch)
        added.add(batch)
    _refuse_different(part, written, mine)
    undo = {"kind": "added", "runs": added.runs, "left": added.digest.mark}
    return TableChange(int(before), written.rows, 0, undo if written.rows else None)


def _insert_missing(
    connection: SiteConnection, part: TableSlice, source: Iterable[list[Row]], key: Sequence[str]
) -> Digest:
    """Insert the rows whose key is not there; return the mark of those that were."""
    places = [at for at, column in enumerate(part.columns, start=1) if column.name in key]
    written = Digest(with_ids=False)
    # An index on the key is seldom there: one look at all rows, not one for each batch.
    whole = replace(part, where={})
    # On PostgreSQL the table itself is locked.
    rows = rows_of(connection, whole, lock=not part.is_postgresql)
    there = {key_of(row, places) for batch in rows for row in batch}
    for batch in source:
        missing = []
        for row in batch:
            mark = key_of(row, places)
            if mark not in there:
                there.add(mark)
                missing.append(row)
        insert_rows(connection, part, missing, with_ids=False)
        written.add(missing)
    return written


def take_back(
    connection: SiteConnection, part: TableSlice, kept: Mapping[str, Any], prefix: str
) -> TableChange:
    """Take a copy back; raise Conflict `table.changed` where somebody has changed the rows since.

    A replacement that is taken back can itself be taken back.
    """
    _lock(connection, part)
    if kept["kind"] == "replaced":
        there = digest_of(rows_of(connection, part, lock=True), with_ids=kept["with_ids"])
        _refuse_changed(part, there, kept["left"])
        rows = [from_json(row) for row in kept["rows"]]
        change = replace_rows(connection, part, [rows] if rows else [], prefix, with_ids=True)
        if change.undo is not None:
            change.undo["with_ids"] = True
        return change
    added = _Added()
    for first, last in kept["runs"]:
        for batch in rows_of(connection, part, after=first - 1, until=last, lock=True):
            added.add(batch)
    _refuse_changed(part, added.digest, kept["left"])
    ((before,),) = connection.query(f"SELECT COUNT(*) FROM {{{part.table}}}")  # noqa: S608
    condition, values = part.condition()
    gone = sum(
        connection.execute(
            f"DELETE FROM {{{part.table}}} WHERE {condition} AND id >= %s AND id <= %s",  # noqa: S608
            (*values, first, last),
        )
        for first, last in kept["runs"]
    )
    if gone != added.digest.rows:
        raise _busy(part)
    return TableChange(int(before), 0, gone)


class _Kept:
    """Rows that are kept to take a change back, as long as they are few."""

    def __init__(self, with_ids: bool) -> None:
        self.digest = Digest(with_ids=with_ids)
        self.rows: list[Any] | None = []

    def add(self, batch: list[Row]) -> None:
        self.digest.add(batch)
        too_many = self.digest.rows > MOST_KEPT_ROWS or self.digest.size > MOST_KEPT_BYTES
        if too_many or self.rows is None:
            self.rows = None
        else:
            self.rows += [as_json(row) for row in batch]


class _Added:
    """The mark of rows that were added, and their ids as runs, each from its first to its last.

    Others may have added rows at the same time. A server that counts in steps would make a run of
    each row: of many, some become one, in which the mark then tells whether there are others.
    """

    def __init__(self) -> None:
        self.digest = Digest(with_ids=True)
        self.runs: list[list[int]] = []

    def add(self, batch: list[Row]) -> None:
        self.digest.add(batch)
        for row in batch:
            number = int(row[0])
            if self.runs and number == self.runs[-1][1] + 1:
                self.runs[-1][1] = number
            else:
                self.runs.append([number, number])
            if len(self.runs) > _MOST_RUNS:
                self.runs = [[self.runs[0][0], number]]


def _lock(connection: SiteConnection, part: TableSlice) -> None:
    """Let nobody add rows meanwhile; on MariaDB and MySQL the locks of the rows do that."""
    if part.is_postgresql:
        connection.execute(f"LOCK TABLE {{{part.table}}} IN SHARE ROW EXCLUSIVE MODE")


def _refuse_different(part: TableSlice, written: Digest, left: Digest) -> None:
    if written.mark != left.mark:
        raise Failed(
            "table.different",
            f"What stood in {part.table} after the copy was not what was copied; all was taken"
            " back.",
            "The site's database cuts off or changes values: check its character set (utf8mb4) and"
            " its mode (STRICT_ALL_TABLES).",
        )


def _refuse_changed(part: TableSlice, there: Digest, left: str) -> None:
    if there.mark != left:
        raise changed_since(
            "table.changed",
            f"rows of {part.table}",
            "They stay as they are; change them by vmoodle sql, or copy the table anew.",
        )


def _busy(part: TableSlice) -> Conflict:
    return Conflict(
        "table.busy",
        f"Somebody changed {part.table} while it was copied; nothing was changed by the copy.",
        "Do it again.",
    )
