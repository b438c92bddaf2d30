"""Tell open sessions of a site that rights have changed: the rows Moodle itself leaves for them.

A session keeps its user's role assignments and reads them anew when a flag says so, on its next
request (lib/accesslib.php, mark_user_dirty, context::mark_dirty; 4.5 and 5.1). The definitions of
roles are in a cache that all sessions share: `caches/invalidation.py`.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

from vmoodle.engines.protocol import SiteConnection
from vmoodle.moodle.database.system_context import SYSTEM_CONTEXT

_SESSION_TIMEOUT_SECONDS = 8 * 60 * 60


def mark_user(connection: SiteConnection, user_id: int) -> None:
    """Have the user's sessions read their role assignments anew."""
    _flag(connection, "accesslib/dirtyusers", str(user_id))


def mark_preferences(connection: SiteConnection, user_id: int) -> None:
    """Have the user's sessions read their preferences anew (mark_user_preferences_changed)."""
    _flag(connection, "userpreferenceschanged", str(user_id))


def mark_system(connection: SiteConnection) -> None:
    """Have all sessions read their role assignments and enrolments anew."""
    for (path,) in connection.query(
        f"SELECT path FROM {{context}} WHERE id IN {SYSTEM_CONTEXT}"  # noqa: S608
    ):
        _flag(connection, "accesslib/dirtycontexts", str(path))


def _flag(connection: SiteConnection, kind: str, name: str) -> None:
    now = int(time.time())
    expiry = now + _session_timeout(
        row[0]
        for row in connection.query("SELECT value FROM {config} WHERE name = 'sessiontimeout'")
    )
    # One row a name: set_cache_flag() of lib/moodlelib.php.
    connection.execute("DELETE FROM {cache_flags} WHERE flagtype = %s AND name = %s", (kind, name))
    connection.execute(
        "INSERT INTO {cache_flags} (flagtype, name, timemodified, value, expiry)"
        " VALUES (%s, %s, %s, '1', %s)",
        (kind, name, now, expiry),
    )


def _session_timeout(values: Iterable[object]) -> int:
    text = str(next(iter(values), ""))
    return int(text) if text.isdigit() and int(text) else _SESSION_TIMEOUT_SECONDS
