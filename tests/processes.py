"""Processes as tests see them."""

from __future__ import annotations

import psutil


def lives(pid: int) -> bool:
    """Tell whether a process has not ended; one that only is not waited for has."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
