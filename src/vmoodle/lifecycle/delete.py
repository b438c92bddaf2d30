"""Delete a site softly: off the map, snapshotted, kept for a grace period, revived by one call.

The snapshot outlives the site: it is pinned until the site is revived or purged. A site of which
none can be taken is not deleted.
"""

from __future__ import annotations

from datetime import timedelta

from django.db import transaction
from django.utils import timezone

from vmoodle.errors import Conflict, Failed, VMoodleError
from vmoodle.installation import Installation
from vmoodle.lifecycle import interruption, purge
from vmoodle.lifecycle.publish import changing, publish, publish_changed, withdraw
from vmoodle.lifecycle.snapshot import snapshot
from vmoodle.operations.plan import OperationKind, Step, StepContext
from vmoodle.registry import audit, operations, sites, snapshots
from vmoodle.registry.models import Operation, Site, SiteState, state_words
from vmoodle.store.manifest import new_id

KIND = "site.delete"
# One that needs attention is half gone already; an operation that still has it is asked first.
_DELETABLE = {SiteState.SUSPENDED}


def submit(
    installation: Installation, shortname: str, *, typed: str, with_snapshot: bool = True
) -> Operation:
    """Queue the deletion of a suspended site; its database and moodledata are kept for now.

    `typed` is its shortname as a person typed it. Raise Conflict for a site in another state or
    that an operation holds, Refused without the shortname typed or when something of it could not
    be destroyed later. `with_snapshot` takes a snapshot on the way.
    """
    snapshot_id = new_id(shortname) if with_snapshot else ""
    with transaction.atomic():
        site = sites.held(shortname)
        purge.refuse_unless(site, _DELETABLE, "deleted")
        purge.refuse_untyped(shortname, typed, "delete")
        purge.refuse_indestructible(installation, site)
        operation = operations.submit(
            KIND,
            site=shortname,
            parameters={"snapshot": snapshot_id},
            node=installation.node,
        )
        if snapshot_id:
            snapshots.reserve(snapshot_id, site, reason=snapshots.DELETION, note="")
        audit.record(KIND, shortname, outcome="submitted", operation=operation.id)
    return operation


def revive(installation: Installation, shortname: str) -> Site:
    """Bring a deleted site back, suspended; raise Conflict for one that is not deleted."""
    with changing(installation):
        site = sites.held(shortname)
        operations.refuse_held(shortname)
        if SiteState(site.state) != SiteState.DELETED:
            raise Conflict(
                "site.state",
                f"The site {shortname} {state_words(site.state)}; only a deleted one can be "
                "revived.",
                "`vmoodle site list --state deleted` shows those that can.",
            )
        sites.revived(site)
        snapshots.unpinned_of_deletion(shortname)
        audit.record("site.revive", shortname)
        publish_changed(installation, sites.every().filter(id=site.id))
    return site


def _check(context: StepContext) -> None:
    """Refuse a site that is not as it was ordered to be deleted."""
    site = sites.find(context.site)
    purge.refuse_unless(site, _DELETABLE | {SiteState.DELETING}, "deleted")


def _withdraw(context: StepContext) -> None:
    site = sites.find(context.site)
    sites.deleting(site)
    withdraw(context.installation, site, tombstone=True)


def _publish_again(context: StepContext) -> None:
    site = sites.find(context.site)
    sites.deletion_taken_back(site)
    publish(context.installation, site)


def _forget_snapshot(context: StepContext) -> None:
    if context.parameters.get("snapshot"):
        snapshot.forget(context)


def _snapshot(context: StepContext) -> None:
    """Take the site's last snapshot, now that nothing writes to it, and pin it."""
    if not context.parameters.get("snapshot"):
        return
    try:
        snapshot.take(context)
    except VMoodleError as error:
        raise Failed(
            "site.delete.snapshot",
            f"No snapshot of the site could be taken: {error.message}",
            f"Mend that, or delete without one: vmoodle site delete {context.site} --no-snapshot",
        ) from error
    snapshot.note_taken(context)
    snapshots.pinned_while_deleted(str(context.parameters["snapshot"]))


def _untake(context: StepContext) -> None:
    if context.parameters.get("snapshot"):
        snapshot.untake(context)


def _keep(context: StepContext) -> None:
    site = sites.find(context.site)
    days = context.installation.settings.sites.delete_grace_days
    sites.kept_deleted(site, timezone.now() + timedelta(days=days))
    context.say(f"kept for {days} days: vmoodle site revive {context.site}")
    audit.record(KIND, context.site, operation=context.operation_id)


DELETE = OperationKind(
    KIND,
    "delete a site",
    (
        Step("check", "see that the site is suspended", _check, _forget_snapshot),
        Step("withdraw", "take the address off the map", _withdraw, _publish_again),
        Step("snapshot", "take a snapshot of it", _snapshot, _untake),
        Step("keep", "keep what it has for the grace period", _keep, _publish_again),
    ),
    when_reverted="Nothing was deleted; the site is as it was before.",
    attention=interruption.attention,
)
