"""Order rehearsals of an upgrade: looked at beforehand, and as many as the disks have room for."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from pathlib import Path

from django.db import transaction

from vmoodle.errors import Conflict, VMoodleError
from vmoodle.installation import Installation
from vmoodle.lifecycle import dataroot, scratch_copy
from vmoodle.lifecycle.copy.sources import SiteSource, refuse_changed
from vmoodle.lifecycle.upgrade import space
from vmoodle.lifecycle.upgrade.preflight import refuse_blocked
from vmoodle.moodle.code.tree import MoodleTree
from vmoodle.moodle.code.versions import all_versions_hash
from vmoodle.moodle.upgrades.path import short_release
from vmoodle.registry import audit, codebases, operations, owners, rehearsals
from vmoodle.registry.models import Operation, Site
from vmoodle.secret import generate_password

KIND = "upgrade.rehearse"


def submit_each(
    installation: Installation,
    codebase_name: str,
    shortnames: Sequence[str],
    *,
    timeout: float,
    accept: Sequence[str] = (),
) -> dict[str, Operation | VMoodleError]:
    """Queue a rehearsal of the upgrade of each site to a codebase, or say why there is none.

    Raise NotFound for no such codebase. By site: NotFound, Conflict for a site that is not settled
    or has the versions already, Refused for one that the upgrade would break off on, Unavailable
    where a server does not answer or a disk has no room for as many as may run at one time.
    """
    codebases.find(codebase_name)
    ordered: dict[str, Operation | VMoodleError] = {}
    room = _Room(installation)
    for shortname in shortnames:
        try:
            ordered[shortname] = _submit(
                installation, codebase_name, shortname, room, timeout=timeout, accept=accept
            )
        except VMoodleError as error:
            ordered[shortname] = error
    return ordered


class _Room:
    """What the rehearsals ordered so far need of each disk."""

    def __init__(self, installation: Installation) -> None:
        self._installation = installation
        self._databases: dict[int, list[int]] = {}
        self._files: list[int] = []

    def take(self, site: Site, database_bytes: int) -> None:
        """Count a site in; raise Unavailable where it does not fit beside the others."""
        limit = self._installation.settings.operations.concurrency
        database = space.UPGRADE_FACTOR * database_bytes
        files = space.bytes_of_files(self._installation, site)
        databases = sorted([*self._databases.get(site.server_id, []), database])[-limit:]
        pools = sorted([*self._files, files])[-limit:]
        space.refuse_full_server(self._installation, site.server, sum(databases))
        space.refuse_full_dataroot(self._installation, pools)
        self._databases[site.server_id], self._files = databases, pools


def _submit(
    installation: Installation,
    codebase_name: str,
    shortname: str,
    room: _Room,
    *,
    timeout: float,
    accept: Sequence[str],
) -> Operation:
    codebase = codebases.find(codebase_name)
    tree = MoodleTree.open(Path(codebase.path))
    wanted = all_versions_hash(tree)
    source = SiteSource(installation, shortname)
    facts, site = source.facts(), source.site
    if facts.versions_hash == wanted:
        raise Conflict(
            "upgrade.needless",
            f"The site {shortname} has the versions of the codebase {codebase.name}.",
            "There is nothing to be rehearsed.",
        )
    refuse_blocked(installation, site, codebase, list(accept))
    dataroot.refuse_unsafe_base(installation, installation.dataroot_base)
    room.take(site, facts.database_bytes)
    mark = secrets.token_hex(6)
    with transaction.atomic():
        refuse_changed(f"site:{shortname}", facts.identity())
        operation = operations.submit(
            KIND,
            site=scratch_copy.subject(owners.REHEARSAL, shortname),
            parameters={
                "site": shortname,
                "source": f"site:{shortname}",
                **facts.identity(),
                "codebase": codebase.name,
                "server": site.server.name,
                "database": f"{installation.settings.sites.database_prefix}r_{mark}",
                "directory": str(installation.dataroot_base / f".rehearsal-{mark}"),
                "prefix": site.table_prefix,
                "mark": mark,
                "timeout": timeout,
            },
            node=installation.node,
            secret_encrypted=installation.encrypt(generate_password(32)),
        )
        rehearsals.create(
            operation.id,
            {
                "shortname": shortname,
                "site_key": site.session_key,
                "codebase": codebase.name,
                "source_hash": facts.versions_hash,
                "target_hash": wanted,
                "source_release": short_release(facts.moodle_release),
                "target_release": short_release(tree.version.release),
                "engine": site.server.engine,
                "database_bytes": facts.database_bytes,
                "node": installation.node,
            },
        )
    audit.record(KIND, shortname, outcome="submitted", operation=operation.id)
    return operation
