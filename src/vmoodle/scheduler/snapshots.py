"""Snapshots at the times of a schedule: each due time once, missed ones caught up by one run.

A run that failed, the store being away, is tried again until the next time is due.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db import transaction

from vmoodle.errors import Conflict
from vmoodle.installation import Installation
from vmoodle.lifecycle.snapshot import run as snapshot_run
from vmoodle.registry import operations, schedules
from vmoodle.registry.models import Operation
from vmoodle.scheduler.times import Times

NAME = "snapshots"
_PAUSE = timedelta(minutes=5)


def order_due(installation: Installation, moment: datetime) -> Operation | None:
    """Queue the run that is due at a moment, None when none is.

    Of several callers one gets it. While a run is under way none is queued: what has become due
    meanwhile is then due once. Raise InvalidInput for a setting that is no schedule.
    """
    times = Times.parse(installation.settings.snapshots.schedule)
    if times is None:
        return None
    row = schedules.in_force(NAME, times.expression, moment)
    due = times.until(moment)
    if not schedules.is_due(row, due, moment, _PAUSE):
        return None
    try:
        with transaction.atomic():
            operation = snapshot_run.submit(installation, due.isoformat())
            taken_up = schedules.take_up(NAME, due, operation.id, after=row.operation_id)
            if not taken_up:  # another call was faster, and its run may have ended by now
                transaction.set_rollback(True)
    except Conflict:
        return None
    return operation if taken_up else None


def facts(installation: Installation, moment: datetime) -> dict[str, Any]:
    """Return what an administrator wants to know of the schedule."""
    chosen = installation.settings.snapshots
    times = Times.parse(chosen.schedule)
    row = schedules.find(NAME)
    run = Operation.objects.filter(id=row.operation_id).first() if row else None
    took = snapshot_run.ordered_by(run) if run else []
    chosen_sites, unmet = snapshot_run.targets(installation)
    return {
        "schedule": chosen.schedule or "off",
        "sites": chosen.schedule_sites,
        "matching": len(chosen_sites),
        "unmet": sorted(unmet.values()),
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
