"""Room on a database server's disk, where that can be seen from here."""

from __future__ import annotations

import shutil

from vmoodle.engines.address import THIS_MACHINE
from vmoodle.engines.protocol import Engine


def free_bytes(engine: Engine) -> int | None:
    """Return the free bytes where a server of this machine keeps its data, None for not known."""
    directory = engine.data_directory()
    if not directory or not (engine.address.socket or engine.address.host in THIS_MACHINE):
        return None
    try:
        return shutil.disk_usage(directory).free
    except OSError:  # it lives in a container, or its directory is closed to us
        return None
