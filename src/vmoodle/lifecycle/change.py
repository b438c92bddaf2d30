"""Change a site's name, labels and aliases: all of what is asked, or nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field

from vmoodle.errors import VMoodleError
from vmoodle.hook.address import parse_host
from vmoodle.installation import Installation
from vmoodle.lifecycle import names
from vmoodle.lifecycle.lost import connected
from vmoodle.lifecycle.publish import changing, publish_changed
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
    in_moodle = nullcontext() if name is None else _renamed_in_moodle(installation, shortname, name)
    # Moodle first, outside of registry and lock: its server may take its time, or not answer.
    with in_moodle, changing(installation):
        site = settled(shortname, "changed")
        sites.set_labels(site, labels)
        sites.remove_labels(site, changes.remove_labels)
        for host in added:
            sites.add_alias(site, host)
        for host in removed:
            sites.remove_alias(site, host)
        if name is not None:
            sites.renamed(site, name)
        audit.record(
            "site.change", shortname, name=name, labels=labels,
            removed_labels=changes.remove_labels, aliases=added, removed_aliases=removed,
        )  # fmt: skip
        publish_changed(installation, sites.every().filter(id=site.id))
        for host in removed:
            installation.host_map.withdraw_alias(shortname, host)
    return site


@contextmanager
def _renamed_in_moodle(installation: Installation, shortname: str, name: str) -> Iterator[None]:
    """Give Moodle's site course the name; when the block fails, the one it had."""
    site = settled(shortname, "changed")
    before = _rename_in_moodle(installation, site, name)
    try:
        yield
    except BaseException:
        with suppress(VMoodleError):  # what went wrong first is what the administrator is told
            _rename_in_moodle(installation, site, before)
        raise


def _rename_in_moodle(installation: Installation, site: Site, name: str) -> str:
    """Give Moodle's site course the name and return the one it had."""
    with connected(installation, site, read_only=False) as connection:
        before = connection.query("SELECT fullname FROM {course} WHERE category = 0")
        # Moodle reads the site course from the table on each request and caches only its
        # structure, by cacherev (get_site() in lib/datalib.php, lib/modinfolib.php; 4.5).
        connection.execute(
            "UPDATE {course} SET fullname = %s, cacherev = cacherev + 1 WHERE category = 0", (name,)
        )
    return str(before[0][0]) if before else name
