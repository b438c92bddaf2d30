"""Take a backup of the control plane while it works: all of it as at one moment.

For that moment nobody writes to the registry, to what the operations' steps have done, or to the
map. An operation that is under way stands in the backup as after a loss of power at that moment.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from vmoodle import __version__
from vmoodle.errors import NotFound, Refused, Unavailable
from vmoodle.home import Home
from vmoodle.installation import Installation
from vmoodle.lifecycle import publish
from vmoodle.lifecycle.backup import archive
from vmoodle.lifecycle.backup.archive import Contents
from vmoodle.operations.scratch import scratch
from vmoodle.registry import codebases, servers, sites

_BUSY_SECONDS = 30.0


def take(installation: Installation, path: Path) -> Contents:
    """Write a new backup of the registry, the operations, settings, key and map into one file.

    Raise InvalidInput or Conflict for the file's name, Refused for a registry on PostgreSQL,
    NotFound where there is nothing to keep, Unavailable when it cannot be read or written.
    """
    archive.refuse_name(path)
    if installation.settings.registry.url:
        raise Refused(
            "backup.postgresql",
            "The registry is on PostgreSQL, together with the operations; its server keeps both.",
            "Keep its database by pg_dump --format=custom, and vmoodle.toml, key and node of "
            f"{installation.home.path} beside it; vmoodle hook rebuild makes the map anew.",
        )
    if not (sites.every().exists() or codebases.every() or servers.every()):
        raise NotFound(
            "backup.nothing",
            f"The registry of {installation.home.path} has no site, codebase or server.",
            "Set VMOODLE_HOME to the home that is to be kept.",
        )
    with scratch(installation.home.run) as staged:
        with _nobody_writing(installation):
            moment = datetime.now(UTC)
            _copy(installation.home, staged)
        files, links = archive.describe(staged)
        contents = Contents(
            created=moment.isoformat(timespec="seconds"),
            vmoodle=__version__,
            node=installation.node,
            home=str(installation.home.path),
            sites=_count_sites(staged / installation.home.registry_file.name),
            files=files,
            links=links,
        )
        archive.write(path, contents, staged)
    return contents


@contextmanager
def _nobody_writing(installation: Installation) -> Iterator[None]:
    """Hold map, registry and operations still; who publishes takes the locks in the same order."""
    with ExitStack() as stack:
        stack.enter_context(publish.one_at_a_time(installation))
        try:
            for name in archive.DATABASES:
                if (installation.home.path / name).exists():
                    database = sqlite3.connect(
                        installation.home.path / name, timeout=_BUSY_SECONDS, isolation_level=None
                    )
                    stack.enter_context(closing(database)).execute("BEGIN IMMEDIATE")
            yield
        except sqlite3.Error as error:
            raise Unavailable(
                "backup.database",
                f"The registry or the operations cannot be copied: {error}.",
                "Try again when no call is busy; `vmoodle operation list --active` shows them.",
            ) from error


def _copy(home: Home, staged: Path) -> None:
    for name in archive.DATABASES:
        if (home.path / name).exists():
            address = f"{(home.path / name).absolute().as_uri()}?mode=ro"
            with (
                closing(sqlite3.connect(address, uri=True)) as source,
                closing(sqlite3.connect(staged / name)) as target,
            ):
                source.backup(target)
    try:
        for name in archive.FILES:
            if (home.path / name).is_file():
                shutil.copyfile(home.path / name, staged / name)
        _copy_map(home, staged)
    except OSError as error:
        raise Unavailable(
            "backup.home.unreadable",
            f"{error.filename or home.path} cannot be copied: {error.strerror}.",
            "Run VMoodle as the account that owns its home, and free space there.",
        ) from error


def _copy_map(home: Home, staged: Path) -> None:
    for part in ("web", "cli"):
        (staged / "map" / part).mkdir(parents=True)
        for path in (home.map / part).glob("*.json"):
            name = path.relative_to(home.path).as_posix()
            if path.is_symlink():
                if archive.is_link(name, str(path.readlink())):
                    (staged / name).symlink_to(path.readlink())
            elif archive.is_ours(name):
                shutil.copyfile(path, staged / name)


def _count_sites(registry: Path) -> int:
    with closing(sqlite3.connect(registry)) as database:
        found: tuple[int] = database.execute("SELECT count(*) FROM registry_site").fetchone()
    return found[0]
