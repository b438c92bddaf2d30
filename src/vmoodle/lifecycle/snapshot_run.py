"""A run of snapshots: one durable operation that orders a snapshot of each of the settings' sites.

Those are operations of their own, and each prunes its own site when it is whole.
"""

from __future__ import annotations

from vmoodle.errors import VMoodleError
from vmoodle.installation import Installation
from vmoodle.lifecycle import snapshot
from vmoodle.lifecycle.snapshot_store import open_snapshots
from vmoodle.operations.plan import OperationKind, Step, StepContext
from vmoodle.registry import operations, site_search, snapshots
from vmoodle.registry.models import Operation

KIND = "snapshot.schedule"
# One run at a time: each holds this.
_SUBJECT = "schedule:snapshots"


def submit(installation: Installation, due: str) -> Operation:
    """Queue a run for what was due at a time (ISO 8601); raise Conflict while one is under way."""
    return operations.submit(KIND, site=_SUBJECT, parameters={"due": due}, node=installation.node)


def ordered_by(run: Operation) -> list[Operation]:
    """Return the operations that a run has ordered, oldest first."""
    rows = Operation.objects.filter(kind=snapshot.KIND, parameters__run=run.id)
    return list(rows.order_by("created_at", "subject"))


def targets(installation: Installation) -> list[str]:
    """Return the shortnames of the sites that the settings name and that can be snapshotted."""
    words = installation.settings.snapshots.schedule_sites.split()
    return site_search.settled(
        [word for word in words if "=" not in word],
        dict(word.split("=", 1) for word in words if "=" in word),
    )


def _order(context: StepContext) -> None:
    """Order what this run has not ordered yet; a site that cannot be snapshotted holds no other."""
    installation = context.installation
    open_snapshots(installation, create=True)
    there = {row.subject for row in ordered_by(operations.find(context.operation_id))}
    skipped: dict[str, str] = {}
    for shortname in targets(installation):
        if shortname in there:
            continue
        try:
            snapshot.order(
                installation,
                shortname,
                reason=snapshots.SCHEDULE,
                note="",
                run=context.operation_id,
                prune=True,
            )
            there.add(shortname)
        except VMoodleError as error:
            skipped[shortname] = error.message
            context.say(f"{shortname} is left out: {error.message}")
    context.keep({"ordered": len(there), "skipped": skipped})
    context.say(f"{len(there)} snapshots ordered")


def _collect(context: StepContext) -> None:
    """Remove what the snapshots pruned by earlier runs left; a busy store waits for the next."""
    try:
        collected = open_snapshots(context.installation).collect_garbage()
    except VMoodleError as error:
        context.say(f"the store was not cleared up: {error.message}")
    else:
        context.say(f"{collected.removed} contents nobody needs removed from the store")


RUN = OperationKind(
    KIND,
    "take the snapshots that are due",
    (
        Step("collect", "clear up the store", _collect),
        Step("order", "order a snapshot of each site", _order),
    ),
    when_reverted="What it had ordered is taken all the same.",
)
