"""What runs of cron have printed: a file a run, in the home's `log/cron/SITE`."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vmoodle.home import Home
    from vmoodle.scheduler.cron.run import Ended


def write(home: Home, shortname: str, ended: Ended) -> None:
    """Keep the output of a run; where the disk takes no more it is lost, and cron goes on."""
    path = _path(home, shortname, ended.mark)
    with contextlib.suppress(OSError):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Not flushed to the disk: it is no state, and there may be many.
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
        with os.fdopen(os.open(path, flags, 0o600), "w", encoding="utf-8") as file:
            file.write(ended.said)


def read(home: Home, shortname: str, run_id: str) -> str:
    """Return the output of a run, empty where none is kept."""
    try:
        return _path(home, shortname, run_id).read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""


def remove(home: Home, shortname: str, run_id: str) -> None:
    """Remove the output of a run, and the directory with the last; none is no error."""
    path = _path(home, shortname, run_id)
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)
        path.parent.rmdir()


def _path(home: Home, shortname: str, run_id: str) -> Path:
    return home.log / "cron" / shortname / f"{run_id}.log"
