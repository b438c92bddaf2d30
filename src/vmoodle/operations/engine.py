"""The DBOS adapter: makes operations durable and resumes them after a crash.

DBOS keeps, for each operation's attempt, which steps have ended (its own SQLite file, or the schema
`dbos` of the registry's PostgreSQL). The node's name is the executor's id and the application
version never changes, so whoever executes next on this node, of whatever release, goes on where the
last one stopped.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from datetime import timedelta
from typing import TYPE_CHECKING

from dbos import DBOS, DBOSConfig, SetWorkflowID
from django.db import connections
from django.utils import timezone

from vmoodle.errors import NeedsAttention
from vmoodle.operations.log import log_to, make_private
from vmoodle.operations.plan import Kinds
from vmoodle.operations.scratch import sweep
from vmoodle.operations.workflow import CANCELLED, DONE, GO_BACK, STUCK, Runner
from vmoodle.registry import operations
from vmoodle.registry.models import ACTIVE_STATES, Operation

if TYPE_CHECKING:
    from vmoodle.installation import Installation

APPLICATION_VERSION = "operations-1"
# How often DBOS looks for messages, of which we send none, and how long it takes to close.
_LOOK_SECONDS, _IDLE_LOOK_SECONDS = 0.05, 1.0
BROKEN_LOOK_SECONDS = 1.0
# For so long an operation in the background lets others go first.
PATIENCE = timedelta(minutes=1)
_HEALTHY = {"PENDING", "ENQUEUED", "SUCCESS"}

_runner: Runner | None = None


def _current() -> Runner:
    if _runner is None:
        raise RuntimeError("the executor is not open")
    return _runner


@DBOS.step(name="plan")
def _plan(operation_id: str) -> list[str]:
    return _current().plan(operation_id)


@DBOS.step(name="forwards")
def _forwards(operation_id: str, step: str, index: int) -> str:
    return _current().forwards(operation_id, step, index)


@DBOS.step(name="backwards")
def _backwards(operation_id: str, step: str) -> str:
    return _current().backwards(operation_id, step)


@DBOS.step(name="entered")
def _entered(operation_id: str) -> int:
    return _current().entered(operation_id)


@DBOS.step(name="close")
def _close(operation_id: str, outcome: str) -> str:
    # An executor that ends as soon as the registry says so leaves this step to be done again, when
    # a person may have decided already.
    return _current().close(operation_id, outcome, _attempt_of(str(DBOS.workflow_id)))


@DBOS.workflow(name="operation")
def _operation(operation_id: str, backwards: bool) -> str:
    """One attempt of an operation, all its steps in order, or what was made taken back."""
    try:
        plan = _plan(operation_id)
        outcome = GO_BACK if backwards else DONE
        if not backwards:
            for index, step in enumerate(plan):
                outcome = _forwards(operation_id, step, index)
                if outcome != DONE:
                    break
        if outcome in {GO_BACK, CANCELLED}:
            entered = _entered(operation_id)
            for step in reversed(plan[:entered]):
                if _backwards(operation_id, step) == STUCK:
                    outcome = STUCK
                    break
        return _close(operation_id, outcome)
    finally:
        connections.close_all()


class Executor:
    """Executes the node's operations while it is open. The caller holds the node's lock.

    One that `stays` open for long costs less while nothing is to be done, and closes in a second.
    `tell` is called with each operation that begins, is gone on with or has ended, as it is then.
    """

    def __init__(
        self,
        installation: Installation,
        kinds: Kinds,
        *,
        stays: bool = False,
        tell: Callable[[Operation], object] = lambda _operation: None,
    ) -> None:
        global _runner  # noqa: PLW0603  # DBOS registers workflows by function, once per process
        self._node = installation.node
        self._kinds = kinds
        self._limit = installation.settings.operations.concurrency
        self._started: set[str] = set()
        self._tell = tell
        self._next_look = 0.0
        sweep(installation.home.run, lambda name: bool(operations.under_way_with(scratch=name)))
        installation.host_map.sweep()
        _runner = Runner(installation, kinds)
        if not installation.settings.registry.url:
            make_private(installation.home.operations_file)
        log_to(installation.home.log / "operations.log", "dbos", "vmoodle")
        try:
            DBOS(
                config=DBOSConfig(
                    name="vmoodle",
                    system_database_url=installation.operations_url(),
                    application_version=APPLICATION_VERSION,
                    executor_id=self._node,
                    notification_listener_polling_interval_sec=(
                        _IDLE_LOOK_SECONDS if stays else _LOOK_SECONDS
                    ),
                    console_log_level="CRITICAL",
                    enable_otlp=False,
                )
            )
            DBOS.launch()
        except BaseException:
            # An interrupt that lands here: nothing half-open stays behind for the next try.
            DBOS.destroy()
            raise

    def pull(self, *, all_but_background: Collection[str] = ()) -> int:
        """Start waiting operations up to the limit; return how many are under way.

        Those of a kind that runs in the background begin when nobody waits for another one, or
        when they have waited long. With the ids of operations, none of them but those begins.
        """
        waiting = self._in_turn(operations.waiting(self._node), all_but_background)
        self._let_go(self._started - {_workflow_id(operation) for operation in waiting})
        for operation in waiting:
            workflow_id = _workflow_id(operation)
            if workflow_id in self._started or len(self._started) >= self._limit:
                continue
            status = DBOS.get_workflow_status(workflow_id)
            if status is None:
                with SetWorkflowID(workflow_id):
                    DBOS.start_workflow(_operation, operation.id, operation.backwards)
            # Not before: what could not be started is to be started the next time.
            self._started.add(workflow_id)
            self._tell(operation)
        self._surrender_broken()
        return len(self._started)

    def _let_go(self, workflow_ids: set[str]) -> None:
        """Count no longer what has ended."""
        ended = operations.rows([_operation_of(one) for one in sorted(workflow_ids)])
        self._started -= workflow_ids
        for operation in ended:
            # One that is retried already is told of when it begins again.
            if operation.state not in ACTIVE_STATES:
                self._tell(operation)

    def _in_turn(
        self, waiting: list[Operation], all_but_background: Collection[str]
    ) -> list[Operation]:
        """Leave out the operations in the background whose turn has not come."""
        busy = any(not self._kinds[operation.kind].background for operation in waiting)
        long_ago = timezone.now() - PATIENCE

        def has_turn(operation: Operation) -> bool:
            if not self._kinds[operation.kind].background or operation.id in all_but_background:
                return True
            if _workflow_id(operation) in self._started:
                return True
            return not all_but_background and (not busy or operation.created_at < long_ago)

        return [operation for operation in waiting if has_turn(operation)]

    def _surrender_broken(self) -> None:
        """Hand an operation whose workflow itself broke (never a step) to a person."""
        if time.monotonic() < self._next_look:
            return
        self._next_look = time.monotonic() + BROKEN_LOOK_SECONDS
        for workflow_id in self._started:
            status = DBOS.get_workflow_status(workflow_id)
            if status is not None and status.status not in _HEALTHY:
                operation_id = _operation_of(workflow_id)
                operations.failed(
                    operation_id,
                    NeedsAttention(
                        "operation.internal",
                        f"The durable engine gave the operation up ({status.status}).",
                        "log/operations.log in the home has the details.",
                    ),
                )
                _current().close(operation_id, STUCK)

    def close(self) -> None:
        """Stop executing; what is under way is resumed by the next executor."""
        DBOS.destroy()


def _workflow_id(operation: Operation) -> str:
    return f"{operation.id}.{operation.attempt}"


def _operation_of(workflow_id: str) -> str:
    return workflow_id.rpartition(".")[0]


def _attempt_of(workflow_id: str) -> int:
    return int(workflow_id.rpartition(".")[2])
