"""Rehearsals of upgrades in the registry: every change of their state is made here."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from django.utils import timezone

from vmoodle.errors import NotFound, VMoodleError
from vmoodle.registry.audit import current_actor
from vmoodle.registry.rehearsal_models import Rehearsal, RehearsalState

JUDGED = (RehearsalState.PASSED, RehearsalState.FAILED)
"""The states that say something of the upgrade."""


def create(operation_id: str, values: Mapping[str, Any]) -> Rehearsal:
    """Write a rehearsal down that an operation is to carry out."""
    return Rehearsal.objects.create(
        id=uuid.uuid4().hex[:12],
        operation_id=operation_id,
        actor=current_actor(),
        state=RehearsalState.RUNNING,
        **values,
    )


def find(rehearsal_id: str) -> Rehearsal:
    """Return the rehearsal of an id or of an unambiguous beginning of one; raise NotFound."""
    matches = list(Rehearsal.objects.filter(id__startswith=rehearsal_id)[:2])
    if len(matches) != 1 or not rehearsal_id:
        raise NotFound(
            "upgrade.rehearsal.unknown",
            f"There is no rehearsal {rehearsal_id!r}."
            if not matches
            else f"More than one rehearsal begins with {rehearsal_id!r}.",
            "`vmoodle upgrade rehearsals` shows them.",
        )
    return matches[0]


def of_operation(operation_id: str) -> Rehearsal:
    """Return the rehearsal that an operation carries out."""
    return Rehearsal.objects.get(operation_id=operation_id)


def recent(limit: int = 50, *, codebase: str = "", shortname: str = "") -> list[Rehearsal]:
    """Return rehearsals, newest first."""
    chosen = Rehearsal.objects.all()
    if codebase:
        chosen = chosen.filter(codebase=codebase)
    if shortname:
        chosen = chosen.filter(shortname=shortname)
    return list(chosen.order_by("-created_at")[:limit])


def to(target_hash: str) -> list[Rehearsal]:
    """Return what is known of the way to a tree: each site's newest verdict from each source."""
    newest: dict[tuple[str, str], Rehearsal] = {}
    rows = Rehearsal.objects.filter(target_hash=target_hash, state__in=JUDGED)
    for row in rows.order_by("-created_at").defer("touched", "components", "steps"):
        newest.setdefault((row.site_key, row.source_hash), row)
    return list(newest.values())


def noted(row: Rehearsal, **facts: Any) -> None:
    """Keep what was found while it is under way."""
    for name, value in facts.items():
        setattr(row, name, value)
    row.save(update_fields=list(facts))


def passed(row: Rehearsal, facts: Mapping[str, Any]) -> None:
    """The copy was upgraded, and served."""
    _end(row, RehearsalState.PASSED, None, facts)


def failed(row: Rehearsal, error: VMoodleError, facts: Mapping[str, Any]) -> None:
    """The upgrade went wrong on the copy."""
    _end(row, RehearsalState.FAILED, error, facts)


def broken_off(row: Rehearsal, error: VMoodleError, facts: Mapping[str, Any]) -> None:
    """It was not carried to an end; nothing is said of the upgrade."""
    _end(row, RehearsalState.BROKEN_OFF, error, facts)


def cancelled(row: Rehearsal) -> None:
    """Somebody stopped it."""
    _end(row, RehearsalState.CANCELLED, None, {})


def _end(
    row: Rehearsal, state: RehearsalState, error: VMoodleError | None, facts: Mapping[str, Any]
) -> None:
    for name, value in facts.items():
        setattr(row, name, value)
    row.state, row.finished_at = state, timezone.now()
    row.error_code = error.code if error else ""
    row.error_message = error.message if error else ""
    row.error_hint = error.hint if error else ""
    row.save()
