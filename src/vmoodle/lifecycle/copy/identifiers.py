"""The siteidentifier of each site: what Moodle's services and caches know it by."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from vmoodle.engines.protocol import Engine, SiteDatabase
from vmoodle.errors import VMoodleError

_AT_ONCE = 8
"""Connections opened at a time to ask each site for its identifier."""

Asked = tuple[str, Engine, SiteDatabase]


def identifiers(asked: Iterable[Asked]) -> dict[str, list[str]]:
    """Return the shortnames that have each identifier; sites that cannot be asked are left out."""
    users: dict[str, list[str]] = {}
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for shortname, identifier in pool.map(_identifier, asked):
            if identifier:
                users.setdefault(identifier, []).append(shortname)
    return users


def _identifier(asked: Asked) -> tuple[str, str]:
    """Return a site's shortname and identifier, empty where it cannot be asked."""
    shortname, engine, database = asked
    try:
        with engine.connect(database) as connection:
            rows = connection.query("SELECT value FROM {config} WHERE name = 'siteidentifier'")
    except VMoodleError:
        return shortname, ""  # what is gone or does not answer is the doctor's to say
    return shortname, str(rows[0][0]) if rows else ""
