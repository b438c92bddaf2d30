"""Publish sites: compile what the registry says of a site into its file of the host map."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from django.db import transaction
from django.db.models import QuerySet

from vmoodle.engines.protocol import Engine
from vmoodle.errors import InvalidInput
from vmoodle.hook.address import SiteAddress, parse_wwwroot
from vmoodle.hook.entry import PublishedSite, State
from vmoodle.hook.install import install_hook
from vmoodle.installation import Installation
from vmoodle.lifecycle import web_map
from vmoodle.lifecycle.scratch_copy import every_published_copy
from vmoodle.lifecycle.web_map import OFF_THE_MAP
from vmoodle.progress import Tell, tell_nobody
from vmoodle.registry import operations, sites
from vmoodle.registry.forced import ForcedSettings
from vmoodle.registry.models import DatabaseServer, DeletedAddress, Site, SiteState

# What the hook is told for each state of the registry.
_MAP_STATES: dict[SiteState, State] = {
    SiteState.DEPLOYING: "deploying",
    SiteState.ENABLED: "live",
    SiteState.SUSPENDED: "suspended",
    SiteState.ATTENTION: "suspended",
}
_TOLD_EVERY = 100


def publish(installation: Installation, site: Site) -> None:
    """Publish one site as the registry has it now, to this release's hook.

    The row is read anew while no other call can publish: what a slower call read earlier never
    overwrites what a faster one wrote. A site that is gone or going is not published.
    """
    install_hook(installation.home.hook)
    with one_at_a_time(installation):
        current = sites.every().filter(id=site.id).first()
        if current is None or current.state in OFF_THE_MAP:
            return
        engine = installation.engine(current.server)
        published = published_site(
            installation, current, engine, ForcedSettings(), _page(installation)
        )
        moves = _moves(installation, published)
        installation.host_map.publish(published)
        # The web server's map has all sites: it is not gone through for one that stays.
        if moves or web_map.is_behind(installation):
            web_map.follow(installation)


@contextmanager
def changing(installation: Installation) -> Iterator[None]:
    """Change registry and map together: what the block changes is kept when it ends well.

    No other call can publish meanwhile. The block changes the registry first and ends with
    `publish_changed`; when that cannot compile or write, the registry is as it was before.
    The web server is told after the change is kept: it may take its time.
    """
    install_hook(installation.home.hook)
    # The lock comes first: whoever holds it may read a registry that somebody else is changing.
    with one_at_a_time(installation):
        with transaction.atomic():
            yield
        web_map.follow(installation)


def publish_changed(
    installation: Installation, chosen: QuerySet[Site], tell: Tell = tell_nobody
) -> int:
    """Publish these sites, all of them or none, in a block of `changing`; return how many.

    Those that are going are not published.
    """
    told = _told(every_published(installation, chosen), tell)
    return installation.host_map.publish_several(told)


def publish_each(
    installation: Installation, chosen: Iterable[Site], tell: Tell = tell_nobody
) -> int:
    """Publish these sites one after the other; return how many there were."""
    count = 0
    for site in chosen:
        tell(f"publishing {site.shortname}")
        publish(installation, site)
        count += 1
    return count


def withdraw(installation: Installation, site: Site, *, tombstone: bool) -> None:
    """Take a site off the map; with a tombstone its address answers 410, else 404."""
    with one_at_a_time(installation):
        installation.host_map.withdraw(
            site.shortname,
            parse_wwwroot(site.wwwroot),
            aliases=sites.alias_hosts(site),
            tombstone=tombstone,
        )
        web_map.follow(installation)


def publish_copy(installation: Installation, copy: PublishedSite) -> None:
    """Publish a copy that is no site of the registry; `every_published` must know it by now."""
    install_hook(installation.home.hook)
    with one_at_a_time(installation):
        installation.host_map.publish(copy)
        web_map.follow(installation)


def withdraw_copy(installation: Installation, shortname: str, wwwroot: str) -> None:
    """Take such a copy off the map; its address answers 404."""
    with one_at_a_time(installation):
        installation.host_map.withdraw(shortname, parse_wwwroot(wwwroot), tombstone=False)
        web_map.follow(installation)


def publish_all(installation: Installation, tell: Tell = tell_nobody) -> int:
    """Rebuild the whole map from the registry; return the number of sites."""
    install_hook(installation.home.hook)
    with one_at_a_time(installation):
        count = installation.host_map.publish_all(
            _told(every_published(installation), tell), tombstones=tombstones(), lent=lent()
        )
        web_map.follow(installation)
        return count


def let_web_server_follow(installation: Installation) -> None:
    """Bring the web server's map up to date; raise Failed `web.reload` where that cannot be."""
    with one_at_a_time(installation):
        web_map.follow(installation)
        web_map.refuse_trouble(installation)


