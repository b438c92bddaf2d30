"""Do something on many sites at once, so that none that fails or is slow holds the others.

Jobs run in threads; how many do is bounded, for this node and for each database server. A job that
does not come back in time is given up: its thread is left with it, and another one takes its place.
What it still brings is heard where that is asked for. Jobs stand in lanes, one for each database
server, and are taken from them as they are needed, so that ten thousand take no more memory than a
few.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

from vmoodle.errors import Unavailable, VMoodleError
from vmoodle.fleet.unforeseen import unforeseen

log = logging.getLogger("vmoodle.fleet")

T = TypeVar("T")
LOOK_SECONDS = 0.1
"""How often it is looked whether to stop, and whether a job's time is over."""


@dataclass(frozen=True)
class Job(Generic[T]):
    """What is to be done on one site."""

    key: str
    act: Callable[[], T]


@dataclass(frozen=True)
class Ended(Generic[T]):
    """How a job ended: with a value or with an error; `given_up` when it was not waited for.

    What was given up may come once more, as it did end.
    """

    key: str
    value: T | None
    error: VMoodleError | None
    seconds: float
    given_up: bool = False


@dataclass(frozen=True)
class Bounds:
    """How many jobs run at the same time, and for how many seconds one is waited for."""

    together: int
    per_server: int
    seconds: float


def fan_out(
    lanes: Mapping[int, Iterable[Job[T]]],
    bounds: Bounds,
    *,
    begin: Callable[[list[Job[T]]], list[Job[T]]] = lambda jobs: jobs,
    stopped: Callable[[], bool] = lambda: False,
    leave: bool = False,
    late: bool = False,
) -> Iterator[list[Ended[T]]]:
    """Give what ended, in lists, until all has; in the thread of the caller, who may take his time.

    `begin` is called with jobs just before they are begun and returns those that are to be, or what
    is to be done in their place. When `stopped` says so no further job is begun; those under way
    are waited for, or left with `leave`. With `late` the end of a job that was given up is given
    too: the last of them are waited for as long again, unless it is stopped.
    """
    return _FanOut(lanes, bounds, begin, stopped, leave=leave, late=late).run()


class _FanOut(Generic[T]):
    def __init__(
        self,
        lanes: Mapping[int, Iterable[Job[T]]],
        bounds: Bounds,
        begin: Callable[[list[Job[T]]], list[Job[T]]],
        stopped: Callable[[], bool],
        *,
        leave: bool,
        late: bool,
    ) -> None:
        self._lanes = {server: iter(jobs) for server, jobs in lanes.items()}
        self._per_server = dict.fromkeys(lanes, 0)
        self._bounds = bounds
        self._begin = begin
        self._stopped = stopped
        self._leave = leave
        self._late = late
        self._late_until = 0.0
        self._under_way: dict[str, tuple[int, float]] = {}
        self._tasks: SimpleQueue[Job[T] | None] = SimpleQueue()
        self._threads = 0
        self._stuck = 0
        self._came: SimpleQueue[Ended[T]] = SimpleQueue()

    def run(self) -> Iterator[list[Ended[T]]]:
        """Give what ended, until all has or it is stopped; then let the threads go."""
        try:
            yield from self._run()
        finally:
            for _thread in range(self._threads):
                self._tasks.put(None)

    def _run(self) -> Iterator[list[Ended[T]]]:
        next_look = 0.0
        stop = False
        while True:
            if time.monotonic() >= next_look:
                stop = stop or self._stopped()
                next_look = time.monotonic() + LOOK_SECONDS
            if not stop:
                self._start()
            if (not self._under_way or (stop and self._leave)) and not self._waits_for_late(stop):
                return
            if ended := self._collect():
                yield ended

    def _waits_for_late(self, stop: bool) -> bool:
        return self._late and not stop and self._stuck > 0 and time.monotonic() < self._late_until

    def _start(self) -> None:
        """Begin as many jobs as the bounds allow."""
        while chosen := self._next_batch():
            begun = {job.key: job for job in self._begin([job for _server, job in chosen])}
            for server, taken in chosen:
                job = begun.get(taken.key)
                if job is None:
                    self._per_server[server] -= 1
                    continue
                self._under_way[job.key] = (server, time.monotonic())
                if len(self._under_way) + self._stuck > self._threads:
                    self._threads += 1
                    threading.Thread(target=self._work, daemon=True).start()
                self._tasks.put(job)

    def _next_batch(self) -> list[tuple[int, Job[T]]]:
        """Take one job from each lane in turn, as long as the bounds allow."""
        chosen: list[tuple[int, Job[T]]] = []
        free = self._bounds.together - len(self._under_way)
        open_lanes = list(self._lanes)
        while open_lanes and len(chosen) < free:
            for server in list(open_lanes):
                full = self._per_server[server] >= self._bounds.per_server
                job = None if full else next(self._lanes[server], None)
                if job is None:
                    open_lanes.remove(server)
                    continue
                self._per_server[server] += 1
                chosen.append((server, job))
                if len(chosen) == free:
                    break
        return chosen

    def _work(self) -> None:
        while (job := self._tasks.get()) is not None:
            self._do(job)

    def _do(self, job: Job[T]) -> None:
        began = time.monotonic()
        value: T | None = None
        error: VMoodleError | None = None
        try:
            value = job.act()
        except VMoodleError as raised:
            error = raised
        except BaseException as raised:
            log.exception("on %s", job.key)
            error = unforeseen(raised)
        self._came.put(Ended(job.key, value, error, time.monotonic() - began))

    def _collect(self) -> list[Ended[T]]:
        """Return what has ended by now; wait a moment for the first."""
        came: list[Ended[T]] = []
        try:
            came.append(self._came.get(timeout=LOOK_SECONDS))
            while True:
                came.append(self._came.get_nowait())
        except Empty:
            pass
        ended = []
        for one in came:
            if entry := self._under_way.pop(one.key, None):
                self._per_server[entry[0]] -= 1
                ended.append(one)
            else:  # it was given up before
                self._stuck -= 1
                if self._late:
                    ended.append(one)
        return ended + self._give_up()

    def _give_up(self) -> list[Ended[T]]:
        now = time.monotonic()
        late = [
            key
            for key, (_server, began) in self._under_way.items()
            if now - began > self._bounds.seconds
        ]
        ended: list[Ended[T]] = []
        for key in late:
            server, began = self._under_way.pop(key)
            self._per_server[server] -= 1
            self._stuck += 1
            self._late_until = now + self._bounds.seconds
            error = Unavailable(
                "run.timeout",
                f"It did not end within {self._bounds.seconds:g} seconds and is not waited for.",
                "Allow it more time, or look at the site's database server.",
            )
            ended.append(Ended(key, None, error, now - began, given_up=True))
        return ended
