"""The numbers by which Moodle and browsers know that what they keep of a site is old."""

from __future__ import annotations

import time
from typing import Literal

from vmoodle.engines.protocol import SiteConnection

Revision = Literal["themerev", "langrev", "jsrev", "templaterev"]
_SOON_SECONDS = 3600


def raise_revision(connection: SiteConnection, name: Revision) -> None:
    """Give a revision its next number.

    Drop the caches of `Change.THEMES` or `Change.STRINGS` after the commit.
    """
    rows = connection.query("SELECT value FROM {config} WHERE name = %s FOR UPDATE", (name,))
    following = next_revision(str(rows[0][0] or "") if rows else "")
    if not rows:
        connection.execute(
            "INSERT INTO {config} (name, value) VALUES (%s, %s)", (name, str(following))
        )
    else:
        connection.execute("UPDATE {config} SET value = %s WHERE name = %s", (str(following), name))


def next_revision(stored: str) -> int:
    """Return the number after a stored one, as theme_get_next_revision (lib/outputlib.php, 4.5)."""
    current = int(stored) if stored.lstrip("-").isdigit() else 0
    now = int(time.time())
    # Twice in a second is two numbers; one from far ahead was a clock that went wrong.
    return current + 1 if now <= current < now + _SOON_SECONDS else now
