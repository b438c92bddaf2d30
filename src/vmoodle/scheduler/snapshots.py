"""Snapshots at the times of a schedule: each due time once, missed ones caught up by one run.

A run is a durable operation that orders a snapshot of each site; those are operations of their own,
and each prunes its own site when it is whole.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import transaction

from vmoodle.errors import Conflict, VMoodleError
from vmoodle.installation import Installation
from vmoodle.lifecycle import snapshot
from vmoodle.lifecycle.snapshot_store import open_snapshots
from vmoodle.operations.plan import OperationKind, Step, StepContext
from vmoodle.registry import operations, schedules, site_search, snapshots
from vmoodle.registry.models import Operation
from vmoodle.scheduler.times import Times

KIND = "snapshot.schedule"
NAME = "snapshots"
_SUBJECT = f"schedule:{NAME}"


def order_due(installation: Installation, moment: datetime) -> Operation | None:
    """Queue the run that is due at a moment, None when none is.

    Of several callers one gets it. While a run is under way none is queued: what has become due
    meanwhile is then due once. Raise InvalidInput for a setting that is no schedule.
    """
    times = Times.parse(installation.settings.snapshots.schedule)
    if times is None:
        schedules.off(NAME)
        return None
    row = schedules.in_force(NAME, times.expression, moment)
    due = times.until(moment)
    if due <= row.since or (row.due_at is not None and due <= row.due_at):
        return None
    try:
        with transaction.atomic():
            operation = operations.submit(
                KIND,
                site=_SUBJECT,
                parameters={"due": due.isoformat()},
                node=installation.node,
            )
            taken_up = schedules.take_up(NAME, due, operation.id)
            if not taken_up:  # another call was faster, and its run may have ended by now
                transaction.set_rollback(True)
    except Conflict:
        return None
    return operation if taken_up else None


def ordered_by(run: Operation) -> list[Operation]:
    """Return the operations that a run has ordered, oldest first."""
    rows = Operation.objects.filter(kind=snapshot.KIND, parameters__run=run.id)
    return list(rows.order_by("created_at", "subject"))


def facts(installation: Installation, moment: datetime) -> dict[str, Any]:
    """Return what an administrator wants to know of the schedule."""
    chosen = installation.settings.snapshots
    times = Times.parse(chosen.schedule)
    row = schedules.find(NAME)
    run = Operation.objects.filter(id=row.operation_id).first() if row else None
    took = ordered_by(run) if run else []
    return {
        "schedule": chosen.schedule or "off",
        "sites": chosen.schedule_sites,
        "matching": len(targets(installation)),
        "next": times.after(moment) if times else None,
        "last": row.due_at if row else None,
        "operation": run.id if run else "",
        "state": run.state if run else "",
        "taken": sum(one.state == "done" for one in took),
        "under_way": sum(not operations.is_finished(one.id) for one in took),
        "failed": sorted(
            [one.subject for one in took if one.error_code]
            + list(run.result.get("skipped", {}) if run else {})
        ),
    }


def targets(installation: Installation) -> list[str]:
    """Return the shortnames of the sites that the settings name; raise InvalidInput."""
    words = installation.settings.snapshots.schedule_sites.split()
    return site_search.choose(
        [word for word in words if "=" not in word],
        dict(word.split("=", 1) for word in words if "=" in word),
        every=True,
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
