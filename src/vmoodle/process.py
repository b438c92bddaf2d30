"""Which process this is, told so that another one can tell whether it is still there."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import psutil

_MACHINE_LENGTH = 12


@dataclass(frozen=True)
class ProcessName:
    """Name one process: its machine, its id there, and when it started, in seconds of Unix time."""

    machine: str
    pid: int
    started: float

    @property
    def text(self) -> str:
        """Return the name as words, which `is_gone` of this module reads."""
        return f"{self.machine} {self.pid} {self.started:.2f}"

    @property
    def is_gone(self) -> bool:
        """Tell whether it is known to have ended: a process of this machine, in this boot."""
        if self.machine != machine():
            return False
        try:
            process = psutil.Process(self.pid)
            # One that has ended and was not waited for does nothing any more either.
            if process.status() == psutil.STATUS_ZOMBIE:
                return True
            return abs(process.create_time() - self.started) > 1
        except psutil.NoSuchProcess:
            return True


def this_process() -> ProcessName:
    """Return the name of the process that asks."""
    process = psutil.Process()
    return ProcessName(machine(), process.pid, process.create_time())


def is_gone(text: str) -> bool:
    """Tell whether the process of a name in words is known to have ended; not for other words."""
    try:
        machine, pid, started = text.split()
        return ProcessName(machine, int(pid), float(started)).is_gone
    except ValueError:
        return False


@cache
def machine() -> str:
    """Return what tells this boot and this process namespace (a container) from all others."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    whole = f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    return hashlib.sha256(whole.encode()).hexdigest()[:_MACHINE_LENGTH]
