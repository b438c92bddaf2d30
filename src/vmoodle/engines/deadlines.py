"""Do something when a block takes too long: one thread watches over all blocks of the process.

A thread for each would be a tenth of what a site takes that is asked one thing.
"""

from __future__ import annotations

import logging
import math
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

log = logging.getLogger("vmoodle.engines")


class _Watch:
    """A thread and what it is to do when; it is started with the first."""

    def __init__(self) -> None:
        self.start_anew()

    def start_anew(self) -> None:
        """Begin with nothing to do, and without the parent's thread, which no fork takes along."""
        self._changed = threading.Condition()
        self._due: dict[object, tuple[float, Callable[[], None]]] = {}
        self._wakes_at = math.inf
        self._started = False

    def add(self, seconds: float, act: Callable[[], None]) -> object:
        """Have something done after so many seconds; return what takes that back."""
        key, at = object(), time.monotonic() + seconds
        with self._changed:
            self._due[key] = (at, act)
            if not self._started:
                self._started = True
                threading.Thread(target=self._run, name="deadlines", daemon=True).start()
            elif at < self._wakes_at:
                self._changed.notify()
        return key

    def remove(self, key: object) -> None:
        """Take it back: once this has returned it is not done any more."""
        with self._changed:
            self._due.pop(key, None)

    def _run(self) -> None:
        with self._changed:
            while True:
                now = time.monotonic()
                for key in [key for key, (at, _act) in self._due.items() if at <= now]:
                    _do(self._due.pop(key)[1])
                self._wakes_at = min((at for at, _act in self._due.values()), default=math.inf)
                self._changed.wait(None if self._wakes_at == math.inf else self._wakes_at - now)


def _do(act: Callable[[], None]) -> None:
    try:
        act()
    except Exception:
        log.exception("at a deadline")


@contextmanager
def later(seconds: float, act: Callable[[], None]) -> Iterator[None]:
    """Do `act`, which must be quick, when the block has not ended after so many seconds."""
    key = _watch.add(seconds, act)
    try:
        yield
    finally:
        _watch.remove(key)


_watch = _Watch()
os.register_at_fork(after_in_child=_watch.start_anew)
