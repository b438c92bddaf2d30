"""Run a program and read its wall-clock time and its largest memory, for the other benches."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

# The kernel counts into a child's largest memory what its parent had when it was started: a small
# program starts it.
_LAUNCH = """
import os, resource, subprocess, sys, time
start = time.perf_counter()
code = subprocess.call(sys.argv[2:])
seconds = time.perf_counter() - start
size = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
os.write(int(sys.argv[1]), f"{seconds} {code} {size}".encode())
"""
PROGRAM = Path(sys.executable).parent / "vmoodle"


@dataclass(frozen=True)
class Cost:
    """What one run took: seconds and MB (10^6 bytes) of resident memory."""

    seconds: float
    megabytes: float


def run(command: Sequence[str], environment: Mapping[str, str]) -> Cost:
    """Run a command to its end; raise CalledProcessError when it fails."""
    reading, writing = os.pipe()
    with os.fdopen(reading) as told:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _LAUNCH, str(writing), *command],
            env=dict(environment), pass_fds=[writing], stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )  # fmt: skip
        os.close(writing)
        _stdout, stderr = process.communicate()
        seconds, code, size = told.read().split()
    if int(code):
        raise subprocess.CalledProcessError(int(code), list(command), stderr=stderr)
    return Cost(float(seconds), int(size) * 1024 / 1e6)


def median(measure: Callable[[], Cost], times: int) -> Cost:
    """Return the median time and the largest memory of several runs."""
    costs = [measure() for _ in range(times)]
    return Cost(
        statistics.median(cost.seconds for cost in costs), max(cost.megabytes for cost in costs)
    )
