"""The context that stands for the whole site, above all others (lib/accesslib.php)."""

from __future__ import annotations

from vmoodle.engines.protocol import SiteConnection
from vmoodle.errors import NotFound

SYSTEM_CONTEXT_LEVEL = 10
_QUERY = f"SELECT id FROM {{context}} WHERE contextlevel = {SYSTEM_CONTEXT_LEVEL}"  # noqa: S608
SYSTEM_CONTEXT = f"({_QUERY})"
"""SQL: the rows of which the `contextid` is IN it belong to the whole site."""


def system_context(connection: SiteConnection) -> int:
    """Return the id of the site's system context; raise NotFound `site.context`."""
    for (number,) in connection.query(_QUERY):
        return int(number)
    raise NotFound(
        "site.context",
        "The site has no system context: its installation is not finished.",
        "Finish the installation of the site.",
    )
