"""Run a program and read its wall-clock time and its largest memory, for the other benches."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

PROGRAM = Path(sys.executable).parent / "vmoodle"


@dataclass(frozen=True)
class Cost:
    """What one run took: seconds and MB (10^6 bytes) of resident memory."""

    seconds: float
    megabytes: float


def run(command: Sequence[str], environment: Mapping[str, str]) -> Cost:
    """Run a command to its end; raise CalledProcessError when it fails."""
    start = time.perf_counter()
    process = subprocess.Popen(
        list(command), env=dict(environment), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    _stdout, stderr = b"", process.stderr.read() if process.stderr else b""
    _pid, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    code = os.waitstatus_to_exitcode(status)
    if code:
        raise subprocess.CalledProcessError(code, list(command), stderr=stderr)
    return Cost(seconds, usage.ru_maxrss * 1024 / 1e6)


def median(measure: Callable[[], Cost], times: int) -> Cost:
    """Return the median time and the largest memory of several runs."""
    costs = [measure() for _ in range(times)]
    return Cost(
        statistics.median(cost.seconds for cost in costs), max(cost.megabytes for cost in costs)
    )
