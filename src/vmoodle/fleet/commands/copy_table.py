"""A table of one site, put into other sites of either engine.

The source's rows can be millions: they are no part of the order. What is kept of them is their
number and a mark of their content, made when it is ordered. Each site reads the rows anew, in one
moment of the source, and keeps them only where they still have that mark.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import Field, model_validator

from vmoodle.engines.protocol import SiteConnection
from vmoodle.errors import Conflict, InvalidInput, Refused
from vmoodle.fleet.change_rows import NOTHING, all_stay
from vmoodle.fleet.command import Command, Comparison, Effect
from vmoodle.fleet.copy_source import FromSite, open_source
from vmoodle.fleet.parameter_words import called
from vmoodle.fleet.parameters import Constant
from vmoodle.fleet.result import Changed, Result, Table
from vmoodle.fleet.target_site import TargetSite
from vmoodle.moodle.code.install_xml import references
from vmoodle.moodle.copies.table_copy import (
    MOST_KEPT_BYTES,
    MOST_KEPT_ROWS,
    TableChange,
    add_missing,
    people_of,
    refuse_not_transactional,
    replace_rows,
    take_back,
    with_people,
)
from vmoodle.moodle.copies.table_copy_rules import (
    TABLE,
    Who,
    holders_of,
    id_columns,
    parse_where,
    read_table,
    refuse_columns,
    refuse_held_by_name,
    refuse_table,
)
from vmoodle.moodle.database.site_schema import Column, read_schema
from vmoodle.moodle.database.table_rows import Digest, Row, TableSlice, digest_of, rows_of

if TYPE_CHECKING:
    from vmoodle.installation import Installation

_COLUMNS = ("before", "removed", "added", "undo", "note")
# A trial of more rows would hold a site's table twice as long; it only counts them.
_MOST_TRIED = 50_000
_TOO_MANY = f"no: more than {MOST_KEPT_ROWS:,} rows or {MOST_KEPT_BYTES // 1_000_000} MB"
_CACHED = "Moodle may keep what it had read of the table: vmoodle cache purge."


class TableToCopy(FromSite):
    """A table of a source site, whole or in part."""

    table: str = Field(description="The table without prefix, as local_news.")
    where: list[str] = Field(
        default_factory=list, description="column=value: only such rows; repeatable."
    )
    replace: bool = Field(False, description="Put the rows in the place of those of the target.")
    add_missing: str = Field(
        "", description="Add rows whose value in this column (a,b for several) the target has not."
    )
    facts: Annotated[dict[str, Any], Constant(dict)] = Field(
        default_factory=dict, description="What the source's rows are, seen when it is ordered."
    )

    @model_validator(mode="after")
    def _is_one_way(self) -> Self:
        if self.replace == bool(self.add_missing):
            raise InvalidInput(
                "table.way",
                "It is not said what becomes of the rows that the targets have.",
                f"Say either {called('replace')} or {called('add_missing')} COLUMN.",
            )
        if not TABLE.fullmatch(self.table):
            raise InvalidInput(
                "table.name",
                f"{self.table!r} is no name of a table.",
                "Name it without the prefix, as local_news.",
            )
        return self

    @property
    def key(self) -> list[str]:
        """Return the columns by which a row is missing."""
        return [one for one in re.split(r"[,\s]+", self.add_missing) if one]

    @property
    def keeps_ids(self) -> bool:
        """Tell whether rows keep their ids; beside other rows they get new ones."""
        return self.replace and not self.where


class CopyTable(Command[TableToCopy]):
    """Replace the rows of sites by those of a source, or add what they lack."""

    name = "copy.table"
    title = "Copy a table to other sites of either engine: replaced, or filled up by a key."
    effect = Effect.WRITES
    model = TableToCopy
    comparison = Comparison.MERGED
    timeout = 900.0

    @classmethod
    def changes_nothing(cls, answer: Result) -> bool:
        """Tell whether the site has the rows already."""
        return all_stay(answer, NOTHING)

    @classmethod
    def settle(cls, given: TableToCopy, installation: Installation) -> TableToCopy:
        """Look at the source's table; raise Refused `table.refused`, `table.ids`."""
        source = open_source(installation, given.source)
        with source.connect(one_moment=True, timeout=cls.timeout) as connection:
            opened = _open(source, connection, given)
            if given.replace:
                refuse_held_by_name(given.table, read_schema(connection))
            _refuse_ids(connection, opened, given)
            digest = digest_of(rows_of(connection, opened.part), with_ids=given.keeps_ids)
        return given.model_copy(
            update={
                "facts": {
                    "columns": [vars(column) for column in opened.part.columns],
                    "holders": opened.holders,
                    "rows": digest.rows,
                    "mark": digest.mark,
                }
            }
        )

    def dry_run(self, site: TargetSite) -> Result:
        """Make the copy and take it back; of a large table only count the rows."""
        counted = self._counted(site)
        if counted is not None:
            return counted
        with _change(site, dry=True) as connection:
            change = self._copy(site, connection)
        return _answer(change, self._left_behind)

    def run(self, site: TargetSite) -> Changed:
        """Make the copy in one transaction."""
        with _change(site) as connection:
            change = self._copy(site, connection)
        return Changed(_answer(change, f"{self._left_behind} {_CACHED}".strip()), change.undo)

    def undo(self, site: TargetSite, kept: Any, *, dry: bool) -> Changed:
        """Put the rows back that were there, or take away those that were added."""
        with _change(site, dry=dry) as connection:
            opened = _open(site, connection, self.given)
            refuse_columns(self.given.table, self._columns, opened.columns)
            change = take_back(connection, self._part(site, opened), kept, opened.prefix)
        return Changed(_answer(change, "" if dry else _CACHED), change.undo)

    @property
    def _left_behind(self) -> str:
        """Return in words which rows of other tables are not copied with these."""
        others = sorted({one.split(".")[0] for one in self.given.facts["holders"]})
        more = ", …" if len(others) > 3 else ""
        return f"Rows of {', '.join(others[:3])}{more} do not come along." if others else ""

    @property
    def _columns(self) -> tuple[Column, ...]:
        return tuple(Column(**facts) for facts in self.given.facts["columns"])

    def _part(self, site: TargetSite, opened: _Opened) -> TableSlice:
        """Return the rows that are meant, their columns in the order of the source's."""
        return TableSlice(
            self.given.table, self._columns, site.dialect == "postgresql", opened.part.where
        )

    def _counted(self, site: TargetSite) -> Table | None:
        """Return what would be done to large tables by their numbers of rows; None for others."""
        with site.connect() as connection:
            opened = _open(site, connection, self.given)
            refuse_columns(self.given.table, self._columns, opened.columns)
            part = self._part(site, opened)
            refuse_not_transactional(connection, part, opened.prefix)
            condition, values = part.condition()
            ((count,),) = connection.query(
                f"SELECT COUNT(*) FROM {{{part.table}}} WHERE {condition}",  # noqa: S608
                values,
            )
        rows = self.given.facts["rows"]
        if max(int(count), rows) <= _MOST_TRIED:
            return None
        note = f"Not tried out, only counted: the source has {rows:,} rows."
        if self.given.replace:
            few = f"up to {MOST_KEPT_BYTES // 1_000_000} MB" if count else "yes"
            undo = _TOO_MANY if count > MOST_KEPT_ROWS else few
            return Table(_COLUMNS, ((int(count), int(count), rows, undo, note),))
        return Table(_COLUMNS, ((int(count), 0, f"at most {rows}", "yes", note),))

    def _copy(self, site: TargetSite, connection: SiteConnection) -> TableChange:
        opened = _open(site, connection, self.given)
        refuse_columns(self.given.table, self._columns, opened.columns)
        part = self._part(site, opened)
        refuse_not_transactional(connection, part, opened.prefix)
        people = people_of(connection, opened.people)
        with self._source_rows(site) as rows:
            mine = with_people(rows(), part, people)
            if self.given.replace:
                return replace_rows(
                    connection,
                    part,
                    mine,
                    opened.prefix,
                    with_ids=self.given.keeps_ids,
                    same_as="" if people else self.given.facts["mark"],
                )
            return add_missing(connection, part, mine, opened.prefix, self.given.key)

    @contextmanager
    def _source_rows(self, site: TargetSite) -> Iterator[Callable[[], Iterator[list[Row]]]]:
        """Give the source's rows; raise Conflict `table.source` when they are others by now."""
        source = open_source(site.installation, self.given.source)
        with source.connect(one_moment=True, timeout=site.timeout) as connection:
            opened = _open(source, connection, self.given)
            same = [vars(column) for column in opened.part.columns] == self.given.facts["columns"]

            def rows() -> Iterator[list[Row]]:
                digest = Digest(with_ids=self.given.keeps_ids)
                for batch in rows_of(connection, opened.part):
                    digest.add(batch)
                    yield batch
                if not same or digest.mark != self.given.facts["mark"]:
                    raise _source_changed(self.given)

            yield rows


