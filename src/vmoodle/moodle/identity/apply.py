"""Do in a site's database what entries of the identity table say."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass

from vmoodle.engines.protocol import SiteConnection
from vmoodle.errors import Unavailable
from vmoodle.moodle.database.site_admins import SITE_ADMINS, administrator_ids
from vmoodle.moodle.database.site_schema import SiteSchema, marks, read_schema
from vmoodle.moodle.identity.entry import Action, Columns, Entry, Settings, Table

_IDS = (SITE_ADMINS, "siteguest", "mnet_localhost_id", "mnet_all_hosts_id")
# From so many rows on a table is emptied at once; below, TRUNCATE is the slower one by far.
_MANY = 10_000
# What a row-wise value is made of; both engines have MD5, CONCAT and SUBSTR.
_UUID = (
    "CONCAT(SUBSTR({h}, 1, 8), '-', SUBSTR({h}, 9, 4), '-4', SUBSTR({h}, 14, 3), '-a',"
    " SUBSTR({h}, 18, 3), '-', SUBSTR({h}, 21, 12))"
)
_ROW_KINDS = {
    "row_secret": "{h}",
    "row_salt": "SUBSTR({h}, 1, 23)",
    "row_uuid": _UUID,
    "row_meeting": "CONCAT({h}, SUBSTR(MD5({h}), 1, 8))",
    "row_moderator": "SUBSTR({h}, 1, 12)",
    "row_viewer": "SUBSTR({h}, 1, 12)",
    "row_guest": "SUBSTR({h}, 1, 24)",
    "row_guestpass": "SUBSTR({h}, 1, 12)",
}


@dataclass(frozen=True)
class SiteIds:
    """Hold the ids by which Moodle's config names its special accounts and hosts."""

    admins: tuple[int, ...]
    guest: int
    localhost: int
    allhosts: int

    @property
    def admin(self) -> int:
        """Return the first site administrator's id, that of the placeholder account."""
        return self.admins[0]

    def fill(self, condition: str) -> str:
        """Return an entry's condition with its ids put in."""
        condition = condition.replace(":admins", ", ".join(map(str, self.admins)))
        for name in ("admin", "guest", "localhost", "allhosts"):
            condition = condition.replace(f":{name}", str(getattr(self, name)))
        return condition


@dataclass(frozen=True)
class Change:
    """Say what was done to a part of the identity, and to how many rows."""

    place: str
    action: Action
    rows: int
    reason: str


def read_ids(connection: SiteConnection) -> SiteIds:
    """Return the special ids; raise Unavailable `identity.config` where the database has none."""
    rows = connection.query("SELECT name, value FROM {config} WHERE name IN (%s, %s, %s, %s)", _IDS)
    values = {str(name): str(value) for name, value in rows}
    listed = administrator_ids(values.get(SITE_ADMINS))
    there = connection.query(
        f"SELECT id FROM {{user}} WHERE deleted = 0 AND id IN ({marks(listed)})",  # noqa: S608
        listed,
    )
    admins = tuple(number for number in listed if (number,) in there)
    numbers = [values.get(name, "") for name in _IDS[1:]]
    if not admins or not numbers[0].isdigit():
        raise Unavailable(
            "identity.config",
            "The database has no site administrator or no guest account.",
            "It must be the database of an installed Moodle site.",
        )
    return SiteIds(admins, *(int(number) if number.isdigit() else 0 for number in numbers))


def read_entry_schema(connection: SiteConnection, entries: Iterable[Entry]) -> SiteSchema:
    """Return which of the entries' tables the site has, with their columns."""
    return read_schema(connection, {entry.table for entry in entries} | {"user", "mnet_host"})


def apply_entry(
    connection: SiteConnection,
    schema: SiteSchema,
    ids: SiteIds,
    entry: Entry,
    *,
    truncate: bool = False,
) -> int:
    """Do what the entry says of a template; return the rows touched, 0 where there is nothing.

    REDRAW, BUMP and KEEP do nothing here. `truncate` lets a large table be emptied by TRUNCATE,
    which on MariaDB ends the caller's transaction.
    """
    place = entry.place
    if not schema.has(entry.table):
        return 0
    if isinstance(place, Settings):
        return _apply_to_settings(connection, place, entry)
    if isinstance(place, Table):
        return _empty(connection, ids, place, truncate=truncate)
    names = tuple(name for name in place.names if schema.has(place.table, name))
    found = Columns(place.table, names, ids.fill(place.where))
    return _apply_to_columns(connection, schema, found, entry) if names else 0


def _apply_to_columns(
    connection: SiteConnection, schema: SiteSchema, place: Columns, entry: Entry
) -> int:
    if entry.kind.startswith("row_"):
        return regenerate_rows(connection, place.table, place.names[0], entry.kind, place.where)
    if entry.action is Action.SET or entry.value is not None:
        return _set(connection, place, entry.value)
    if entry.action in (Action.BLANK, Action.REGENERATE):
        return _blank(connection, schema, place)
    return 0


