"""Carry an operation to its end: execute it here when the node is free, follow it otherwise."""

from __future__ import annotations

import importlib
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from vmoodle.operations.node import NodeLock
from vmoodle.operations.plan import Kinds
from vmoodle.registry import operations
from vmoodle.registry.changes import Changes
from vmoodle.registry.models import Operation, OperationEvent

if TYPE_CHECKING:
    from vmoodle.installation import Installation
    from vmoodle.operations.engine import Executor

POLL_SECONDS = 0.02

Watcher = Callable[[Operation, list[OperationEvent]], None]


def follow(
    installation: Installation, kinds: Kinds, operation_id: str, watch: Watcher
) -> Operation:
    """Wait until the operation has ended and return it; call `watch` with what is new meanwhile.

    Where no other process of this node executes operations this one does, and stays until the
    node's other waiting operations have ended too. An interrupt (Ctrl-C) asks for cancellation; a
    second one leaves at once, and the next executor goes on.
    """
    lock = NodeLock(installation.home.run)
    executor: Executor | None = None
    last_event = 0
    interrupted = False
    changes = Changes()
    try:
        while True:
            try:
                if executor is None and lock.try_acquire():
                    executor = _open(installation, kinds)
                    changes = Changes()
                if not changes.any():
                    time.sleep(POLL_SECONDS)
                    continue
                busy = executor.pull(all_but_background=operation_id) if executor else 0
                last_event = _tell(operation_id, last_event, watch)
                if operations.is_finished(operation_id) and not busy:
                    _tell(operation_id, last_event, watch)
                    return Operation.objects.get(id=operation_id)
            except KeyboardInterrupt:
                if interrupted:
                    raise
                interrupted = True
                operations.request_cancel(operation_id)
    finally:
        if executor:
            executor.close()
        lock.release()


def warm_up(installation: Installation) -> None:
    """Import the durable engine's library (0.4 s) beside what the caller does next.

    Not where another process of this node executes: then it is not needed.
    """
    if NodeLock(installation.home.run).holder() is None:
        threading.Thread(target=importlib.import_module, args=("dbos",), daemon=True).start()


def work(installation: Installation, kinds: Kinds, *, until_idle: bool = False) -> bool:
    """Execute the node's operations until interrupted, or until none waits.

    Return False when another process of this node executes already.
    """
    lock = NodeLock(installation.home.run)
    if not lock.try_acquire():
        return False
    executor: Executor | None = None
    try:
        executor = _open(installation, kinds, stays=not until_idle)
        changes = Changes()
        while True:
            if changes.any() and not executor.pull() and until_idle:
                return True
            time.sleep(POLL_SECONDS)
    finally:
        if executor:
            executor.close()
        lock.release()


def _open(installation: Installation, kinds: Kinds, *, stays: bool = False) -> Executor:
    from vmoodle.operations.engine import Executor

    return Executor(installation, kinds, stays=stays)


def _tell(operation_id: str, last_event: int, watch: Watcher) -> int:
    events = operations.events_after(operation_id, last_event)
    watch(Operation.objects.get(id=operation_id), events)
    return events[-1].id if events else last_event
