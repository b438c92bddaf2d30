"""Schedules in the registry: when each was last due, taken up by one caller alone."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db.models import Q

from vmoodle.registry.models import Operation, OperationState, Schedule


def find(name: str) -> Schedule | None:
    """Return a schedule, None when none of that name was ever in force."""
    return Schedule.objects.filter(name=name).first()


def in_force(name: str, expression: str, moment: datetime) -> Schedule:
    """Return the schedule that is in force; one that is new, or another, counts from the moment."""
    row, _created = Schedule.objects.get_or_create(
        name=name, defaults={"expression": expression, "since": moment}
    )
    if row.expression != expression:
        row.expression, row.since = expression, moment
        row.save(update_fields=["expression", "since"])
    return row


def is_due(row: Schedule, due: datetime, moment: datetime, pause: timedelta) -> bool:
    """Tell whether what was due at a time is still to be done at a moment.

    It is when nobody took it up, and when who did has failed and gone back a `pause` ago or longer.
    """
    if due <= row.since:
        return False
    if row.due_at is None or row.due_at < due:
        return True
    if row.due_at > due:
        return False
    tried = Operation.objects.filter(id=row.operation_id, state=OperationState.REVERTED).first()
    return bool(tried and tried.finished_at and tried.finished_at + pause <= moment)


def take_up(name: str, due: datetime, operation_id: str, *, after: str = "") -> bool:
    """Let an operation do what was due at a time; False when that time was taken up already.

    `after` is the operation that was to do it, and is by now known to have failed.
    """
    free = Q(due_at=None) | Q(due_at__lt=due) | Q(due_at=due, operation_id=after)
    rows = Schedule.objects.filter(free, name=name, since__lt=due)
    return bool(rows.update(due_at=due, operation_id=operation_id))
