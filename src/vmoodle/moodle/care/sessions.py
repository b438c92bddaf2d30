"""Who is logged in to a site, and how sessions are ended, whatever handler keeps them.

Moodle's file, database and memcached handlers have a row for each session, and a request whose row
is gone begins a new one (lib/classes/session/manager.php, initialise_user_session, 4.5 and 5.1).
The Redis handler has its own list since 4.5: only Moodle ends what is there.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from enum import StrEnum
from pathlib import Path

from vmoodle.engines.protocol import SiteConnection
from vmoodle.moodle.config.settings import CORE, Forced, SettingName, read_settings
from vmoodle.moodle.database.site_schema import marks

END_ALL = "admin/cli/kill_all_sessions.php"


class Handler(StrEnum):
    """What keeps a site's sessions."""

    DATABASE = "database"
    FILE = "file"
    MEMCACHED = "memcached"
    REDIS = "redis"
    OTHER = "other"

    @property
    def by_rows(self) -> bool:
        """Tell whether a session ends with its row in the database."""
        return self in (Handler.DATABASE, Handler.FILE, Handler.MEMCACHED)


# Ends sessions by Moodle's own functions; the input is a JSON object: `users` whose sessions end,
# or `keep`, those whose do not. Before 4.5 the functions had other names.
END_BY_MOODLE = r"""
$given = json_decode(stream_get_contents(STDIN), true);
$end = method_exists('\core\session\manager', 'destroy_user_sessions')
    ? 'destroy_user_sessions' : 'kill_user_sessions';
$users = $given['users'];
if ($users === null) {
    $users = array_diff([0, ...$DB->get_fieldset_select('user', 'id', 'lastaccess > 0')],
        $given['keep']);
}
foreach ($users as $user) {
    \core\session\manager::$end((int)$user);
}
echo "\n" . count($users);
"""


def handler_of(connection: SiteConnection, forced: Forced | None = None) -> Handler:
    """Return the site's session handler (lib/classes/session/manager.php, get_handler_class)."""
    names = [SettingName(CORE, name) for name in ("session_handler_class", "dbsessions")]
    values = read_settings(connection, names, forced)
    name, in_database = (values[one].effective or "" for one in names)
    if not name:
        return Handler.FILE if in_database in ("", "0") else Handler.DATABASE
    plain = re.fullmatch(r"\\?core\\session\\(\w+)", name)
    known = {handler.value for handler in Handler} - {Handler.OTHER.value}
    return Handler(plain[1]) if plain and plain[1] in known else Handler.OTHER


def session_directory(dataroot: Path, forced: Forced) -> Path:
    """Return where the file handler keeps sessions (lib/classes/session/file.php)."""
    core: Mapping[str, object] = {**forced.get("", {}), **forced.get(CORE, {})}
    return Path(str(core.get("session_file_save_path") or dataroot / "sessions"))


def logged_in(
    connection: SiteConnection, users: Iterable[int] | None = None, keep: Iterable[int] = ()
) -> list[str]:
    """Return the identifiers of sessions of these users, or of all but some; all are logged in."""
    where, values = _where(users, keep)
    rows = connection.query(
        f"SELECT sid FROM {{sessions}} WHERE {where} AND userid <> 0",  # noqa: S608 - bound
        values,
    )
    return [str(row[0]) for row in rows]


def end_rows(
    connection: SiteConnection, users: Iterable[int] | None = None, keep: Iterable[int] = ()
) -> None:
    """End the sessions of these users, or of everybody but some, those not logged in too."""
    where, values = _where(users, keep)
    connection.execute(f"DELETE FROM {{sessions}} WHERE {where}", values)  # noqa: S608 - bound


def remove_files(directory: Path, sids: Iterable[str]) -> None:
    """Remove the files of ended sessions; nobody can use them any more, so that none is missed.

    VMoodle may be root there and the files are the web account's: only plain names are taken.
    """
    with suppress(OSError):
        opened = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for sid in sids:
                if re.fullmatch(r"[A-Za-z0-9,-]+", sid):
                    with suppress(OSError):
                        os.unlink(f"sess_{sid}", dir_fd=opened)
        finally:
            os.close(opened)


def _where(users: Iterable[int] | None, keep: Iterable[int]) -> tuple[str, list[int]]:
    if users is not None:
        wanted = list(users)
        return (f"userid IN ({marks(wanted)})", wanted) if wanted else ("1 = 0", [])
    kept = list(keep)
    return (f"userid NOT IN ({marks(kept)})", kept) if kept else ("1 = 1", [])
