"""How an operation runs: forwards step by step, backwards last step first, told to the registry.

Nothing here knows DBOS. `engine.py` makes each call of `forwards`, `backwards` and `close` a
durable step, so after a crash the calls that had ended are not made again.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from vmoodle.errors import Failed, NeedsAttention, VMoodleError
from vmoodle.operations import site_cron
from vmoodle.operations.plan import Kinds, OperationKind, Step, StepContext
from vmoodle.registry import operations
from vmoodle.registry.models import Operation, OperationState

if TYPE_CHECKING:
    from vmoodle.installation import Installation

log = logging.getLogger("vmoodle.operations")

DONE = "done"
GO_BACK = "go back"
CANCELLED = "cancelled"
STUCK = "stuck"


def _no_way_back(operation: Operation, step: Step) -> VMoodleError:
    return NeedsAttention(
        "operation.noreturn",
        f"The step '{step.title}' has begun and cannot be taken back.",
        f"Its log tells what happened: vmoodle operation show {operation.id}.",
    )


class Runner:
    """Run the steps of operations of the given kinds on one installation."""

    def __init__(self, installation: Installation, kinds: Kinds) -> None:
        self._installation = installation
        self._kinds = kinds

    def plan(self, operation_id: str) -> list[str]:
        """Return the names of the operation's steps and mark it as running; none if it gave way."""
        operation = Operation.objects.get(id=operation_id)
        names = [step.name for step in self._kinds[operation.kind].steps]
        if not operation.backwards and not operations.started(operation_id, len(names)):
            return []
        return names

    def forwards(self, operation_id: str, step_name: str, index: int) -> str:
        """Do one step. Return DONE, GO_BACK after an error, CANCELLED when it was not begun.

        Once any attempt has begun a step that cannot be taken back, a wish to cancel comes too
        late and is not heard.
        """
        operation = Operation.objects.get(id=operation_id)
        step = self._step(operation, step_name)
        if index == 0 and step.undo is not None:
            # What was reserved when the operation was queued is the first step's to take back.
            operations.entered(operation_id, step_name, 0)
            operations.begun(operation_id, 1)
        if operation.cancel_requested:
            if self._kinds[operation.kind].can_go_back(operation.steps_entered):
                operations.note(operation_id, "cancelled by request", level="warning")
                return CANCELLED
            operations.note(operation_id, "too late to cancel: going on", level="warning")
        operations.begun(operation_id, index + 1)
        operations.entered(operation_id, step_name, index)
        operations.note(operation_id, step.title, step=step_name)
        error = self._attempt(self._first(operation) if index == 0 else step.act, operation, step)
        if error is None:
            operations.entered(operation_id, step_name, index + 1)
            return DONE
        operations.failed(operation_id, error)
        return GO_BACK

    def backwards(self, operation_id: str, step_name: str) -> str:
        """Take one step back. Return DONE, or STUCK where there is no way back."""
        operation = Operation.objects.get(id=operation_id)
        step = self._step(operation, step_name)
        if not operation.backwards:
            operations.turned_back(operation_id)
        if step.undo is None:
            operations.note(operation_id, "cannot be taken back", step=step_name, level="error")
            if not operation.error_code:
                operations.failed(operation_id, _no_way_back(operation, step))
            return STUCK
        error = self._attempt(step.undo, operation, step)
        if error is None:
            operations.note(operation_id, f"{step.title}: taken back", step=step_name)
            return DONE
        if not operation.error_code:
            operations.failed(operation_id, error)
        return STUCK

    def close(self, operation_id: str, outcome: str, attempt: int | None = None) -> str:
        """End an operation; return its last state.

        One whose next attempt is queued by now, or that gave way, is not this attempt's to end.
        """
        operation = Operation.objects.get(id=operation_id)
        if attempt is not None and operation.attempt != attempt:
            return operation.state
        if operation.state == OperationState.CANCELLED:
            return operation.state
        if outcome == STUCK:
            state = OperationState.ATTENTION
            kind = self._kinds[operation.kind]
            step = Step("attention", "needs attention", kind.attention)
            self._attempt(kind.attention, operation, step)
        elif outcome == DONE:
            state = OperationState.DONE
        elif operation.cancel_requested and not operation.error_code:
            state = OperationState.CANCELLED
        else:
            state = OperationState.REVERTED
        if state not in {OperationState.DONE, OperationState.ATTENTION}:
            operations.take_secret(operation_id)
        operations.finished(operation_id, state)
        return str(state)

    def _first(self, operation: Operation) -> Any:
        """Return the first step, before which the cron of the sites concerned ends."""
        kind = self._kinds[operation.kind]
        step = kind.steps[0]

        def act(context: StepContext) -> None:
            beside = kind.beside_cron
            site_cron.end_for(self._installation, operation, context.say, beside=beside)
            step.act(context)

        return act

    def entered(self, operation_id: str) -> int:
        """Return how many steps, from the first, have been begun in any attempt."""
        return Operation.objects.get(id=operation_id).steps_entered

    def _step(self, operation: Operation, name: str) -> Step:
        kind: OperationKind = self._kinds[operation.kind]
        return next(step for step in kind.steps if step.name == name)

    def _attempt(self, function: Any, operation: Operation, step: Step) -> VMoodleError | None:
        error: VMoodleError
        try:
            function(self._context(operation, step))
        except VMoodleError as raised:
            error = raised
        except Exception as raised:
            log.exception("operation %s, step %s", operation.id, step.name)
            error = Failed(
                "operation.internal",
                f"The step '{step.title}' met an error VMoodle did not foresee "
                f"({type(raised).__name__}).",
                "The log in the home has the details (log/operations.log); please report it.",
            )
        else:
            return None
        operations.note(
            operation.id, f"{error.message} [{error.code}]", step=step.name, level="error"
        )
        return error

    def _context(self, operation: Operation, step: Step) -> StepContext:
        def say(message: str) -> None:
            operations.note(operation.id, message, step=step.name)

        def keep(members: Mapping[str, Any]) -> None:
            operations.keep_result(operation.id, members)

        return StepContext(
            installation=self._installation,
            operation_id=operation.id,
            subject=operation.subject,
            parameters=operation.parameters,
            say=say,
            keep=keep,
        )
