"""Take the people out of a Moodle database and leave courses, activities and the front page."""

from __future__ import annotations

from collections.abc import Iterator

from vmoodle.engines.protocol import SiteConnection
from vmoodle.moodle.database.site_schema import SiteSchema
from vmoodle.moodle.identity.apply import Change, SiteIds
from vmoodle.moodle.identity.entry import Action
from vmoodle.moodle.identity.people import (
    BOUND,
    EMPTIED,
    FATE_BY_COLUMN,
    FILES,
    ORPHANS,
    PRIVATE_COMPONENTS,
    Bound,
    Fate,
    Orphan,
)

_USER_CONTEXT, _BLOCK_CONTEXT = 30, 80
# The firstpost is by who began the discussion, so it is there while the discussion is.
_REPARENT = """
    UPDATE {forum_posts}
       SET parent = (SELECT firstpost FROM {forum_discussions}
                      WHERE {forum_discussions}.id = {forum_posts}.discussion)
     WHERE parent > 0 AND parent NOT IN (SELECT id FROM (SELECT id FROM {forum_posts}) here)
"""
_LONELY = "type <> 2 AND id NOT IN (SELECT conversationid FROM {message_conversation_members})"


def remove_people(connection: SiteConnection, schema: SiteSchema, ids: SiteIds) -> Iterator[Change]:
    """Delete all accounts but the guest's and the first administrator's, with all they did.

    The schema must be of all tables. Give what was done, table by table, as it is done.
    """
    removal = _Removal(connection, schema, ids)
    yield from removal.emptied()
    yield from removal.contexts()
    yield from removal.bound()
    yield from removal.hangers_on()
    yield from removal.accounts()


def fates(schema: SiteSchema) -> Iterator[Bound]:
    """Give the rule of every column of the site that names an account, declared ones first."""
    declared = {(bound.table, bound.column) for bound in BOUND}
    yield from (bound for bound in BOUND if schema.has(bound.table, bound.column))
    for table, columns in schema.tables.items():
        for name, column in columns.items():
            fate = FATE_BY_COLUMN.get(name)
            if fate is not None and (table, name) not in declared and not column.is_text:
                yield Bound(table, name, fate, "names an account")


class _Removal:
    def __init__(self, connection: SiteConnection, schema: SiteSchema, ids: SiteIds) -> None:
        self._connection = connection
        self._schema = schema
        self._admin = ids.admin
        self._kept = f"{ids.guest}, {ids.admin}"

    def emptied(self) -> Iterator[Change]:
        for table, reason in EMPTIED:
            if self._schema.has(table):
                yield self._do(f"DELETE FROM {{{table}}}", table, Action.EMPTY, reason)  # noqa: S608

    def contexts(self) -> Iterator[Change]:
        """Delete the contexts of people, the blocks in them, and whatever is in either."""
        reason = "was in somebody's own pages"
        yield self._delete(
            "context",
            f"contextlevel = {_USER_CONTEXT} AND instanceid NOT IN ({self._kept})",
            reason,
        )
        yield self._delete(
            "block_instances", "parentcontextid NOT IN (SELECT id FROM {context})", reason
        )
        yield self._delete(
            "context",
            f"contextlevel = {_BLOCK_CONTEXT}"  # noqa: S608
            " AND instanceid NOT IN (SELECT id FROM {block_instances})",
            reason,
        )
        for table, columns in self._schema.tables.items():
            if "contextid" in columns and not columns["contextid"].is_text:
                yield self._delete(
                    table, "contextid > 0 AND contextid NOT IN (SELECT id FROM {context})", reason
                )

    def bound(self) -> Iterator[Change]:
        for bound in fates(self._schema):
            yield from self._decide(bound)

    def hangers_on(self) -> Iterator[Change]:
        """Delete what hangs on rows that are gone, then the files of both."""
        if self._schema.has("message_conversation_members"):
            yield self._delete("message_conversations", _LONELY, "nobody is in it any more")
        for orphan in (*ORPHANS, *FILES):
            if self._schema.has(orphan.table, orphan.column) and self._schema.has(
                orphan.parent, orphan.parent_column
            ):
                yield self._orphans(orphan)
        if self._schema.has("forum_posts", "parent"):
            yield self._do(_REPARENT, "forum_posts", Action.SET, "answers the first post instead")
        private = ", ".join(f"'{name}'" for name in PRIVATE_COMPONENTS)
        yield self._delete("files", f"component IN ({private})", "is somebody's file")

    def accounts(self) -> Iterator[Change]:
        yield self._delete("user", f"id NOT IN ({self._kept})", "is somebody's account")
        yield self._do(
            f"UPDATE {{config}} SET value = '{self._admin}'"  # noqa: S608
            f" WHERE name = 'siteadmins' AND value <> '{self._admin}'",
            "core/siteadmins",
            Action.SET,
            "one administrator is left",
        )

    def _decide(self, bound: Bound) -> Iterator[Change]:
        column = bound.column
        gone = f"{column} NOT IN ({self._kept})"
        if bound.fate is not Fate.DELETE_UNKNOWN:
            gone += f" AND {column} > 0"
        if bound.where:
            gone += f" AND {bound.where}"
        if bound.fate in (Fate.DELETE, Fate.DELETE_UNKNOWN):
            yield self._delete(bound.table, gone, bound.reason)
        elif bound.fate in (Fate.REASSIGN, Fate.FORGET):
            nobody = "NULL" if self._schema.tables[bound.table][column].nullable else "0"
            value = str(self._admin) if bound.fate is Fate.REASSIGN else nobody
            yield self._do(
                f"UPDATE {{{bound.table}}} SET {column} = {value} WHERE {gone}",  # noqa: S608
                f"{bound.table}.{column}",
                Action.SET,
                bound.reason,
            )

    def _orphans(self, orphan: Orphan) -> Change:
        condition = (
            f"{orphan.column} > 0 AND {orphan.column} NOT IN"  # noqa: S608
            f" (SELECT {orphan.parent_column} FROM {{{orphan.parent}}})"
        )
        if orphan.where:
            condition += f" AND {orphan.where}"
        return self._delete(orphan.table, condition, f"{orphan.reason} ({orphan.parent})")

    def _delete(self, table: str, condition: str, reason: str) -> Change:
        sql = f"DELETE FROM {{{table}}} WHERE {condition}"  # noqa: S608
        return self._do(sql, table, Action.DELETE, reason)

    def _do(self, sql: str, what: str, action: Action, reason: str) -> Change:
        return Change(what, action, self._connection.execute(sql), reason)
