"""Suspend and resume a site, rename it, label it: changes that are one publication each."""

from __future__ import annotations

from collections.abc import Callable

from vmoodle.engines.protocol import SiteDatabase
from vmoodle.errors import Conflict
from vmoodle.hook.address import parse_host
from vmoodle.installation import Installation
from vmoodle.lifecycle import names
from vmoodle.lifecycle.publish import publish
from vmoodle.registry import audit, sites
from vmoodle.registry.models import HOLDING_STATES, Operation, Site, SiteState


def suspend(installation: Installation, shortname: str, reason: str = "") -> Site:
    """Let the site answer 503; its command line keeps working. Raise Conflict in another state."""
    site = _in_state(shortname, {SiteState.ENABLED, SiteState.SUSPENDED}, "suspended")
    sites.suspended(site, reason)
    publish(installation, site)
    audit.record("site.suspend", shortname, reason=reason)
    return site


def resume(installation: Installation, shortname: str) -> Site:
    """Let a suspended site serve again. Raise Conflict in another state."""
    site = _in_state(shortname, {SiteState.SUSPENDED, SiteState.ENABLED}, "resumed")
    sites.enabled(site)
    publish(installation, site)
    audit.record("site.resume", shortname)
    return site


def rename(installation: Installation, shortname: str, name: str) -> Site:
    """Give a site a new full name, in Moodle and in the registry."""
    name = names.full_name(name)
    site = _in_state(shortname, {SiteState.ENABLED, SiteState.SUSPENDED}, "renamed")
    engine = installation.engine(site.server)
    with engine.connect(site_database(installation, site), read_only=False) as connection:
        # Moodle caches the front page's course structure by cacherev (lib/modinfolib.php, 4.5).
        connection.execute(
            "UPDATE {course} SET fullname = %s, cacherev = cacherev + 1 WHERE category = 0", (name,)
        )
    sites.renamed(site, name)
    audit.record("site.rename", shortname, name=name)
    return site


def relabel(
    installation: Installation, shortname: str, labels: list[str], remove: list[str]
) -> Site:
    """Put labels on a site and take others off; what labels force follows at once."""
    parsed = names.labels(labels)
    site = sites.find(shortname)
    sites.set_labels(site, parsed)
    sites.remove_labels(site, remove)
    publish(installation, site)
    audit.record("site.label", shortname, set=parsed, removed=remove)
    return site


def change_aliases(
    installation: Installation, shortname: str, add: list[str], remove: list[str]
) -> Site:
    """Give a site further hosts that redirect to it, or take them away."""
    hosts = [parse_host(text) for text in add]
    gone = [parse_host(text) for text in remove]
    site = sites.find(shortname)
    _each(hosts, lambda host: sites.add_alias(site, host))
    _each(gone, lambda host: sites.remove_alias(site, host))
    for host in gone:
        installation.host_map.withdraw_alias(host)
    publish(installation, site)
    audit.record("site.alias", shortname, added=hosts, removed=gone)
    return site


def site_database(installation: Installation, site: Site) -> SiteDatabase:
    """Return the site's database with its own account."""
    return SiteDatabase(
        site.database,
        site.account,
        installation.keyring.decrypt(site.password_encrypted),
        site.table_prefix,
    )


def _each(values: list[str], act: Callable[[str], None]) -> None:
    for value in values:
        act(value)


def _in_state(shortname: str, allowed: set[SiteState], verb: str) -> Site:
    site = sites.find(shortname)
    holder = Operation.objects.filter(site_shortname=shortname, state__in=HOLDING_STATES).first()
    if holder is not None or SiteState(site.state) not in allowed:
        held = f", held by operation {holder.id}" if holder else ""
        raise Conflict(
            "site.state",
            f"The site {shortname} is {site.state}{held}; it cannot be {verb} now.",
            f"`vmoodle site show {shortname}` tells more.",
        )
    return site
