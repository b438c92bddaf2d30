"""How an ended operation is told: nothing when it is done, its error otherwise."""

from __future__ import annotations

from vmoodle.errors import Failed, NeedsAttention
from vmoodle.operations.decide import choices
from vmoodle.operations.plan import Kinds
from vmoodle.registry.models import Operation, OperationState


def raise_its_error(operation: Operation, kinds: Kinds) -> None:
    """Raise what an ended operation failed with; nothing when it is done."""
    if operation.state == OperationState.DONE:
        return
    reverted = kinds[operation.kind].when_reverted
    if operation.state == OperationState.CANCELLED:
        raise Failed(
            "operation.cancelled",
            f"Operation {operation.id} was cancelled. {reverted}",
            f"vmoodle operation show {operation.id}",
        )
    if operation.state == OperationState.ATTENTION:
        raise NeedsAttention(
            operation.error_code or "operation.attention",
            f"In the step '{operation.step}': {operation.error_message} It could not be taken "
            "back either.",
            f"{operation.error_hint} Then: {', or '.join(choices(kinds, operation))}".strip(),
        )
    raise Failed(
        operation.error_code or "operation.failed",
        f"In the step '{operation.step}': {operation.error_message} {reverted}",
        operation.error_hint or f"vmoodle operation show {operation.id}",
    )
