"""Directories that a step needs while it runs; what a killed one left is removed at the next start.

They hold dumps: all that a site knows.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

_PREFIX = "operation-"


@contextmanager
def scratch(run: Path) -> Iterator[Path]:
    """Yield an empty directory for the length of the block, in the home's `run`."""
    with TemporaryDirectory(prefix=_PREFIX, dir=run) as directory:
        yield Path(directory)


def sweep(run: Path) -> None:
    """Remove what killed steps left; the caller holds the node's lock, so that none runs."""
    for path in run.glob(f"{_PREFIX}*"):
        shutil.rmtree(path, ignore_errors=True)
