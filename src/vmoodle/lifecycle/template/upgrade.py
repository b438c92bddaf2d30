"""Bring a template to a newer codebase: a copy of it is upgraded by Moodle, then exchanged.

What is frozen is never written. PHP runs on the copy from the command line alone: the map has an
entry for that long under a name that no site can have, and nothing for any address.
"""

from __future__ import annotations

import secrets
import shutil
from pathlib import Path

from django.db import transaction

from vmoodle.errors import Conflict, Failed, Refused
from vmoodle.hook.address import parse_wwwroot
from vmoodle.hook.entry import PublishedSite
from vmoodle.hook.install import install_hook
from vmoodle.installation import Installation
from vmoodle.lifecycle import dataroot, preflight
from vmoodle.lifecycle.resources import Holdings
from vmoodle.lifecycle.template import refresh as template_refresh
from vmoodle.lifecycle.template import warm
from vmoodle.lifecycle.template.refresh import making
from vmoodle.lifecycle.template.template import copy_database, copy_files
from vmoodle.moodle.code.tree import MoodleTree
from vmoodle.moodle.code.versions import all_versions_hash
from vmoodle.moodle.database.site_schema import database_versions_hash
from vmoodle.moodle.files import moodledata
from vmoodle.moodle.scripts.upgrade import upgrade_site
from vmoodle.operations.plan import OperationKind, Step, StepContext
from vmoodle.registry import audit, codebases, operations, templates
from vmoodle.registry.models import Codebase, Operation, Template
from vmoodle.registry.source_names import SourceKind
from vmoodle.secret import generate_password

KIND = "template.upgrade"
# The copy, and what Moodle writes while it upgrades.
SPACE_FACTOR = 2


def submit(installation: Installation, name: str, codebase_name: str) -> Operation:
    """Queue bringing a template to the versions of a codebase.

    Raise NotFound, Conflict for a template that is not ready, fits already or is being copied,
    Refused for a codebase that is older or cannot run here, Unavailable for too little disk.
    """
    template, codebase = templates.usable(name), codebases.find(codebase_name)
    tree = MoodleTree.open(Path(codebase.path))
    wanted = all_versions_hash(tree)
    _refuse_pointless(template, codebase, tree, wanted)
    preflight.check_runnable(installation, codebase, template.server)
    held = template.database_bytes + template.files_bytes
    dataroot.refuse_full(
        installation.dataroot_base, dataroot.FREE_BYTES_NEEDED + SPACE_FACTOR * held
    )
    with transaction.atomic():
        # A site that is being made from it was promised the versions it has now.
        operations.refuse_used(SourceKind.TEMPLATE.named(name))
        operations.give_way(templates.subject(name), warm.KIND)
        operation = operations.submit(
            KIND,
            site=templates.subject(name),
            parameters={
                "source": SourceKind.TEMPLATE.named(name),
                "captured": template.source,
                "codebase": codebase.name,
                "lent": f"upgrade-{secrets.token_hex(4)}_",
                "wwwroot": template.wwwroot,
                "server": template.server.name,
                "prefix": template.table_prefix,
                "moodle_version": tree.version.version,
                "moodle_release": tree.version.release,
                "versions_hash": wanted,
                **template_refresh.places_beside(installation, name),
            },
            node=installation.node,
            secret_encrypted=installation.encrypt(generate_password(32)),
        )
    audit.record(KIND, name, outcome="submitted", codebase=codebase.name)
    return operation


def _refuse_pointless(
    template: Template, codebase: Codebase, tree: MoodleTree, versions_hash: str
) -> None:
    if template.versions_hash == versions_hash:
        raise Conflict(
            "template.upgrade.needless",
            f"The template {template.name} has the versions of the codebase {codebase.name}.",
            f"Make sites from it: vmoodle site create NAME --template {template.name}",
        )
    if float(tree.version.version) < float(template.moodle_version):
        raise Refused(
            "template.upgrade.older",
            f"The template {template.name} is at Moodle {template.moodle_release}, newer than the "
            f"codebase {codebase.name} ({tree.version.release}); Moodle cannot go back.",
            "Choose a newer codebase: `vmoodle codebase list` shows them.",
        )


def _copy_database(context: StepContext, holdings: Holdings) -> None:
    context.keep({"upgrade": ""})
    copy_database(context, holdings)


def _upgrade(context: StepContext, holdings: Holdings) -> None:
    """Upgrade the copy; one on which an earlier try was stopped is made anew first."""
    progress = operations.find(context.operation_id).result.get("upgrade")
    if progress == "done":
        return
    if progress == "begun":
        context.say("the upgrade was stopped half-way: it begins with a new copy")
        # It stays "begun" until both are whole: stopped in here, the next try copies again.
        copy_database(context, holdings)
        dataroot.destroy(context, holdings)
        copy_files(context, holdings)
    context.keep({"upgrade": "begun"})
    try:
        _run(context, holdings)
    finally:
        _take_back(context)
    _refuse_other_versions(context, holdings)
    _remove_caches(holdings.directory)
    context.keep({"upgrade": "done"})


def _run(context: StepContext, holdings: Holdings) -> None:
    installation = context.installation
    codebase = codebases.find(str(context.parameters["codebase"]))
    install_hook(installation.home.hook)
    installation.host_map.lend(_published(context, holdings, codebase))
    upgrade_site(
        MoodleTree.open(Path(codebase.path)),
        installation.php,
        site=str(context.parameters["lent"]),
        timeout=installation.settings.php.script_timeout,
        redact=[holdings.database.password],
        tell=context.say,
    )


def _published(context: StepContext, holdings: Holdings, codebase: Codebase) -> PublishedSite:
    engine = context.installation.engine(holdings.server)
    return PublishedSite(
        shortname=str(context.parameters["lent"]),
        codebase=codebase.name,
        state="deploying",
        address=parse_wwwroot(str(context.parameters["wwwroot"])),
        dataroot=str(holdings.directory),
        database_config=engine.moodle_config(holdings.database),
        session_key=secrets.token_hex(8),
        # Nobody is to hear from a template.
        forced_cfg={"noemailever": True, "disableupdatenotifications": True},
        component_cache=codebase.component_cache or None,
    )


def _take_back(context: StepContext) -> None:
    context.installation.host_map.take_back(str(context.parameters["lent"]))


def _refuse_other_versions(context: StepContext, holdings: Holdings) -> None:
    """Raise Failed unless Moodle says of the copy what was read from the tree beforehand."""
    engine = context.installation.engine(holdings.server)
    with engine.connect(holdings.database) as connection:
        found = database_versions_hash(connection)
    if found != context.parameters["versions_hash"]:
        raise Failed(
            "template.upgrade.other",
            f"The codebase {context.parameters['codebase']} has changed since the upgrade was "
            "ordered.",
            "Order it again; the template is as it was.",
        )


def _remove_caches(directory: Path) -> None:
    """Leave only what is a template's own of what Moodle wrote: the rest holds an identity."""
    for child in directory.iterdir():
        if child.name in moodledata.CONTENT:
            continue
        if child.is_dir() and not child.is_symlink():
            shutil.rmtree(child)
        else:
            child.unlink()


UPGRADE = OperationKind(
    KIND,
    "upgrade a template",
    (
        template_refresh.ACCOUNT,
        Step(
            "database",
            "copy the database",
            making(_copy_database),
            template_refresh.DATABASE.undo,
        ),
        template_refresh.FILES,
        Step("upgrade", "run Moodle's upgrade on the copy", making(_upgrade), _take_back),
        *template_refresh.ENDING,
    ),
    when_reverted=template_refresh.WHEN_REVERTED,
)
