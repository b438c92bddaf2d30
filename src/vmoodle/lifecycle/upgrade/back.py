"""Take a site back to the code and the data it had before its last upgrade, while those are kept.

What was written since the upgrade is lost. Until the site serves again, what it was is kept.
"""

from __future__ import annotations

from django.db import transaction

from vmoodle.errors import Conflict, NotFound, Refused
from vmoodle.installation import Installation
from vmoodle.lifecycle import interruption, web_map
from vmoodle.lifecycle.publish import publish
from vmoodle.lifecycle.suspend import settled
from vmoodle.lifecycle.upgrade import cron, moodledata, safety_copy, site
from vmoodle.operations.plan import OperationKind, Step, StepContext
from vmoodle.registry import audit, codebases, operations, sites, upgrade_copies
from vmoodle.registry.models import Operation
from vmoodle.registry.upgrade_models import UpgradeCopy

KIND = "site.upgrade_back"


def way_back(shortname: str) -> UpgradeCopy:
    """Return the way back of a site.

    Raise NotFound `upgrade.back.none`, Conflict `upgrade.back.moved` where the site was moved
    since, for what it goes back to would not fit.
    """
    found = sites.find(shortname)
    row = upgrade_copies.of(found)
    if row is None or row.ending:
        raise NotFound(
            "upgrade.back.none",
            f"What {shortname} was before its last upgrade is not kept, or not any more.",
            "`vmoodle snapshot list` shows its snapshots; upgrades.keep_copy_hours says for how "
            "long safety copies are kept.",
        )
    if found.codebase.name != row.upgraded_to or found.wwwroot != row.wwwroot:
        raise Conflict(
            "upgrade.back.moved",
            f"The site {shortname} has another codebase or address by now than after its upgrade.",
            "Restore a snapshot instead: vmoodle snapshot list",
        )
    return row


def submit(installation: Installation, shortname: str, *, typed: str) -> Operation:
    """Queue the way back of a site; `typed` is its shortname as a person typed it.

    Raise as `way_back`, Conflict for a site that something holds, NotFound for a codebase that is
    gone, Refused without the shortname typed.
    """
    with transaction.atomic():
        held = settled(shortname, "taken back")
        row = way_back(shortname)
        codebases.find(row.codebase)
        if typed != shortname:
            raise Refused(
                "upgrade.back.unconfirmed",
                f"All that was written on {shortname} since its upgrade would be lost; its "
                "shortname was not typed.",
                f"vmoodle upgrade back {shortname} --confirm {shortname}",
            )
        operations.refuse_used(f"site:{shortname}")
        operation = operations.submit(
            KIND,
            site=shortname,
            parameters={
                "codebase": row.codebase,
                "from_codebase": row.upgraded_to,
                "state": held.state,
                "database": row.database,
                "old_database": held.database,
                "upgrade_operation": row.operation_id,
            },
            node=installation.node,
        )
    audit.record(KIND, shortname, outcome="submitted", operation=operation.id)
    return operation


def _check(context: StepContext) -> None:
    found = sites.find(context.site)
    database = str(context.parameters["database"])
    if found.database != database and not context.installation.engine(found.server).database_exists(
        database
    ):
        raise Conflict(
            "upgrade.back.lost",
            f"The safety copy {database} of {context.site} is gone.",
            "Restore a snapshot instead: vmoodle snapshot list",
        )


def _back(context: StepContext) -> None:
    """Publish the site, still closed, on the code and the data it had."""
    _put_on(context, "database", "codebase")
    web_map.refuse_trouble(context.installation)
    moodledata.put_back(context)


def _forth(context: StepContext) -> None:
    """Publish it, still closed, on those it is upgraded to; caches are made anew."""
    _put_on(context, "old_database", "from_codebase")
    moodledata.drop_caches(context)


def _put_on(context: StepContext, database: str, codebase: str) -> None:
    found = sites.find(context.site)
    sites.on_database(found, str(context.parameters[database]))
    sites.on_codebase(found, codebases.find(str(context.parameters[codebase])))
    publish(context.installation, found)


def _release(context: StepContext) -> None:
    """Let go of what the site was upgraded to."""
    found = sites.find(context.site)
    row = upgrade_copies.of(found)
    if row is not None:
        upgrade_copies.gone(row)
    safety_copy.drop(context)
    audit.record(KIND, context.site, operation=context.operation_id)


BACK = OperationKind(
    KIND,
    "take a site back to what it was before its upgrade",
    (
        Step("check", "look whether what it was is there", _check),
        Step("tasks", "wait for tasks at work", cron.wait_for_tasks),
        Step("close", "answer 503 for the time being, without cron", site.close, site.open_again),
        Step("back", "publish the code and the data it had", _back, _forth),
        Step("open", "serve, and see that it does", site.serve, site.close_again),
        Step("release", "drop the data that it was upgraded to", _release, None),
    ),
    when_reverted="The site is on the codebase and the data that it was upgraded to.",
    attention=interruption.attention,
)
