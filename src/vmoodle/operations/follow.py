"""Carry an operation to its end: execute it here when the node is free, follow it otherwise."""

from __future__ import annotations

import importlib
import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from django.db import connection

from vmoodle.operations.node import NodeLock
from vmoodle.operations.plan import Kinds
from vmoodle.registry import operations
from vmoodle.registry.changes import Changes
from vmoodle.registry.models import (
    ACTIVE_STATES,
    Operation,
    OperationEvent,
    OperationState,
)

if TYPE_CHECKING:
    from vmoodle.installation import Installation
    from vmoodle.operations.engine import Executor

log = logging.getLogger("vmoodle.operations")

POLL_SECONDS = 0.02
SCHEDULE_SECONDS = 5.0
"""How often a worker looks whether something is due."""

AFTER_FAULT_SECONDS = 5.0
"""How long a worker waits after what it did not foresee, before it goes on."""

SILENT_SECONDS = 3.0
"""How long an operation may wait behind others before it is said."""


def tell_nobody(_operation: Operation) -> None:
    """Tell of an operation where nobody listens."""


Watcher = Callable[[Operation, list[OperationEvent]], None]


def follow(
    installation: Installation, kinds: Kinds, operation_id: str, watch: Watcher
) -> Operation:
    """Wait until the operation has ended and return it; as `follow_all`."""
    return follow_all(installation, kinds, [operation_id], watch)[0]


def follow_all(
    installation: Installation,
    kinds: Kinds,
    operation_ids: Sequence[str],
    watch: Watcher,
    waits: Callable[[int], object] = lambda _executor: None,
) -> list[Operation]:
    """Wait until the operations have ended, return them; call `watch` with what is new meanwhile.

    `waits` is called once, with the process that executes, when none of them has begun after some
    seconds. Where no other process of this node executes operations this one does, and stays until
    the node's other waiting operations have ended too. An interrupt (Ctrl-C) asks for the
    cancellation of all; a second one leaves at once, and the next executor goes on.
    """
    lock = NodeLock(installation.home.run)
    executor: Executor | None = None
    followed = _Followed(operation_ids, watch)
    interrupted = False
    changes = Changes()
    told_at = time.monotonic() + SILENT_SECONDS
    try:
        while True:
            try:
                if time.monotonic() > told_at:
                    told_at = float("inf")
                    _tell_of_waiting(lock, operation_ids, waits)
                if executor is None and lock.try_acquire():
                    executor = _open(installation, kinds)
                    changes = Changes()
                if not changes.any():
                    time.sleep(POLL_SECONDS)
                    continue
                busy = executor.pull(all_but_background=operation_ids) if executor else 0
                followed.look()
                if not followed.running and not busy:
                    return [operations.find(one) for one in operation_ids]
            except KeyboardInterrupt:
                if interrupted:
                    raise
                interrupted = True
                for one in followed.running:
                    operations.request_cancel(one)
    finally:
        if executor:
            executor.close()
        lock.release()


class _Followed:
    """Operations that somebody waits for: a look costs by those that run, not by those queued."""

    def __init__(self, operation_ids: Sequence[str], watch: Watcher) -> None:
        self.running = list(operation_ids)
        self._last_event: dict[str, int] = {}
        self._watch = watch

    def look(self) -> None:
        """Tell the watcher what is new, and leave those that have ended."""
        ended = set()
        for row in operations.rows(self.running):
            # What has ended by now has told all it has to tell.
            if row.state not in ACTIVE_STATES:
                ended.add(row.id)
            if row.state == OperationState.QUEUED and row.id in self._last_event:
                continue
            last = self._last_event.setdefault(row.id, 0)
            events = operations.events_after(row.id, last)
            self._watch(row, events)
            if events:
                self._last_event[row.id] = events[-1].id
        self.running = [one for one in self.running if one not in ended]


def _tell_of_waiting(
    lock: NodeLock, operation_ids: Sequence[str], waits: Callable[[int], object]
) -> None:
    queued = Operation.objects.filter(id__in=operation_ids, state=OperationState.QUEUED)
    holder = lock.holder()
    if holder not in {None, os.getpid()} and queued.count() == len(operation_ids):
        waits(holder)


def warm_up(installation: Installation) -> None:
    """Import the durable engine's library (0.4 s) beside what the caller does next.

    Not where another process of this node executes: then it is not needed.
    """
    if NodeLock(installation.home.run).holder() is None:
        threading.Thread(target=importlib.import_module, args=("dbos",), daemon=True).start()


def work(
    installation: Installation,
    kinds: Kinds,
    *,
    until_idle: bool = False,
    order_due: Callable[[], object] = lambda: None,
    begun: Callable[[], object] = lambda: None,
    tell: Callable[[Operation], object] = tell_nobody,
) -> bool:
    """Execute the node's operations until interrupted, or until none waits.

    `order_due` is called at the start and every few seconds: it queues what a schedule wants. An
    error that it or the registry raises is logged, and tried over; with `until_idle` it is raised.
    `begun` is called once when nobody else executes, `tell` with each operation that begins, is
    gone on with or has ended, as it is then. Return False when another process of this node
    executes already.
    """
    lock = NodeLock(installation.home.run)
    if not lock.acquire():
        return False
    executor: Executor | None = None
    try:
        begun()
        executor = _open(installation, kinds, stays=not until_idle, tell=tell)
        changes = Changes()
        next_look = 0.0
        while True:
            try:
                ordered: object = None
                if time.monotonic() >= next_look:
                    next_look = time.monotonic() + SCHEDULE_SECONDS
                    ordered = order_due()
                # What this very process has queued is no change to it.
                if (changes.any() or ordered) and not executor.pull() and until_idle:
                    return True
            except Exception:
                if until_idle:
                    raise
                # A registry that is full or away for a while: a worker is not to end by that.
                log.exception("the worker")
                connection.close()
                changes = Changes()
                time.sleep(AFTER_FAULT_SECONDS)
            time.sleep(POLL_SECONDS)
    finally:
        if executor:
            executor.close()
        lock.release()


def _open(
    installation: Installation,
    kinds: Kinds,
    *,
    stays: bool = False,
    tell: Callable[[Operation], object] = tell_nobody,
) -> Executor:
    from vmoodle.operations.engine import Executor

    return Executor(installation, kinds, stays=stays, tell=tell)
