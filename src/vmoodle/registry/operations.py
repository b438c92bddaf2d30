"""Operations in the registry: every change of their state is one function here."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone

from vmoodle.errors import Conflict, NotFound, VMoodleError
from vmoodle.registry.audit import current_actor
from vmoodle.registry.changing import one_at_a_time, refuse_changing
from vmoodle.registry.models import (
    ACTIVE_STATES,
    HOLDING_STATES,
    Operation,
    OperationEvent,
    OperationState,
    state_words,
)
from vmoodle.registry.source_names import parse_source
from vmoodle.registry.text import error_columns, storable, storable_members


def submit(
    kind: str,
    *,
    site: str = "",
    parameters: dict[str, Any] | None = None,
    node: str,
    secret_encrypted: str = "",
    settings_encrypted: str = "",
) -> Operation:
    """Queue an operation. Raise Conflict when another one holds the site, or a run changes it."""
    # The holder may have ended before it is looked for: then the site is free by now.
    for _attempt in range(2):
        try:
            with transaction.atomic():
                one_at_a_time([site])
                row = Operation.objects.create(
                    id=uuid.uuid4().hex[:12],
                    kind=kind,
                    subject=site,
                    parameters=parameters or {},
                    secret_encrypted=secret_encrypted,
                    settings_encrypted=settings_encrypted,
                    actor=current_actor(),
                    node=node,
                    state=OperationState.QUEUED,
                )
                # In this order: a run marks its sites first and looks for operations then.
                refuse_changing(site)
                return row
        except IntegrityError:
            refuse_held(site)
    raise Conflict(
        "operation.site.busy",
        f"{site} is held by one short operation after another.",
        "Run the command again.",
    )


def refuse_held(subject: str) -> None:
    """Raise Conflict when an operation holds a site or a template."""
    holder = Operation.objects.filter(subject=subject, state__in=HOLDING_STATES).first()
    if holder is not None:
        raise Conflict(
            "operation.site.busy",
            f"{subject} is held by operation {holder.id} ({holder.kind}, {holder.state}).",
            way_on(holder),
        )


def way_on(holder: Operation) -> str:
    """Return the call that lets an operation end which holds something."""
    if holder.state in ACTIVE_STATES:
        return (
            "Wait for it with this call, which executes it where nobody else does: "
            f"vmoodle operation follow {holder.id}"
        )
    return f"Decide about it first: vmoodle operation show {holder.id}"


def give_way(subject: str, kind: str) -> None:
    """Cancel an operation of a kind on a subject that nobody has begun; one that runs goes on.

    It is called in the transaction that queues what takes its place.
    """
    queued = Operation.objects.filter(
        subject=subject, kind=kind, state=OperationState.QUEUED, steps_entered=0
    )
    for row in queued:
        if queued.filter(id=row.id).update(
            state=OperationState.CANCELLED, finished_at=timezone.now()
        ):
            note(row.id, "cancelled before it began: another operation takes its place")


def find(operation_id: str) -> Operation:
    """Return the operation of an id or of an unambiguous beginning of one; raise NotFound."""
    matches = list(Operation.objects.filter(id__startswith=operation_id)[:2])
    if len(matches) != 1 or not operation_id:
        raise NotFound(
            "operation.unknown",
            f"There is no operation {operation_id!r}."
            if not matches
            else f"More than one operation begins with {operation_id!r}.",
            "`vmoodle operation list` shows them.",
        )
    return matches[0]


def recent(limit: int = 50, *, site: str = "", active: bool = False) -> list[Operation]:
    """Return operations, newest first."""
    chosen = Operation.objects.all()
    if site:
        chosen = chosen.filter(subject=site)
    if active:
        chosen = chosen.filter(state__in=HOLDING_STATES)
    return list(chosen.order_by("-created_at")[:limit])


def under_way_with(**parameters: str) -> list[Operation]:
    """Return the operations that have not ended and were given these parameters."""
    wanted = {f"parameters__{key}": value for key, value in parameters.items()}
    return list(Operation.objects.filter(state__in=HOLDING_STATES, **wanted))


def held() -> set[str]:
    """Return every site, template and so on that an operation holds which has not ended."""
    rows = Operation.objects.filter(state__in=HOLDING_STATES).exclude(subject="")
    return set(rows.values_list("subject", flat=True))


def given(parameter: str) -> list[str]:
    """Return what operations that have not ended were given as a parameter, where they have it."""
    rows = Operation.objects.filter(
        state__in=HOLDING_STATES, parameters__has_key=parameter
    ).values_list("parameters", flat=True)
    return [str(parameters[parameter]) for parameters in rows]


def under_way_on(subject: str, kind: str) -> Operation | None:
    """Return the operation of a kind that is queued or running on a site or template."""
    rows = Operation.objects.filter(
        subject=subject,
        kind=kind,
        state__in=(OperationState.QUEUED, OperationState.RUNNING),
        cancel_requested=False,
    )
    return rows.first()


def refuse_used(source: str) -> None:
    """Raise Conflict when something is being made from a source (`site:A`, `template:T`).

    It is looked at in the transaction that queues what would change the source.
    """
    users = under_way_with(source=source)
    if users:
        kind, name = parse_source(source)
        raise Conflict(
            f"{kind}.used",
            f"{len(users)} operation(s) make something from the {kind} {name}: "
            + ", ".join(row.id for row in users),
            "Let them end first: vmoodle operation list --active",
        )


def waiting(node: str) -> list[Operation]:
    """Return the node's operations that are to be executed, oldest first."""
    found = Operation.objects.filter(node=node, state__in=ACTIVE_STATES).order_by("created_at")
    # Looked at often: what a step is given is read when it begins.
    return list(found.defer("parameters", "result", "secret_encrypted"))


