"""Look into an existing Moodle's database, read only: what it is, and what it is called."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from vmoodle.engines.protocol import Engine, SiteConnection, SiteDatabase
from vmoodle.errors import InvalidInput, Refused, VMoodleError
from vmoodle.lifecycle.names import FULL_NAME_LENGTH
from vmoodle.moodle.database.site_admins import SITE_ADMINS, administrator_ids
from vmoodle.moodle.database.site_schema import VERSIONS_HASH, core_settings, read_schema

_NEEDED = {
    "config": ("name", "value"),
    "config_plugins": ("plugin", "name", "value"),
    "course": ("fullname", "category"),
    "user": ("username", "email"),
}
_WANTED = (
    "version", "release", VERSIONS_HASH, "siteidentifier", SITE_ADMINS, "upgraderunning",
    "maintenance_enabled", "mnet_localhost_id",
)  # fmt: skip
# What the map tells Moodle (engines/mariadb.py); joins of tables in two collations fail.
_COLLATION = "utf8mb4_unicode_ci"
_COLUMN_COLLATION = """
    SELECT collation_name FROM information_schema.columns
     WHERE table_schema = DATABASE() AND table_name = %s AND column_name = 'value'
"""
_CONFIG_TABLES = """
    SELECT DISTINCT table_name FROM information_schema.columns
     WHERE column_name = 'value' AND table_name LIKE '%config' AND table_schema = {here}
"""
_TAG = re.compile(r"<[^>]*>|\{/?mlang[^}]*\}")


@dataclass(frozen=True)
class ExistingMoodle:
    """What an existing Moodle's database says of it.

    `plugins` are the versions of the plugins it has, `own_wwwroot` the address it calls its own,
    `neighbours` the prefixes of other Moodles in the same database.
    """

    version: str
    release: str
    versions_hash: str
    siteidentifier: str
    name: str
    admin_user: str
    admin_email: str
    own_wwwroot: str
    maintenance: bool
    upgrading: bool
    collation: str
    plugins: dict[str, str]
    neighbours: tuple[str, ...]

    @property
    def number(self) -> Decimal:
        """The version for comparing."""
        return Decimal(self.version)


def look_into(engine: Engine, database: SiteDatabase) -> ExistingMoodle:
    """Read what a database says; nothing in it is changed.

    Raise Unavailable when it cannot be opened with the account, Refused `adopt.notmoodle` when it
    holds no Moodle with the prefix.
    """
    with _opened(engine, database) as connection:
        schema = read_schema(connection, _NEEDED)
        prefixes = _prefixes(connection, is_postgresql=engine.address.engine == "postgresql")
        config: dict[str, str] = {}
        if all(schema.has(table, *columns) for table, columns in _NEEDED.items()):
            config = core_settings(connection, *_WANTED)
        if not _is_version(config.get("version", "")) or not config.get("siteidentifier"):
            raise _no_moodle(database, prefixes)
        user, email = _main_administrator(connection, config.get(SITE_ADMINS))
        collation = ""
        if engine.address.engine == "mariadb":
            rows = connection.query(_COLUMN_COLLATION, (f"{database.prefix}config",))
            collation = str(rows[0][0]) if rows else ""
        return ExistingMoodle(
            version=config["version"],
            release=config.get("release", ""),
            versions_hash=config.get(VERSIONS_HASH, ""),
            siteidentifier=config["siteidentifier"],
            name=_site_name(connection),
            admin_user=user,
            admin_email=email,
            own_wwwroot=_own_wwwroot(connection, config.get("mnet_localhost_id", "")),
            maintenance=config.get("maintenance_enabled", "0") not in ("", "0"),
            upgrading=bool(config.get("upgraderunning")),
            collation="" if collation == _COLLATION else collation,
            plugins={
                str(plugin): str(version)
                for plugin, version in connection.query(
                    "SELECT plugin, value FROM {config_plugins} WHERE name = 'version'"
                )
            },
            neighbours=tuple(one for one in prefixes if one != database.prefix),
        )


class _opened:
    """Open the database read only; its own fault is told as one of what was said of it."""

    def __init__(self, engine: Engine, database: SiteDatabase) -> None:
        self._database = database
        self._context = engine.connect(database, read_only=True)

    def __enter__(self) -> SiteConnection:
        try:
            return self._context.__enter__()
        except VMoodleError as error:
            if error.code not in {"engine.login", "engine.database.missing", "engine.grant"}:
                raise
            raise Refused(
                "adopt.database",
                f"The database {self._database.name} cannot be opened as "
                f"{self._database.account}: {error.message}",
                "Check database, account and password; the account must be let in from this "
                "machine.",
            ) from error

    def __exit__(self, *error: object) -> bool | None:
        return self._context.__exit__(*error)  # type: ignore[arg-type]


def _prefixes(connection: SiteConnection, *, is_postgresql: bool) -> list[str]:
    here = "current_schema()" if is_postgresql else "DATABASE()"
    rows = connection.query(_CONFIG_TABLES.replace("{here}", here))
    tables = {str(row[0]) for row in rows}
    known = {table.removesuffix("config") for table in tables}
    # A plugin's table may end so too; only Moodle's own has a prefix that others begin with.
    return sorted(
        one for one in known if not any(one != other and one.startswith(other) for other in known)
    )


def _no_moodle(database: SiteDatabase, prefixes: list[str]) -> Refused:
    others = [one for one in prefixes if one != database.prefix]
    return Refused(
        "adopt.notmoodle",
        f"The database {database.name} holds no installed Moodle with the prefix "
        f"{database.prefix}.",
        f"There are tables with the prefix {', '.join(others)}: give it with --prefix."
        if others
        else "Check the database's name and the prefix of its tables.",
    )


def _is_version(text: str) -> bool:
    try:
        return Decimal(text).is_finite()
    except InvalidOperation:
        return False


def _site_name(connection: SiteConnection) -> str:
    rows = connection.query("SELECT fullname FROM {course} WHERE category = 0")
    if not rows:
        raise InvalidInput(
            "adopt.nosite", "The Moodle has no site course.", "Its installation did not end."
        )
    # The front page shows the first of several languages; mark-up is not shown.
    text = _TAG.sub("", re.split(r"</span>|\{mlang\}", str(rows[0][0]))[0])
    return " ".join(text.split())[:FULL_NAME_LENGTH]


def _main_administrator(connection: SiteConnection, siteadmins: str | None) -> tuple[str, str]:
    """Return the user name and the email of the one that is listed first."""
    first = administrator_ids(siteadmins)[:1]
    rows = connection.query("SELECT username, email FROM {user} WHERE id = %s", first or (0,))
    return (str(rows[0][0]), str(rows[0][1])) if rows else ("admin", "")


def _own_wwwroot(connection: SiteConnection, localhost: str) -> str:
    """Return the address under which the site last knew itself, empty where it does not tell."""
    if not localhost.isdigit() or not read_schema(connection, ["mnet_host"]).has("mnet_host"):
        return ""
    rows = connection.query("SELECT wwwroot FROM {mnet_host} WHERE id = %s", (int(localhost),))
    return str(rows[0][0]) if rows else ""
