"""Whether the registry has changed: asked often, so that whoever waits neither works nor lags."""

from __future__ import annotations

import time

from django.db import connection

# Also without a change there is something to look at now and then: the clock, a broken workflow.
_LOOK_SECONDS = 0.5
# PostgreSQL has no number to compare; its rows are read.
_READ_SECONDS = 0.1


class Changes:
    """Tell, each time it is asked, whether another connection may have written since."""

    def __init__(self) -> None:
        self._version = -1
        self._next_look = 0.0

    def any(self) -> bool:
        """Return False only when nothing was written, or hardly a moment has gone by."""
        now = time.monotonic()
        if connection.vendor == "sqlite":
            with connection.cursor() as cursor:
                # SQLite counts the commits of the file's other connections (PRAGMA data_version).
                version = int(cursor.execute("PRAGMA data_version").fetchone()[0])
            if version == self._version and now < self._next_look:
                return False
            self._version, self._next_look = version, now + _LOOK_SECONDS
            return True
        if now < self._next_look:
            return False
        self._next_look = now + _READ_SECONDS
        return True
