"""Let a site's cron end before something else is done with the site."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from vmoodle.errors import Unavailable
from vmoodle.process import is_gone
from vmoodle.registry import cron
from vmoodle.registry.models import Operation
from vmoodle.registry.source_names import site_copied

if TYPE_CHECKING:
    from vmoodle.installation import Installation

STOP_SECONDS = 90.0
"""So long a run that is to stop may take: Moodle ends the task it is in, else it is killed."""
_LOOK_SECONDS = 0.1


def is_running(shortname: str) -> bool:
    """Tell whether a run of the site's cron is under way, on this node or another."""
    return _under_way(shortname) is not None


def end_cron(
    installation: Installation,
    shortname: str,
    *,
    patience: float | None = None,
    stop: bool = True,
    say: Callable[[str], object] = lambda _words: None,
) -> None:
    """Wait until no run of the site's cron is under way; after `patience` seconds have it stopped.

    The caller holds the site, so that none begins anew. Without a `patience` it is the setting
    `cron.patience`. Without `stop` it goes on after that. Raise Unavailable `cron.running` when it
    does not stop.
    """
    if patience is None:
        patience = installation.settings.cron.patience
    asked = False
    until = time.monotonic() + patience
    while (lease := _under_way(shortname)) is not None:
        if time.monotonic() >= until:
            if not stop:
                say("its cron goes on meanwhile")
                return
            if asked:
                raise Unavailable(
                    "cron.running",
                    f"The cron of {shortname} does not stop on the node {lease.node}.",
                    f"End the process that watches it ({lease.holder}), then run this again.",
                )
            say("its cron is asked to stop")
            cron.request_stop(lease.run_id)
            asked, until = True, time.monotonic() + STOP_SECONDS
        time.sleep(_LOOK_SECONDS)


def end_for(
    installation: Installation,
    operation: Operation,
    say: Callable[[str], object],
    *,
    beside: bool = False,
) -> None:
    """Let the cron end of the sites that an operation is about to hold or to copy.

    What is only read, the source of a copy and with `beside` all, does not have it stopped.
    """
    copied = site_copied(str(operation.parameters.get("source", "")))
    sites = {copied: False} if copied else {}
    # Templates, runs and so on have no cron.
    if operation.subject and ":" not in operation.subject:
        sites[operation.subject] = not beside
    for shortname, stop in sites.items():
        if is_running(shortname):
            say(f"the cron of {shortname} is under way and is let end")
            end_cron(installation, shortname, stop=stop, say=say)


def _under_way(shortname: str) -> cron.Lease | None:
    """Return the run of a site's cron that somebody watches."""
    lease = cron.lease_of(shortname)
    return None if lease is None or is_gone(lease.holder) else lease
