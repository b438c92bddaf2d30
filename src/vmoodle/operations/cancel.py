"""Ask an operation to stop, as long as it can still be taken back."""

from __future__ import annotations

from vmoodle.errors import Conflict
from vmoodle.operations.plan import Kinds
from vmoodle.registry import operations
from vmoodle.registry.models import Operation


def cancel(kinds: Kinds, operation_id: str) -> Operation:
    """Ask an operation, found by its id or the beginning, to stop after its step.

    Raise NotFound, and Conflict when it has ended or has begun what cannot be taken back. One that
    begins such a step meanwhile goes on to its end.
    """
    row = operations.find(operation_id)
    under_way = not operations.is_finished(row.id)
    if under_way and not kinds[row.kind].can_go_back(row.steps_entered):
        raise Conflict(
            "operation.cancel.late",
            f"Operation {row.id} has begun what cannot be taken back; it cannot be cancelled.",
            f"Let it go on to its end: vmoodle operation follow {row.id}",
        )
    return operations.cancel(row.id)
