"""Moodle's own record of changed settings: the rows its administration pages leave for a change."""

from __future__ import annotations

import time

from vmoodle.engines.protocol import SiteConnection
from vmoodle.moodle.database.site_admins import first_administrator

# admin_setting_configpasswordunmask::add_to_config_log, lib/adminlib.php, 4.5 and 5.1.
MASKED = "********"
# config_log.name in lib/db/install.xml; names in config may be longer.
_LONGEST_NAME = 100


def log_change(
    connection: SiteConnection,
    name: str,
    old: str | None,
    new: str | None,
    component: str | None,
    *,
    user: int | None = None,
) -> None:
    """Write that a setting was changed by a user of the site, or by its first administrator.

    `component` is None for Moodle's core: add_to_config_log of lib/datalib.php, 4.5 and 5.1.
    """
    connection.execute(
        "INSERT INTO {config_log} (userid, timemodified, plugin, name, value, oldvalue)"
        " VALUES (%s, %s, %s, %s, %s, %s)",
        (
            first_administrator(connection) if user is None else user,
            int(time.time()),
            component,
            name[:_LONGEST_NAME],
            new,
            old,
        ),
    )
