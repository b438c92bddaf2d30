"""What runs are searched by: a name that nothing has is a slip, and not an empty list."""

from __future__ import annotations

from datetime import datetime

from vmoodle.fleet.command_sets import find as find_command
from vmoodle.registry import runs, sites
from vmoodle.registry.fleet_models import Run


def search(
    *, command: str = "", site: str = "", actor: str = "", since: datetime | None = None,
    limit: int = 50,
) -> list[Run]:  # fmt: skip
    """Return runs that meet every filter, newest first.

    Raise NotFound `command.unknown` or `site.unknown` for what neither is nor was in any run.
    """
    found = runs.search(command=command, site=site, actor=actor, since=since, limit=limit)
    if not found:
        if command and not runs.search(command=command, limit=1):
            find_command(command)
        if site and not runs.search(site=site, limit=1):
            sites.find(site)
    return found