def web_server_trouble(installation: Installation) -> str:
    """Return why the web server does not follow, empty where it does or is not asked to.

    No other call publishes meanwhile: what is half-way through another is no trouble.
    """
    if installation.settings.web.map is None:
        return ""
    with one_at_a_time(installation):
        return web_map.trouble(installation)


def _moves(installation: Installation, site: PublishedSite) -> bool:
    """Tell whether the map has the site on another codebase, or not at all."""
    before = installation.host_map.read(site.address)
    return before is None or before.get("codebase") != site.codebase


def _told(published: Iterator[PublishedSite], tell: Tell) -> Iterator[PublishedSite]:
    for number, site in enumerate(published):
        if number % _TOLD_EVERY == 0:
            tell(f"compiling the map: {number} sites")
        yield site
    tell("writing the map")


@contextmanager
def one_at_a_time(installation: Installation) -> Iterator[None]:
    """Hold the lock under which the registry is read for the map and the map is written."""
    path = installation.home.run / "publish.lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def lent() -> list[str]:
    """Return the names by which operations let Moodle's scripts run on what is no site."""
    return operations.given("lent")


def held(installation: Installation) -> set[str]:
    """Return what stands in the map, or will, as an operation that has not ended leaves it."""
    copies = {copy.shortname for copy in every_published_copy(installation)}
    return operations.held() | copies


def tombstones() -> list[str]:
    """Return the addresses of deleted sites that nobody uses again."""
    return list(DeletedAddress.objects.values_list("address_key", flat=True))


def published_site(
    installation: Installation,
    site: Site,
    engine: Engine,
    forced: ForcedSettings,
    page: str | None,
) -> PublishedSite:
    """Return all the map says of a site."""
    merged = forced.of(site, sites.label_values(site))
    address: SiteAddress = parse_wwwroot(site.wwwroot)
    return PublishedSite(
        shortname=site.shortname,
        codebase=site.codebase.name,
        state=_MAP_STATES[SiteState(site.state)],
        address=address,
        dataroot=site.dataroot,
        database_config=engine.moodle_config(installation.site_database(site)),
        session_key=site.session_key,
        forced_cfg=merged.get("", {}),
        forced_plugins={name: values for name, values in merged.items() if name},
        retry_after=installation.settings.web.retry_after,
        page=page,
        component_cache=site.codebase.component_cache or None,
        aliases=tuple(sites.alias_hosts(site)),
        sslproxy=installation.settings.web.sslproxy,
    )


def every_published(
    installation: Installation, chosen: QuerySet[Site] | None = None
) -> Iterator[PublishedSite]:
    """Yield every site, or each of those chosen, as it should stand in the map.

    With every site come the copies of drills and rehearsals under way. Servers need not be up
    for it.
    """
    if chosen is None:
        yield from every_published_copy(installation)
    forced, page = ForcedSettings(), _page(installation)
    engines: dict[int, Engine] = {}
    chosen = (sites.every() if chosen is None else chosen).exclude(state__in=OFF_THE_MAP)
    chosen = chosen.prefetch_related("labels", "aliases")
    for site in chosen.iterator(chunk_size=500):
        if site.server_id not in engines:
            engines[site.server_id] = installation.engine(
                DatabaseServer.objects.get(id=site.server_id)
            )
        yield published_site(installation, site, engines[site.server_id], forced, page)


def _page(installation: Installation) -> str | None:
    path: Path | None = installation.settings.web.suspended_page
    if path is None:
        return None
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(
            "settings.page",
            f"The page of suspended sites, {path}, cannot be read.",
            "Make it a UTF-8 file this account may read, or empty web.suspended_page.",
        ) from error
