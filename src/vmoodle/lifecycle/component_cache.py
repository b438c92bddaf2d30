"""The component caches of immutable codebases: one file for all sites on a tree.

A file is named by what it holds. A tree that changed gets another file, which no opcode cache can
have kept an older state of, and its sites are published to use it. The file before stays for the
requests that have begun with it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

from vmoodle.errors import Unavailable
from vmoodle.installation import Installation
from vmoodle.moodle.code.component_cache import build_component_cache
from vmoodle.moodle.code.tree import MoodleTree

_DIGITS = 16


def build(installation: Installation, tree: MoodleTree, name: str) -> Path:
    """Build the component cache of a codebase and return its file; raise as Moodle's part does."""
    directory = installation.home.components / name
    fresh = directory / f".{os.getpid()}.php"
    try:
        for place in (directory.parent, directory):
            if not place.is_dir():
                place.mkdir()
                place.chmod(0o755)
        build_component_cache(tree, installation.php, fresh)
        digest = hashlib.sha256(fresh.read_bytes()).hexdigest()[:_DIGITS]
        return fresh.replace(directory / f"{tree.version.version}-{digest}.php")
    except OSError as error:
        raise Unavailable(
            "codebase.componentcache",
            f"The component cache cannot be written in {directory}: {error.strerror}.",
            "Free space there, and let VMoodle's account write in its home.",
        ) from error


def remove_others(installation: Installation, name: str, *kept: str) -> None:
    """Remove the caches of a codebase that are none of those kept."""
    directory = installation.home.components / name
    for path in directory.iterdir() if directory.is_dir() else []:
        if str(path) not in kept:
            path.unlink(missing_ok=True)


def remove(installation: Installation, name: str) -> None:
    """Remove all caches of a codebase; none is no error."""
    shutil.rmtree(installation.home.components / name, ignore_errors=True)