@dataclass(frozen=True)
class _Opened:
    """A table of one site that may be copied."""

    part: TableSlice
    prefix: str
    columns: dict[str, Column]
    people: dict[str, Who]
    ids: list[str]
    holders: list[str]
    """What other tables have rows that belong to these; such rows are not copied."""


def _change(site: TargetSite, *, dry: bool = False) -> AbstractContextManager[SiteConnection]:
    """Open a site for one change, which with `dry` leaves no trace."""
    # On PostgreSQL one moment would be from before the table is locked: without what others wrote
    # while that was waited for.
    return site.change(dry=dry, one_moment=site.dialect != "postgresql")


def _open(site: TargetSite, connection: SiteConnection, given: TableToCopy) -> _Opened:
    schema = read_table(connection, given.table)
    keys = references(site.codebase)
    people = refuse_table(given.table, schema, keys, replaced=given.replace)
    columns = {name: one for name, one in schema.tables[given.table].items() if name != "id"}
    where = parse_where(given.where, columns, given.table)
    unknown = [one for one in given.key if one not in columns]
    if unknown:
        raise InvalidInput(
            "table.key",
            f"The table {given.table} has no column {unknown[0]!r} to tell its rows apart by.",
            f"It has {', '.join(columns)}.",
        )
    part = TableSlice(given.table, tuple(columns.values()), site.dialect == "postgresql", where)
    ids = id_columns(given.table, schema, keys, own_ids=given.keeps_ids)
    held = holders_of(given.table, keys)
    return _Opened(part, schema.prefix, columns, dict(people), ids, held)


def _refuse_ids(connection: SiteConnection, opened: _Opened, given: TableToCopy) -> None:
    """Refuse rows that hold ids of other tables: the same numbers mean others on each site."""
    condition, values = opened.part.condition()
    for name in opened.ids:
        ((count,),) = connection.query(
            f"SELECT COUNT(*) FROM {{{given.table}}}"  # noqa: S608
            f" WHERE {condition} AND {opened.part.quoted(name)} <> 0",
            values,
        )
        if count:
            raise Refused(
                "table.ids",
                f"{count} row(s) of {given.table} hold in {name} ids of something else, which has"
                " other ids on other sites.",
                f"Copy only those without: {called('where')} {name}=0.",
            )


def _source_changed(given: TableToCopy) -> Conflict:
    return Conflict(
        "table.source",
        f"The table {given.table} of {given.source} was changed after the copy was ordered;"
        " nothing was changed here.",
        "Order it again.",
    )


def _answer(change: TableChange, note: str) -> Table:
    if change.is_nothing:
        return Table(_COLUMNS, ((change.before, 0, 0, "", NOTHING),))
    undo = "yes" if change.can_undo else _TOO_MANY
    return Table(
        _COLUMNS,
        ((change.before, change.removed, change.added, undo, note),),
    )
