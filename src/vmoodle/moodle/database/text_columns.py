"""The text columns of a site's tables, and which of them are no content, packed, or derived."""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from vmoodle.engines.protocol import SiteConnection
from vmoodle.moodle.database.site_schema import marks


@dataclass(frozen=True)
class Untouched:
    """Name columns (regular expressions over whole names) whose addresses stay, and why."""

    tables: str
    columns: str
    reason: str


UNTOUCHED: tuple[Untouched, ...] = (
    Untouched(
        r"(?:.*_)?logs?(?:_.*)?",
        r".*",
        "A log says what was. Moodle's own search and replace skips the same tables"
        " (lib/adminlib.php, db_should_replace, 4.5), and they are the largest.",
    ),
    Untouched(r"sessions", r".*", "Sessions belong to the old address and end with it."),
    Untouched(
        r"backup_controllers",
        r".*",
        "The state of a backup under way, packed and under a checksum"
        " (backup/util/dbops/backup_controller_dbops.class.php, 4.5).",
    ),
    Untouched(
        r"mnet_host",
        r"public_key",
        "A certificate, signed over its address: a new address needs a new one.",
    ),
    Untouched(
        r"files",
        r"filepath|filename|filearea|component",
        "pathnamehash is made of these (lib/filestorage/file_storage.php, 4.5); none can hold"
        " an address, as a file name has no slash.",
    ),
    Untouched(r"(?!post\Z).*", r".*hash", "A hash; post.uniquehash alone is an address."),
)

PACKED: frozenset[tuple[str, str]] = frozenset({("block_instances", "configdata")})
"""Columns that are always base64, so read whole: their text says little about what is inside."""


@dataclass(frozen=True)
class Derived:
    """Say which column holds a function of others, and must follow when they change."""

    table: str
    sources: tuple[str, ...]
    target: str
    value: Callable[..., str]


def _sha1(text: str) -> str:
    return hashlib.sha1(text.encode("utf-8", "replace"), usedforsecurity=False).hexdigest()


def _sha256(*texts: str) -> str:
    return hashlib.sha256(":".join(texts).encode("utf-8", "replace")).hexdigest()


def _tool_domain(url: str) -> str:
    match = re.match(r"(?:https?://)?(?:www\.)?([^/]+)(?:/|$)", url, re.IGNORECASE)
    return match[1] if match else ""


# Moodle 4.5: lib/filestorage/file_storage.php, auth/lti/auth.php, mod/lti/locallib.php,
# enrol/lti/classes/local/ltiadvantage/repository/application_registration_repository.php.
DERIVED: tuple[Derived, ...] = (
    Derived("files_reference", ("reference",), "referencehash", _sha1),
    Derived("auth_lti_linked_login", ("issuer",), "issuer256", _sha256),
    Derived(
        "enrol_lti_app_registration", ("platformid", "clientid"), "platformclienthash", _sha256
    ),
    Derived(
        "enrol_lti_app_registration", ("platformid", "uniqueid"), "platformuniqueidhash", _sha256
    ),
    Derived("lti_types", ("baseurl",), "tooldomain", _tool_domain),
)


@dataclass(frozen=True)
class TextColumn:
    """A column of text; `characters` and `octets` are how much fits, None for any amount."""

    table: str
    name: str
    characters: int | None
    octets: int | None
    exact_case: bool

    def takes(self, value: str) -> bool:
        """Tell whether a value fits."""
        if self.characters is not None and len(value) > self.characters:
            return False
        return self.octets is None or len(value.encode("utf-8", "replace")) <= self.octets

    @property
    def untouched(self) -> str:
        """Why its addresses stay, empty when they are rewritten."""
        return next(
            (
                rule.reason
                for rule in UNTOUCHED
                if re.fullmatch(rule.tables, self.table) and re.fullmatch(rule.columns, self.name)
            ),
            "",
        )


@dataclass(frozen=True)
class Dialect:
    """What one engine writes otherwise than the other."""

    quote: str
    like: str
    exact: str
    ignores_case: bool
    columns: str
    unique: str

    def name(self, identifier: str) -> str:
        """Return a name quoted."""
        return self.quote + identifier.replace(self.quote, self.quote * 2) + self.quote


