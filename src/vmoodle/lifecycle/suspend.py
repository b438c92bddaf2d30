"""Suspend and resume a site: a change of state and its publication."""

from __future__ import annotations

from django.db import transaction

from vmoodle.errors import Conflict
from vmoodle.installation import Installation
from vmoodle.lifecycle.publish import changing, publish_changed
from vmoodle.operations.site_cron import end_cron
from vmoodle.registry import audit, operations, sites
from vmoodle.registry.models import HOLDING_STATES, Operation, Site, SiteState, state_words

_SETTLED = {SiteState.ENABLED, SiteState.SUSPENDED}


def suspend(installation: Installation, shortname: str, reason: str | None = None) -> Site:
    """Let the site answer 503; its command line keeps working, its cron is stopped.

    Raise Conflict in another state, Unavailable `cron.running` when its cron does not stop; the
    site is suspended by then.

    Without a reason, one that is suspended already keeps the reason it has.
    """
    with changing(installation):
        site = settled(shortname, "suspended")
        if reason is None:
            reason = site.state_reason if SiteState(site.state) == SiteState.SUSPENDED else ""
        sites.suspended(site, reason)
        audit.record("site.suspend", shortname, reason=reason)
        publish_changed(installation, sites.every().filter(id=site.id))
    # It was not to begin any more from then on; one that had begun does not go on behind a 503.
    end_cron(installation, shortname, patience=0)
    return site


def resume(installation: Installation, shortname: str) -> Site:
    """Let a suspended site serve again. Raise Conflict in another state."""
    with changing(installation):
        site = settled(shortname, "resumed")
        sites.enabled(site)
        audit.record("site.resume", shortname)
        publish_changed(installation, sites.every().filter(id=site.id))
    return site


def settled(shortname: str, verb: str) -> Site:
    """Return a site that is enabled or suspended and that no operation holds; raise Conflict.

    It stays so until the transaction ends, in which the caller changes it.
    """
    with transaction.atomic():
        site = sites.held(shortname)
        holder = Operation.objects.filter(subject=shortname, state__in=HOLDING_STATES).first()
        if holder is not None or SiteState(site.state) not in _SETTLED:
            held = f", held by operation {holder.id}" if holder else ""
            raise Conflict(
                "site.state",
                f"The site {shortname} {state_words(site.state)}{held}; it cannot be {verb} now.",
                operations.way_on(holder)
                if holder
                else f"`vmoodle site show {shortname}` tells more.",
            )
        return site
