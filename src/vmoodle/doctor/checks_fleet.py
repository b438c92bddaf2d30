"""Checks of the fleet: servers, codebases, the map against the registry, dataroots, operations."""

from __future__ import annotations

from pathlib import Path

from vmoodle.doctor import mends
from vmoodle.doctor.finding import Found
from vmoodle.errors import VMoodleError
from vmoodle.fleet.kinds import KINDS
from vmoodle.hook.install import installed_hook_is_current
from vmoodle.hook.rights import wrong_rights
from vmoodle.installation import Installation
from vmoodle.lifecycle import codebase, dataroot, publish, server
from vmoodle.lifecycle.lost import connected, way_on
from vmoodle.moodle.caches.muc import SharedStore, shared_stores
from vmoodle.moodle.code import config_php
from vmoodle.moodle.code.tree import MoodleTree
from vmoodle.moodle.database import contents
from vmoodle.moodle.php.account import can_write
from vmoodle.operations import decide
from vmoodle.operations.node import NodeLock
from vmoodle.registry import operations, sites
from vmoodle.registry.models import (
    Codebase,
    DatabaseServer,
    Operation,
    OperationState,
    Site,
    SiteState,
    state_words,
)


def servers_answer(installation: Installation) -> Found:
    """Every database server answers, writes, and grants what VMoodle needs."""
    for row in DatabaseServer.objects.order_by("name"):
        try:
            server.check(installation, row)
        except VMoodleError as error:
            yield f"{row.name}: {error.message}", error.hint


def codebases_are_ours(installation: Installation) -> Found:
    """Every code tree is there, at the version the registry has, with our config.php."""
    for row in Codebase.objects.order_by("name"):
        mend = f"vmoodle codebase check {row.name}"
        try:
            tree = MoodleTree.open(Path(row.path))
        except VMoodleError as error:
            yield f"{row.name}: {error.message}", error.hint
            continue
        if config_php.classify(tree.config_path) != config_php.OURS:
            yield f"{row.name}: {tree.config_path} is not VMoodle's.", mend
        elif tree.config_path.read_text() != codebase.config_text(installation, row.name):
            yield (
                f"{row.name}: {tree.config_path} is of another release.",
                "vmoodle hook rebuild",
                mends.write_map(),
            )
        if row.component_cache and not Path(row.component_cache).is_file():
            yield f"{row.name}: its component cache {row.component_cache} is gone.", mend
        if tree.version.version != row.version:
            yield (
                f"{row.name}: the tree is at {tree.version.release}, the registry has "
                f"{row.release}.",
                mend,
            )


def hook_is_current(installation: Installation) -> Found:
    """The installed hook is this release's."""
    if Codebase.objects.exists() and not installed_hook_is_current(installation.home.hook):
        yield (
            "The installed hook is not this release's.",
            "vmoodle hook rebuild",
            mends.write_map(),
        )


def map_agrees(installation: Installation) -> Found:
    """The host map holds every site as the registry has it, and nothing else, for its readers.

    What stands there for a site that an operation holds is the operation's: others tell of it.
    """
    seen = installation.host_map.differences(
        publish.every_published(installation),
        tombstones=publish.tombstones(),
        lent=publish.lent(),
        held=publish.held(installation),
    )
    for difference in seen:
        yield difference, "vmoodle hook rebuild", mends.write_map()
    for wrong in wrong_rights(installation.home.map, installation.map_group):
        yield (
            f"{wrong.path} can be read by others, or not by the web server, or is another's.",
            wrong.command,
            mends.set_map_rights(),
        )


def web_server_follows(installation: Installation) -> Found:
    """The web server's map, where VMoodle keeps it, is what the registry says, and was read."""
    if words := publish.web_server_trouble(installation):
        yield words, "vmoodle doctor --mend, or see web.map and web.reload", mends.tell_web_server()


def dataroots_exist(installation: Installation) -> Found:
    """The base is safe to work in; every site's moodledata is the web account's, with its files."""
    try:
        dataroot.refuse_unsafe_base(installation, installation.dataroot_base)
    except VMoodleError as error:
        yield error.message, error.hint
    for site in sites.every():
        path = Path(site.dataroot)
        if site.state == SiteState.DEPLOYING:
            continue
        if not path.is_dir() or path.is_symlink():
            yield (
                f"{site.shortname}: {path} is missing or no directory.",
                f"Put it back from a backup; or {way_on(site)}",
            )
            continue
        yield from _files_are_there(installation, site)
        if site.adopted and can_write(path, installation.web_account.pw_name):
            continue  # an existing moodledata may be the web account's by its group alone
        elif path.stat().st_uid != installation.web_account.pw_uid:
            yield (
                f"{site.shortname}: {path} does not belong to the web account.",
                f"chown {installation.web_account.pw_name} {path}",
            )


def _files_are_there(installation: Installation, site: Site) -> Found:
    """Say where a site's file pool is gone; a database is asked only where it looks so."""
    pool = Path(site.dataroot) / "filedir"
    try:
        if contents.holds_any(pool):
            return
    except VMoodleError as error:
        yield f"{site.shortname}: {error.message}", error.hint
        return
    try:
        with connected(installation, site) as connection:
            lost = contents.is_lost(connection, pool)
    except VMoodleError:
        return  # what is wrong with the database, V010 and V050 say
    if lost:
        said = contents.lost(pool).message
        yield f"{site.shortname}: {said}", f"Mount it or put it back; or {way_on(site)}"


def caches_are_apart(_installation: Installation) -> Found:
    """No two sites keep cache entries under one prefix of one shared store.

    Sessions and locks are apart by what the map forces; Moodle's cache stores are set up in each
    site, and a store without a prefix of its own mixes the sites' entries.
    """
    users: dict[SharedStore, list[str]] = {}
    for site in sites.every():
        try:
            stores = shared_stores(Path(site.dataroot), site.table_prefix)
        except OSError as error:
            yield f"{site.shortname}: muc/config.php cannot be read: {error.strerror}.", "chmod it."
            continue
        for store in stores:
            users.setdefault(store, []).append(site.shortname)
    for store, names in users.items():
        if len(names) > 1:
            yield (
                f"{', '.join(names)} share a {store.plugin} cache store "
                f"{store.server} with the prefix {store.prefix!r}.",
                "Give each site a prefix of its own: Site administration, Plugins, Caching.",
            )


def operations_have_ended(installation: Installation) -> Found:
    """No operation needs attention, and none waits while nobody executes."""
    for row in Operation.objects.filter(state=OperationState.ATTENTION):
        yield (
            f"Operation {row.id} ({row.kind} {row.subject}) needs attention: {row.error_message}",
            ", or ".join(decide.choices(KINDS, row)),
        )
    waiting = operations.waiting(installation.node)
    if waiting and NodeLock(installation.home.run).holder() is None:
        yield (
            f"{len(waiting)} operation(s) wait and nobody executes: "
            + ", ".join(row.id for row in waiting),
            "vmoodle worker --until-idle",
            mends.work_off(),
        )


def sites_need_nobody(_installation: Installation) -> Found:
    """No site is left half-way without an operation."""
    held = operations.held()
    for site in sites.every():
        half_way = site.state in {SiteState.DEPLOYING, SiteState.DELETING, SiteState.ATTENTION}
        if half_way and site.shortname not in held:
            yield (
                f"{site.shortname} {state_words(site.state)} and no operation works on it.",
                f"vmoodle operation list --site {site.shortname}",
            )
