"""What must hold before a site is made: found out before anything is made."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vmoodle.engines.protocol import Engine
from vmoodle.errors import InvalidInput, Refused
from vmoodle.hook.address import SiteAddress
from vmoodle.installation import Installation
from vmoodle.lifecycle import dataroot, resources
from vmoodle.lifecycle.codebase import REQUIRED, requirements
from vmoodle.lifecycle.server import check_engine
from vmoodle.moodle.code import config_php
from vmoodle.moodle.code.tree import MoodleTree
from vmoodle.moodle.code.versions import all_versions_hash
from vmoodle.moodle.database.site_schema import database_versions_hash
from vmoodle.registry import ledger
from vmoodle.registry.models import Codebase, DatabaseServer, Site


def check(
    installation: Installation,
    codebase: Codebase,
    server: DatabaseServer,
    address: SiteAddress,
    values: Mapping[str, Any],
    *,
    bytes_needed: int = 0,
) -> None:
    """Raise the first reason why the site cannot be made on this codebase and server.

    `bytes_needed` is what a copy takes, when that is more than a fresh site.
    """
    path = Path(values["dataroot"])
    check_tree(codebase, address)
    dataroot.refuse_unusable(installation, path)
    dataroot.refuse_full(path.parent, max(bytes_needed, dataroot.FREE_BYTES_NEEDED))
    check_runnable(installation, codebase, server)
    _check_free_names(installation.engine(server), server, values)


def check_segment(tree: MoodleTree, address: SiteAddress) -> None:
    """Raise InvalidInput for a site below a path that is Moodle's own."""
    if address.segment and address.segment in tree.segments():
        raise InvalidInput(
            "site.url.segment",
            f"/{address.segment} is a directory or script of Moodle's own.",
            "Choose another path for the site.",
        )


def check_tree(codebase: Codebase, address: SiteAddress) -> None:
    """Raise what hinders the codebase's tree from serving a site at the address."""
    tree = MoodleTree.open(Path(codebase.path))
    check_segment(tree, address)
    _check_config(tree)


def _check_config(tree: MoodleTree) -> None:
    if config_php.classify(tree.config_path) != config_php.OURS:
        raise Refused(
            "codebase.config",
            f"{tree.config_path} is not VMoodle's.",
            "`vmoodle codebase check` says what to do.",
        )


def check_runnable(installation: Installation, codebase: Codebase, server: DatabaseServer) -> None:
    """Raise what hinders the codebase's Moodle from running on this machine and that server."""
    tree = MoodleTree.open(Path(codebase.path))
    _check_config(tree)
    facts = check_engine(installation.engine(server))
    blocking = [
        finding
        for finding in requirements(installation, tree, (facts.flavour, facts.version))
        if finding.level == REQUIRED
    ]
    if blocking:
        raise Refused(
            "site.requirements",
            f"Moodle {tree.version.release} cannot run here: "
            + " ".join(finding.message for finding in blocking),
            " ".join(dict.fromkeys(finding.hint for finding in blocking if finding.hint)),
        )


def _check_free_names(engine: Engine, server: DatabaseServer, values: Mapping[str, Any]) -> None:
    wanted = (
        (ledger.DATABASE, values["database"], engine.database_exists),
        (ledger.ACCOUNT, values["account"], engine.account_exists),
    )
    for kind, name, exists in wanted:
        if exists(name):
            raise resources.taken(kind, name, server.name)


def upgrade_pending(installation: Installation, site: Site) -> bool:
    """Tell whether the site's database is at other versions than its codebase."""
    engine, database = installation.engine(site.server), installation.site_database(site)
    with engine.connect(database) as connection:
        found = database_versions_hash(connection)
    return found != all_versions_hash(MoodleTree.open(Path(site.codebase.path)))
