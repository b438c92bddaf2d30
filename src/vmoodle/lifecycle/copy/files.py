"""A site's own files in moodledata: copied from one directory to another, and measured."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from vmoodle.installation import Installation
from vmoodle.moodle import moodledata
from vmoodle.moodle.filedir import copy_filedir, copy_tree


def copy_files(installation: Installation, source: Path, target: Path) -> str:
    """Copy a site's content for the web account; return in words how and how many.

    Raise as `copy_filedir` does.
    """
    done = copy_filedir(source, target, owner=installation.owner_ids or (-1, -1))
    how = {"reflink": done.reflink, "hard link": done.hardlink, "copy": done.copy}
    words = ", ".join(f"{count} by {name}" for name, count in how.items() if count)
    return f"{done.files} files" + (f": {words}" if words else "")


def keep_own(
    installation: Installation, current: Path, beside: Path, *, restored: Collection[str]
) -> list[str]:
    """Copy what stays with a site whatever is restored into it, and was not restored; name it.

    Raise as `copy_filedir` does.
    """
    kept = []
    for name in moodledata.CONTENT | moodledata.KEYS | moodledata.MACHINERY:
        if name != "filedir" and name not in restored and (current / name).is_dir():
            owner = installation.owner_ids or (-1, -1)
            copy_tree(current / name, beside / name, owner=owner)
            kept.append(name)
    return kept


def measure(directory: Path) -> tuple[int, int]:
    """Return how many files a directory holds, and their bytes."""
    sizes = [path.stat().st_size for path in directory.rglob("*") if path.is_file()]
    return len(sizes), sum(sizes)