_MARIADB = Dialect(
    quote="`",
    like="LIKE",
    exact="CAST({} AS BINARY)",
    ignores_case=True,
    columns=(
        "SELECT table_name, column_name, data_type, character_maximum_length,"
        " character_octet_length, collation_name FROM information_schema.columns"
        " WHERE table_schema = DATABASE() AND (column_name = 'id' OR data_type IN"
        " ('char', 'varchar', 'tinytext', 'text', 'mediumtext', 'longtext'))"
        " ORDER BY table_name, ordinal_position"
    ),
    unique=(
        "SELECT table_name, index_name, column_name FROM information_schema.statistics"
        " WHERE table_schema = DATABASE() AND non_unique = 0 AND index_name <> 'PRIMARY'"
        " AND table_name IN ({tables}) ORDER BY table_name, index_name, seq_in_index"
    ),
)
# The catalogue itself: PostgreSQL's information_schema is many times slower.
_POSTGRESQL = Dialect(
    quote='"',
    like="ILIKE",
    exact="{}",
    ignores_case=False,
    columns=(
        "SELECT c.relname, a.attname, t.typname,"
        " CASE WHEN t.typname <> 'text' AND a.atttypmod > 4 THEN a.atttypmod - 4 END, NULL, ''"
        " FROM pg_catalog.pg_class c"
        " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
        " JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid"
        " JOIN pg_catalog.pg_type t ON t.oid = a.atttypid"
        " WHERE n.nspname = current_schema() AND c.relkind IN ('r', 'p') AND a.attnum > 0"
        " AND NOT a.attisdropped"
        " AND (a.attname = 'id' OR t.typname IN ('varchar', 'bpchar', 'text'))"
        " ORDER BY c.relname, a.attnum"
    ),
    unique=(
        "SELECT c.relname, i.indexrelid, a.attname FROM pg_catalog.pg_index i"
        " JOIN pg_catalog.pg_class c ON c.oid = i.indrelid"
        " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
        " JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = ANY (i.indkey)"
        " WHERE n.nspname = current_schema() AND i.indisunique AND NOT i.indisprimary"
        " AND c.relname IN ({tables}) ORDER BY c.relname, i.indexrelid, a.attnum"
    ),
)
_TEXT_TYPES_IN_OCTETS = {"tinytext", "text", "mediumtext", "longtext"}


class TextSchema:
    """What a site's database has of text columns, read once."""

    def __init__(self, connection: SiteConnection) -> None:
        self._connection = connection
        # A placeholder as a column's name tells the prefix, which a connection keeps to itself.
        probe = connection.query("SELECT version() AS version, 1 AS {config}")
        self.prefix = probe.columns[1].removesuffix("config")
        self.dialect = _POSTGRESQL if str(probe[0][0]).startswith("PostgreSQL") else _MARIADB
        self.columns: dict[str, list[TextColumn]] = {}
        self.tables_with_id: set[str] = set()
        for full, name, kind, characters, octets, collation in connection.query(
            self.dialect.columns
        ):
            if not str(full).startswith(self.prefix):
                continue
            table = str(full)[len(self.prefix) :]
            if str(kind).lower() in _NUMBERS:
                self.tables_with_id.add(table)
            elif str(name) != "id":
                in_octets = str(kind).lower() in _TEXT_TYPES_IN_OCTETS and octets is not None
                self.columns.setdefault(table, []).append(
                    TextColumn(
                        table,
                        str(name),
                        None if in_octets or characters is None else int(characters),
                        int(octets) if in_octets else None,
                        str(collation or "").endswith(("_bin", "_cs")),
                    )
                )

    def table(self, table: str) -> str:
        """Return a table's full name, quoted."""
        return self.dialect.name(self.prefix + table)

    def unique_keys(self, tables: Sequence[str]) -> Mapping[str, list[tuple[str, ...]]]:
        """Return the columns of each unique index of these tables that has a text column."""
        if not tables:
            return {}
        keys: defaultdict[tuple[str, object], list[str]] = defaultdict(list)
        for full, index, column in self._connection.query(
            self.dialect.unique.replace("{tables}", marks(tables)),
            [self.prefix + table for table in tables],
        ):
            keys[str(full)[len(self.prefix) :], index].append(str(column))
        found: defaultdict[str, list[tuple[str, ...]]] = defaultdict(list)
        for (table, _), names in keys.items():
            if {column.name for column in self.columns[table]} & set(names):
                found[table].append(tuple(names))
        return found


_NUMBERS = {"bigint", "int", "mediumint", "smallint", "int8", "int4", "int2"}
