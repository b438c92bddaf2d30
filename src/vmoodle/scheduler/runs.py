"""Runs that were kept long enough are deleted once a day, by one of the workers."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from vmoodle.registry import runs, schedules
from vmoodle.scheduler.times import Times

if TYPE_CHECKING:
    from vmoodle.installation import Installation

NAME = "runs"
_DAILY = "17 3 * * *"


def prune_due(installation: Installation, moment: datetime) -> None:
    """Delete runs older than `fleet.keep_runs_days` when the day's time for it has come."""
    before = oldest_kept(installation, moment)
    if before is None:
        return
    row = schedules.in_force(NAME, _DAILY, moment)
    due = Times(_DAILY).until(moment)
    if schedules.is_due(row, due, moment, timedelta(0)) and schedules.take_up(NAME, due, ""):
        runs.prune(before)


def oldest_kept(installation: Installation, moment: datetime) -> datetime | None:
    """Return since when runs are kept at a moment, None where they are kept for ever."""
    days = installation.settings.fleet.keep_runs_days
    return moment - timedelta(days=days) if days else None
