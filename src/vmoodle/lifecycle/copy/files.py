"""A site's own files in moodledata: copied from one directory to another, and measured."""

from __future__ import annotations

from pathlib import Path

from vmoodle.installation import Installation
from vmoodle.moodle.filedir import copy_filedir


def copy_files(installation: Installation, source: Path, target: Path) -> str:
    """Copy filedir and language packs for the web account; return in words how and how many.

    Raise as `copy_filedir` does.
    """
    done = copy_filedir(source, target, owner=installation.owner_ids or (-1, -1))
    how = {"reflink": done.reflink, "hard link": done.hardlink, "copy": done.copy}
    words = ", ".join(f"{count} by {name}" for name, count in how.items() if count)
    return f"{done.files} files" + (f": {words}" if words else "")


def measure(directory: Path) -> tuple[int, int]:
    """Return how many files a directory holds, and their bytes."""
    sizes = [path.stat().st_size for path in directory.rglob("*") if path.is_file()]
    return len(sizes), sum(sizes)