def rows(operation_ids: Sequence[str]) -> list[Operation]:
    """Return the operations of these ids, in their order; an unknown one is left out."""
    found = Operation.objects.filter(id__in=operation_ids).in_bulk()
    return [found[one] for one in operation_ids if one in found]


def is_finished(operation_id: str) -> bool:
    """Tell whether nothing more happens by itself to an operation."""
    return not Operation.objects.filter(id=operation_id, state__in=ACTIVE_STATES).exists()


def started(operation_id: str, steps_total: int) -> bool:
    """Mark a queued operation as running forwards; return False for one that gave way by now."""
    changed = (
        Operation.objects.filter(id=operation_id)
        .exclude(state=OperationState.CANCELLED)
        .update(state=OperationState.RUNNING, started_at=timezone.now(), steps_total=steps_total)
    )
    return bool(changed)


def entered(operation_id: str, step: str, steps_done: int) -> None:
    """Note the step an operation is in."""
    Operation.objects.filter(id=operation_id).update(step=step, steps_done=steps_done)


def begun(operation_id: str, steps: int) -> None:
    """Note that so many steps, from the first, have been begun; never fewer than before."""
    Operation.objects.filter(id=operation_id, steps_entered__lt=steps).update(steps_entered=steps)


def failed(operation_id: str, error: VMoodleError) -> None:
    """Keep the first error of an operation; what is done about it is another call."""
    Operation.objects.filter(id=operation_id, error_code="").update(**error_columns(error))


def keep_result(operation_id: str, members: Mapping[str, Any]) -> None:
    """Add members to what came of an operation."""
    with transaction.atomic():
        row = Operation.objects.get(id=operation_id)
        result = {**row.result, **storable_members(members)}
        Operation.objects.filter(id=operation_id).update(result=result)


def turned_back(operation_id: str) -> None:
    """Mark an operation as being undone."""
    Operation.objects.filter(id=operation_id).update(state=OperationState.REVERTING, backwards=True)


def finished(operation_id: str, state: OperationState) -> None:
    """End an operation in one of the states that last; what it was to write is forgotten.

    One that needs attention may be tried again and keeps it.
    """
    changes = {"state": state, "finished_at": timezone.now()}
    if state != OperationState.ATTENTION:
        changes["settings_encrypted"] = ""
    Operation.objects.filter(id=operation_id).update(**changes)


def request_cancel(operation_id: str) -> None:
    """Ask for an operation to stop; it is honoured between two steps."""
    Operation.objects.filter(id=operation_id, state__in=ACTIVE_STATES).update(cancel_requested=True)


def queue_again(operation_id: str, *, backwards: bool) -> None:
    """Queue a new attempt of an operation that needs attention, forwards or backwards."""
    changed = Operation.objects.filter(id=operation_id, state=OperationState.ATTENTION).update(
        state=OperationState.REVERTING if backwards else OperationState.QUEUED,
        backwards=backwards,
        cancel_requested=False,
        finished_at=None,
        error_code="",
        error_message="",
        error_hint="",
        attempt=Operation.objects.get(id=operation_id).attempt + 1,
    )
    if not changed:
        state = Operation.objects.get(id=operation_id).state
        raise Conflict(
            "operation.state",
            f"Operation {operation_id} {state_words(state)}; only one that needs attention can be "
            "retried or reverted.",
            "Run the command that made it again." if state != "running" else "Let it end first.",
        )


def cancel(operation_id: str) -> Operation:
    """Ask an operation, found by its id or the beginning, to stop after its step.

    Raise NotFound, and Conflict when it has ended.
    """
    row = find(operation_id)
    if is_finished(row.id):
        raise Conflict(
            "operation.state",
            f"Operation {row.id} {state_words(row.state)}; there is nothing to cancel.",
            f"vmoodle operation show {row.id}",
        )
    request_cancel(row.id)
    return find(row.id)


def ended_since(node: str, moment: datetime) -> list[Operation]:
    """Return the node's operations that have ended since a moment, oldest first."""
    ended = Operation.objects.filter(node=node, finished_at__gte=moment)
    return list(ended.order_by("finished_at"))


def note(operation_id: str, message: str, *, step: str = "", level: str = "info") -> None:
    """Append a line to an operation's log."""
    OperationEvent.objects.create(
        operation_id=operation_id, message=storable(message), step=step, level=level
    )


def events_after(operation_id: str, last_id: int) -> list[OperationEvent]:
    """Return the log lines of an operation that came after the event `last_id`, in order."""
    return list(
        OperationEvent.objects.filter(operation_id=operation_id, id__gt=last_id).order_by("id")
    )


def take_secret(operation_id: str) -> str:
    """Return the encrypted one-time secret of an operation and forget it."""
    with transaction.atomic():
        operation = Operation.objects.get(id=operation_id)
        token = operation.secret_encrypted
        Operation.objects.filter(id=operation_id).update(secret_encrypted="")
    return token
