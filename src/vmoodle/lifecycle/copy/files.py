"""A site's own files in moodledata: copied, measured, compared with what its database names."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from vmoodle.installation import Installation
from vmoodle.lifecycle.resources import Holdings
from vmoodle.moodle.database import contents
from vmoodle.moodle.files import moodledata
from vmoodle.moodle.files.filedir import copy_contents, copy_filedir, copy_tree

_NAMES_SAID = 20


def copy_files(installation: Installation, source: Path, target: Path) -> str:
    """Copy a site's content for the web account; return in words how and how many.

    Raise as `copy_filedir` does.
    """
    done = copy_filedir(source, target, owner=installation.owner_ids or (-1, -1))
    how = {"reflink": done.reflink, "hard link": done.hardlink, "copy": done.copy}
    words = ", ".join(f"{count} by {name}" for name, count in how.items() if count)
    return f"{done.files} files" + (f": {words}" if words else "")


def missing_files(installation: Installation, holdings: Holdings) -> list[str]:
    """Return the contents that a copy's database names and its moodledata has not.

    Raise as the engine does, and Unavailable (`filedir.unreadable`).
    """
    engine = installation.engine(holdings.server)
    with engine.connect(holdings.database) as connection:
        return contents.missing(connection, holdings.directory / "filedir")


def require_files(
    installation: Installation, holdings: Holdings, say: Callable[[str], None]
) -> None:
    """Say which contents a copy lacks that its database names.

    Raise Unavailable (`filedir.lost`) for one that has none at all, and as `missing_files`.
    """
    lacking = missing_files(installation, holdings)
    if lacking and not contents.stored(holdings.directory / "filedir"):
        raise contents.lost(holdings.directory / "filedir")
    say_missing(lacking, say)


def say_missing(lacking: Sequence[str], say: Callable[[str], None]) -> None:
    """Say how many contents are missing, and which; a few only where they are many."""
    if not lacking:
        return
    more = f" and {len(lacking) - _NAMES_SAID} more" if len(lacking) > _NAMES_SAID else ""
    say(f"{len(lacking)} files that the database names are missing in filedir:")
    say(", ".join(lacking[:_NAMES_SAID]) + more)


def rescue(
    installation: Installation, current: Path, holdings: Holdings, say: Callable[[str], None]
) -> None:
    """Copy the contents that a restored copy lacks out of the moodledata it takes the place of.

    Raise as `copy_filedir` and `missing_files` do.
    """
    lacking = missing_files(installation, holdings)
    if not lacking:
        return
    owner = installation.owner_ids or (-1, -1)
    done = copy_contents(current / "filedir", holdings.directory / "filedir", lacking, owner=owner)
    say(f"filedir: {done.files} that the snapshot lacks kept from what the site has now")
    say_missing(missing_files(installation, holdings), say)


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
