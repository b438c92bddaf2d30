"""Many jobs at once: bounded, each on its own, none waiting for one that is slow."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

from vmoodle.errors import Refused
from vmoodle.fleet.fan_out import Bounds, Ended, Job, fan_out


def ended(
    lanes: dict[int, list[Job[object]]], bounds: Bounds, **more: object
) -> dict[str, Ended[object]]:
    return {one.key: one for many in fan_out(lanes, bounds, **more) for one in many}  # type: ignore[arg-type]


class Busy:
    """Counts how many run at the same time."""

    def __init__(self) -> None:
        self.now = 0
        self.most = 0
        self._lock = threading.Lock()

    def __call__(self) -> None:
        with self._lock:
            self.now += 1
            self.most = max(self.most, self.now)
        threading.Event().wait(0.005)
        with self._lock:
            self.now -= 1


def jobs(prefix: str, count: int, act: Callable[[], object]) -> list[Job[object]]:
    return [Job(f"{prefix}{number}", act) for number in range(count)]


def test_no_more_run_together_than_the_bounds_allow() -> None:
    whole, one = Busy(), Busy()

    def both() -> None:
        threads = [threading.Thread(target=act) for act in (whole, one)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    came = ended({1: jobs("a", 30, both), 2: jobs("b", 30, whole)}, Bounds(6, 4, 10))
    assert len(came) == 60
    assert one.most <= 4
    assert whole.most <= 6


def test_one_that_fails_or_hangs_holds_no_other() -> None:
    hanging = threading.Event()

    def refuse() -> None:
        raise Refused("x.y", "No.")

    def breaks() -> None:
        raise ZeroDivisionError

    lanes = {
        1: [*jobs("hang", 2, hanging.wait), *jobs("late", 3, lambda: 1)],
        2: [*jobs("good", 40, lambda: 2), Job("bad", refuse), Job("ugly", breaks)],
    }
    began = time.monotonic()
    came = ended(lanes, Bounds(8, 2, 0.3))
    hanging.set()
    assert time.monotonic() - began < 5
    assert len(came) == 47
    assert came["hang0"].given_up
    assert came["hang0"].error is not None
    assert came["late2"].value == 1
    assert came["good39"].value == 2
    errors = {name: came[name].error for name in ("bad", "ugly")}
    assert [error.code for error in errors.values() if error] == ["x.y", "command.internal"]


def test_jobs_are_taken_only_as_they_are_begun_and_none_after_a_stop() -> None:
    taken: list[int] = []

    def endless() -> Iterator[Job[object]]:
        number = 0
        while True:
            taken.append(number)
            yield Job(str(number), lambda: None)
            number += 1

    came: list[str] = []
    for many in fan_out({1: endless()}, Bounds(2, 2, 5), stopped=lambda came=came: len(came) > 20):
        came.extend(one.key for one in many)
    assert 20 < len(came) == len(taken)
    begun: list[str] = []

    def begin(batch: list[Job[object]]) -> list[Job[object]]:
        begun.extend(job.key for job in batch)
        return [job for job in batch if job.key != "a1"]

    left = ended({1: jobs("a", 3, lambda: 1)}, Bounds(1, 1, 5), begin=begin)
    assert sorted(left) == ["a0", "a2"]
    assert begun == ["a0", "a1", "a2"]


def test_what_was_given_up_is_heard_when_it_ends_late() -> None:
    hanging = threading.Event()
    came: list[Ended[object]] = []
    lanes = {1: [Job("slow", hanging.wait), *jobs("b", 2, lambda: 1)]}
    for many in fan_out(lanes, Bounds(1, 1, 0.5), late=True):
        came.extend(many)
        if any(one.given_up for one in many):
            hanging.set()
    assert [one.value for one in came if one.key == "slow"] == [None, True]
    assert len(came) == 4


def test_what_was_given_up_and_never_ends_is_waited_for_no_longer_than_it_had() -> None:
    hanging = threading.Event()
    lanes: dict[int, list[Job[object]]] = {1: [Job("slow", hanging.wait)]}
    began = time.monotonic()
    came = ended(lanes, Bounds(1, 1, 0.3), late=True)
    hanging.set()
    assert came["slow"].given_up
    assert time.monotonic() - began < 5
