"""Which tables can go from site to site as they are, and why others cannot."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum

from vmoodle.engines.protocol import SiteConnection
from vmoodle.errors import InvalidInput, NotFound, Refused
from vmoodle.moodle.code.install_xml import References
from vmoodle.moodle.database.site_schema import Column, SiteSchema, read_schema
from vmoodle.moodle.identity.entry import Columns, Concern, Settings
from vmoodle.moodle.identity.people import BOUND, EMPTIED, FATE_BY_COLUMN, ORPHANS, Fate
from vmoodle.moodle.identity.table import ENTRIES
from vmoodle.moodle.identity.unjudged import personal_columns, secret_columns
from vmoodle.near import near

TABLE = re.compile(r"[a-z][a-z0-9_]{0,62}")

# What has a command of its own, which knows what else belongs to it.
_OWN_WAY: Mapping[str, str] = {
    **dict.fromkeys(("config", "config_plugins"), "Settings have commands: vmoodle config."),
    **dict.fromkeys(
        ("role", "role_capabilities", "role_context_levels", "role_allow_assign",
         "role_allow_override", "role_allow_switch", "role_allow_view", "capabilities"),
        "Roles have commands of their own: vmoodle command list.",
    ),
    **dict.fromkeys(("files", "files_reference"), "Files have a command: vmoodle copy files."),
    **dict.fromkeys(
        ("tool_customlang", "tool_customlang_components"),
        "A site's wording has a command: vmoodle copy language.",
    ),
    **dict.fromkeys(
        ("context", "course", "course_categories", "course_modules", "course_sections", "modules",
         "block_instances", "upgrade_log", "task_scheduled", "external_functions",
         "external_services", "events_handlers", "mnet_rpc", "mnet_service", "block", "log_display",
         "message_processors", "message_providers", "cache_flags"),
        "Moodle keeps this table by itself; clone the site to have it elsewhere.",
    ),
}  # fmt: skip
_CONCERNS: Mapping[Concern, str] = {
    Concern.IDENTITY: "it holds what marks one site",
    Concern.ACCESS: "it holds what lets into the site: sessions, tokens, keys",
    Concern.STATE: "it belongs to processes that run for the site",
    Concern.CREDENTIAL: "it holds what opens other systems",
    Concern.HISTORY: "it tells what happened on the site",
    Concern.PERSONAL: "it tells about people",
}
# Families of tables that mean nothing without each other, or without what lies beside them.
_FAMILIES = (
    "backup_", "cache_", "course_", "enrol", "grade_", "h5p", "logstore_", "matrix_", "message_",
    "messageinbound_", "mnet", "oauth2_", "paygw_", "payment_", "portfolio", "question",
    "repository", "role_", "search_", "stored_progress", "task_", "tool_recyclebin_",
)  # fmt: skip
_OF_PEOPLE = frozenset({"user", *(one.table for one in ORPHANS), *(name for name, _why in EMPTIED)})
# Columns with ids of other tables whose names do not end with id.
_ID_COLUMNS = frozenset({"course", "parent", "cm", "instance", "module", "section", "category"})
_ANY_LENGTH = 10_000  # of XMLDB's char the most are 1,333
_CLONE = "Clone the site, or copy what it means by hand."


class Who(Enum):
    """Say what takes the place of a person of the source in a copied row."""

    ADMINISTRATOR = "the target's first administrator"
    NOBODY = "nobody"


def read_table(connection: SiteConnection, table: str) -> SiteSchema:
    """Return the schema of one table; raise InvalidInput `table.name`, NotFound `table.unknown`."""
    if not TABLE.fullmatch(table):
        raise InvalidInput(
            "table.name",
            f"{table!r} is no name of a table.",
            "Name it without the prefix, as tool_policy.",
        )
    schema = read_schema(connection, [table])
    if not schema.has(table):
        tables = read_schema(connection).tables
        raise NotFound(
            "table.unknown",
            f"The site has no table {table}.",
            near(table, tables, "Name it without the prefix."),
        )
    return schema


def refuse_table(
    table: str, schema: SiteSchema, keys: References, *, replaced: bool
) -> Mapping[str, Who]:
    """Return who takes the place of people in which columns of a table that can be copied.

    Raise Refused `table.refused` with the reason. A table whose ids other tables hold cannot be
    replaced; rows can be added to it.
    """
    if table in _OF_PEOPLE:
        raise _refused(table, "it is about people and what they did", _CLONE)
    if table in _OWN_WAY:
        raise _refused(table, "more than its rows belong to it", _OWN_WAY[table])
    for entry in ENTRIES:
        whole = not isinstance(entry.place, Settings) and entry.table == table
        if whole and entry.concern in _CONCERNS:
            about = f" ({entry.label})" if isinstance(entry.place, Columns) else ""
            raise _refused(table, _CONCERNS[entry.concern] + about, _CLONE)
    if table.startswith(_FAMILIES):
        raise _refused(table, "more than its rows belong to it", _CLONE)
    if not schema.has(table, "id"):
        raise _refused(table, "it has no column id", "Copy it by vmoodle sql.")
    people = _people(table, schema, keys)
    sounding = secret_columns(schema) or personal_columns(schema)
    if sounding:
        raise _refused(
            table, f"its column {sounding[0][1]} sounds like a secret or like people", _CLONE
        )
    holders = holders_of(table, keys)
    if replaced and holders:
        raise _held(table, holders)
    return people


def holders_of(table: str, keys: References) -> list[str]:
    """Return the columns of other tables that are declared to hold a table's ids."""
    return [one for one in keys.holders.get(table, ()) if not one.startswith(f"{table}.")]


