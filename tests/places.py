"""A directory for tests that the web account can pass, unlike pytest's own."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def passable_directory() -> Iterator[Path]:
    """Yield a directory of its own that everybody may enter; it is gone afterwards."""
    directory = Path(tempfile.mkdtemp(prefix="vmoodle-test-"))
    directory.chmod(0o755)
    try:
        yield directory
    finally:
        shutil.rmtree(directory)
