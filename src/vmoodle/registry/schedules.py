"""Schedules in the registry: when each was last due, taken up by one caller alone."""

from __future__ import annotations

from datetime import datetime

from django.db.models import Q

from vmoodle.registry.models import Schedule


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


def take_up(name: str, due: datetime, operation_id: str) -> bool:
    """Let an operation do what was due at a time; False when that time was taken up already."""
    rows = Schedule.objects.filter(Q(due_at=None) | Q(due_at__lt=due), name=name, since__lt=due)
    return bool(rows.update(due_at=due, operation_id=operation_id))