def refuse_held_by_name(table: str, whole: SiteSchema) -> None:
    """Refuse to replace a table that another one seems to hang on: not every key is declared.

    `user_info_field` has `user_info_data.fieldid`, `local_shelves` has `local_book.shelfid`. The
    schema must be of all tables. Raise Refused `table.refused`.
    """
    word = table.rpartition("_")[2]
    family = table.split("_", maxsplit=1)[0]
    single = f"{word[:-3]}y" if word.endswith("ies") else word.removesuffix("s")
    singles = {single, word.removesuffix("es") if word.endswith("es") else single}
    singles |= {f"{word[:-3]}f" if word.endswith("ves") else single}
    meant = {f"{one}id" for one in (table, word, *singles)}
    held = [
        f"{other}.{name}"
        for other, columns in whole.tables.items()
        if other != table and other.split("_")[0] == family
        for name, column in columns.items()
        if name in meant and not column.is_text
    ]
    if held:
        raise _held(table, held)


def id_columns(table: str, schema: SiteSchema, keys: References, *, own_ids: bool) -> list[str]:
    """Return the columns that hold ids of other tables, which are others on each site.

    With `own_ids` rows keep theirs, so that a column may hold ids of the table itself.
    """
    declared = keys.columns.get(table, {})
    found = []
    for name, column in schema.tables[table].items():
        by_name = not column.is_text and (name.endswith("id") or name in _ID_COLUMNS)
        other = declared.get(name)
        if name == "id" or not (other or by_name) or _fate(table, name) is not None:
            continue
        if not (own_ids and other == table):
            found.append(name)
    return found


def refuse_columns(table: str, source: Sequence[Column], there: Mapping[str, Column]) -> None:
    """Raise Refused `table.columns` unless a target's table takes the source's rows."""
    names = {column.name for column in source}
    wrong = [f"{one.name} is not there" for one in source if one.name not in there]
    wrong += [f"{name} is only there" for name in there if name not in names]
    for one in source:
        other = there.get(one.name)
        if other is None:
            continue
        if one.is_text != other.is_text:
            wrong.append(f"{one.name} is of another type")
        elif one.nullable and not other.nullable:
            wrong.append(f"{one.name} takes no NULL there")
        elif _limit(one) > _limit(other):
            wrong.append(f"{one.name} is shorter there")
    if wrong:
        raise Refused(
            "table.columns",
            f"The table {table} is another on this site: {', '.join(wrong[:5])}.",
            "Bring both sites to the same version of Moodle or of the plugin.",
        )


def _limit(column: Column) -> int:
    """Return the most characters; each engine has a number of its own for a text without limit."""
    return min(column.length or _ANY_LENGTH, _ANY_LENGTH)


def _people(table: str, schema: SiteSchema, keys: References) -> Mapping[str, Who]:
    found = {}
    for name in schema.tables[table]:
        fate = _fate(table, name)
        if fate is None and keys.columns.get(table, {}).get(name) == "user":
            fate = Fate.DELETE
        if fate in (Fate.DELETE, Fate.DELETE_UNKNOWN):
            raise _refused(table, f"its rows are of people (column {name})", _CLONE)
        if fate is not None:
            found[name] = Who.ADMINISTRATOR if fate is Fate.REASSIGN else Who.NOBODY
    return found


def _fate(table: str, column: str) -> Fate | None:
    fates = {bound.fate for bound in BOUND if (bound.table, bound.column) == (table, column)}
    if fates:
        hard = fates & {Fate.DELETE, Fate.DELETE_UNKNOWN}
        return next(iter(hard or fates))
    return FATE_BY_COLUMN.get(column)


def _held(table: str, holders: Sequence[str]) -> Refused:
    return _refused(
        table,
        f"other tables hold its ids ({', '.join(holders[:3])})",
        "Add what is missing instead.",
    )


def _refused(table: str, why: str, hint: str) -> Refused:
    return Refused("table.refused", f"The table {table} is not copied: {why}.", hint)


def parse_where(
    conditions: Iterable[str], columns: Mapping[str, Column], table: str
) -> dict[str, str]:
    """Return the values by column that `column=value` say; raise InvalidInput `table.where`."""
    found: dict[str, str] = {}
    for text in conditions:
        name, separator, value = text.partition("=")
        if not separator or name not in columns or name in found or name == "id":
            raise InvalidInput(
                "table.where",
                f"{text!r} picks no rows of {table}.",
                f"Write column=value, once for a column: {', '.join(columns)}.",
            )
        if not columns[name].is_text and not re.fullmatch(r"-?\d+(\.\d+)?", value):
            raise InvalidInput(
                "table.where", f"{name} is a number, {value!r} is none.", "As courseid=0."
            )
        found[name] = value
    return found
