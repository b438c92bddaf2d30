"""Change a site's name, labels and aliases: all of what is asked, or nothing."""

from __future__ import annotations

from dataclasses import dataclass, field

from django.db import transaction

from vmoodle.hook.address import parse_host
from vmoodle.installation import Installation
from vmoodle.lifecycle import names
from vmoodle.lifecycle.publish import publish
from vmoodle.lifecycle.suspend import settled
from vmoodle.registry import audit, sites
from vmoodle.registry.models import Site


@dataclass(frozen=True)
class SiteChanges:
    """What is to change; None and empty lists leave it as it is. Labels are key=value."""

    name: str | None = None
    labels: list[str] = field(default_factory=list)
    remove_labels: list[str] = field(default_factory=list)
    aliases: list[str] = field(default_factory=list)
    remove_aliases: list[str] = field(default_factory=list)


def change(installation: Installation, shortname: str, changes: SiteChanges) -> Site:
    """Apply the changes to the registry, to Moodle and to the map; what labels force follows.

    Everything is checked first. Raise InvalidInput, Conflict and NotFound as the parts do.
    """
    name = None if changes.name is None else names.full_name(changes.name)
    labels = names.labels(changes.labels)
    added = [parse_host(text) for text in changes.aliases]
    removed = [parse_host(text) for text in changes.remove_aliases]
    with transaction.atomic():
        site = settled(shortname, "changed")
        sites.set_labels(site, labels)
        sites.remove_labels(site, changes.remove_labels)
        for host in added:
            sites.add_alias(site, host)
        for host in removed:
            sites.remove_alias(site, host)
        if name is not None:
            sites.renamed(site, name)
            _rename_in_moodle(installation, site, name)
        audit.record(
            "site.change", shortname, name=name, labels=labels,
            removed_labels=changes.remove_labels, aliases=added, removed_aliases=removed,
        )  # fmt: skip
    for host in removed:
        installation.host_map.withdraw_alias(host)
    publish(installation, site)
    return site


def _rename_in_moodle(installation: Installation, site: Site, name: str) -> None:
    engine = installation.engine(site.server)
    with engine.connect(installation.site_database(site), read_only=False) as connection:
        # Moodle reads the site course from the table on each request and caches only its
        # structure, by cacherev (get_site() in lib/datalib.php, lib/modinfolib.php; 4.5).
        connection.execute(
            "UPDATE {course} SET fullname = %s, cacherev = cacherev + 1 WHERE category = 0", (name,)
        )
