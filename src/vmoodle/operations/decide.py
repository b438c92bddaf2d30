"""Decide about an operation that needs attention: go on, or take it back where that can be."""

from __future__ import annotations

from vmoodle.errors import Conflict
from vmoodle.operations.plan import Kinds
from vmoodle.registry import operations
from vmoodle.registry.models import Operation, OperationState


def retry(operation_id: str) -> Operation:
    """Queue a new attempt of an operation, found by its id or the beginning.

    Raise NotFound, and Conflict when it does not need attention.
    """
    row = operations.find(operation_id)
    operations.queue_again(row.id, backwards=False)
    return row


def revert(kinds: Kinds, operation_id: str) -> Operation:
    """Queue the way back of an operation, found by its id or the beginning.

    Raise NotFound, and Conflict when it does not need attention or when any attempt has begun what
    cannot be taken back; the operation is unchanged then.
    """
    row = operations.find(operation_id)
    if row.state == OperationState.ATTENTION and not _can_go_back(kinds, row):
        raise Conflict(
            "operation.revert.late",
            f"Operation {row.id} has begun what cannot be taken back; it cannot be reverted.",
            f"Mend what it names, then go on with it: vmoodle operation retry {row.id}",
        )
    operations.queue_again(row.id, backwards=True)
    return row


def choices(kinds: Kinds, row: Operation) -> list[str]:
    """Return the commands between which a person chooses; none when it needs no attention."""
    if row.state != OperationState.ATTENTION:
        return []
    commands = [f"vmoodle operation retry {row.id}"]
    if _can_go_back(kinds, row):
        commands.append(f"vmoodle operation revert {row.id}")
    return commands


def _can_go_back(kinds: Kinds, row: Operation) -> bool:
    kind = kinds.get(row.kind)
    return kind is not None and kind.can_go_back(row.steps_entered)