def regenerate_rows(
    connection: SiteConnection, table: str, column: str, kind: str, where: str
) -> int:
    """Give every row a random value of its own, in one statement; return how many."""
    seed = secrets.token_hex(16)
    value = _ROW_KINDS[kind].replace("{h}", f"MD5(CONCAT('{seed}', id))")
    return connection.execute(f"UPDATE {{{table}}} SET {column} = {value}{_where(where)}")  # noqa: S608


def settings_condition(place: Settings) -> tuple[str, tuple[object, ...]]:
    """Return the condition that picks the settings, and its parameters."""
    exact = [name for name in place.names if "*" not in name]
    patterns = [
        name.replace("!", "!!").replace("_", "!_").replace("%", "!%").replace("*", "%")
        for name in place.names
        if "*" in name
    ]
    parts = ["name LIKE %s ESCAPE '!'"] * len(patterns)
    if exact:
        parts.append(f"name IN ({', '.join(['%s'] * len(exact))})")
    condition, params = f"({' OR '.join(parts)})", (*patterns, *exact)
    if place.component not in ("core", "*"):
        condition, params = f"plugin = %s AND {condition}", (place.component, *params)
    if place.where:
        condition += f" AND {place.where.replace('%', '%%')}"
    return condition, params


def _apply_to_settings(connection: SiteConnection, place: Settings, entry: Entry) -> int:
    table = entry.table
    condition, params = settings_condition(place)
    if entry.action is Action.DELETE:
        return connection.execute(f"DELETE FROM {{{table}}} WHERE {condition}", params)  # noqa: S608
    if entry.action in (Action.BLANK, Action.REGENERATE, Action.SET):
        value = "" if entry.value is None else str(entry.value)
        touched = connection.execute(
            f"UPDATE {{{table}}} SET value = %s WHERE {condition} AND value <> %s",  # noqa: S608
            (value, *params, value),
        )
        return touched or (_create(connection, place, value) if entry.create else 0)
    return 0


def _create(connection: SiteConnection, place: Settings, value: str) -> int:
    """Add the settings that are missing."""
    made = 0
    for name in place.names:
        condition, params = settings_condition(Settings(place.component, (name,)))
        table = "config" if place.component == "core" else "config_plugins"
        if connection.query(f"SELECT 1 FROM {{{table}}} WHERE {condition}", params):  # noqa: S608
            continue
        made += add_setting(connection, place.component, name, value)
    return made


def add_setting(connection: SiteConnection, component: str, name: str, value: str) -> int:
    """Add one setting that is not there yet."""
    if component == "core":
        return connection.execute(
            "INSERT INTO {config} (name, value) VALUES (%s, %s)", (name, value)
        )
    return connection.execute(
        "INSERT INTO {config_plugins} (plugin, name, value) VALUES (%s, %s, %s)",
        (component, name, value),
    )


def _empty(connection: SiteConnection, ids: SiteIds, place: Table, *, truncate: bool) -> int:
    name = f"{{{place.name}}}"
    if place.where:
        return connection.execute(f"DELETE FROM {name}{_where(ids.fill(place.where))}")  # noqa: S608
    if truncate and connection.query(f"SELECT 1 FROM {name} LIMIT 1 OFFSET {_MANY}"):  # noqa: S608
        rows = int(connection.query(f"SELECT COUNT(*) FROM {name}")[0][0])  # noqa: S608
        connection.execute(f"TRUNCATE TABLE {name}")
        return rows
    return connection.execute(f"DELETE FROM {name}")  # noqa: S608


def _set(connection: SiteConnection, place: Columns, value: object) -> int:
    touched = 0
    for column in place.names:
        differs = f"({column} IS NULL OR {column} <> %s)"
        condition = _and(place.where.replace("%", "%%"), differs)
        touched += connection.execute(
            f"UPDATE {{{place.table}}} SET {column} = %s WHERE {condition}",  # noqa: S608
            (value, value),
        )
    return touched


def _blank(connection: SiteConnection, schema: SiteSchema, place: Columns) -> int:
    columns = [schema.tables[place.table][name] for name in place.names]
    assignments, filled = [], []
    for column in columns:
        blank = "NULL" if column.nullable else "''" if column.is_text else "0"
        assignments.append(f"{column.name} = {blank}")
        filled.append(
            f"{column.name} IS NOT NULL" if column.nullable else f"{column.name} <> {blank}"
        )
    condition = _and(place.where, f"({' OR '.join(filled)})")
    return connection.execute(
        f"UPDATE {{{place.table}}} SET {', '.join(assignments)} WHERE {condition}"  # noqa: S608
    )


def _and(where: str, more: str) -> str:
    return f"({where}) AND {more}" if where else more


def _where(condition: str) -> str:
    return f" WHERE {condition}" if condition else ""
