"""Check a backup, and put one into an empty home."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

from vmoodle.errors import Refused, Unavailable
from vmoodle.files import sync_directory
from vmoodle.home import Home
from vmoodle.hook.install import install_hook
from vmoodle.hook.rights import set_rights
from vmoodle.installation import Installation
from vmoodle.lifecycle.backup import archive
from vmoodle.lifecycle.backup.archive import Contents
from vmoodle.operations.scratch import scratch
from vmoodle.registry.django_setup import other_calls_kept_out, refuse_newer
from vmoodle.secret import Keyring, Secret
from vmoodle.settings_file import load_settings

# What a home may hold before: none of it is in a backup, and it can be there first.
_NO_PART = frozenset(
    {
        "codebases", "compiled", "components", "embedded", "hook", "log", "moodledata", "run",
        "store",
    }
)  # fmt: skip
# What stands for the rest, the registry, takes its place last.
_ORDER = ("map", *archive.FILES, *reversed(archive.DATABASES))


def verify(path: Path) -> Contents:
    """Read a backup and return its list, when all on it is there as it was written.

    Raise InvalidInput (`backup.unreadable`, `backup.damaged`), Unavailable (`home.key.damaged`,
    `registry.newer`).
    """
    with TemporaryDirectory(prefix="vmoodle-") as directory:
        contents = archive.unpack(path, Path(directory))
        _examine(path, Path(directory), contents)
    return contents


def restore(path: Path, home: Home) -> Contents:
    """Put a backup into a home that has no state yet, whole or not at all; return its list.

    Raise Refused (`backup.home.used`) for a home that has some, and what `verify` raises.
    """
    archive.listed(path)
    _refuse_used(home)
    home.ensure()
    with scratch(home.run) as staged:
        contents = archive.unpack(path, staged)
        _examine(path, staged, contents)
        # Asked first: it ends here where the settings or the web account are not usable.
        settings = load_settings(staged / home.settings_file.name)
        set_rights(staged / home.map.name, Installation(home, settings).map_group)
        os.sync()
        with other_calls_kept_out(home.run / "registry.lock"):
            _refuse_used(home)
            install_hook(home.hook)
            _put_in_place(staged, home)
    return contents


def _refuse_used(home: Home) -> None:
    if not home.path.exists():
        return
    try:
        present = sorted({path.name for path in home.path.iterdir()} - _NO_PART)
    except OSError as error:
        raise Unavailable(
            "home.unwritable",
            f"The home {home.path} cannot be read: {error.strerror}.",
            "Give VMOODLE_HOME a directory of yours, or run as the account that owns it.",
        ) from error
    if present:
        raise Refused(
            "backup.home.used",
            f"The home {home.path} is not empty: it has {', '.join(present[:8])}.",
            "Nothing was changed. Move that away first, or set VMOODLE_HOME to another directory.",
        )


def _examine(path: Path, directory: Path, contents: Contents) -> None:
    """Raise unless the key is one, the databases are sound, and this release knows the registry."""
    Keyring(directory / "key").encrypt(Secret(""))
    for name in archive.DATABASES:
        if name not in contents.files:
            continue
        try:
            with closing(sqlite3.connect(directory / name)) as database:
                sound = database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
                if name == "registry.sqlite3":
                    applied = database.execute(
                        "SELECT name FROM django_migrations WHERE app = 'registry'"
                    ).fetchall()
        except sqlite3.Error as error:
            raise archive.damaged(path, f"{name} cannot be opened") from error
        if not sound:
            raise archive.damaged(path, f"{name} is not sound")
    refuse_newer({name for (name,) in applied})


def _put_in_place(staged: Path, home: Home) -> None:
    placed: list[Path] = []
    try:
        for name in _ORDER:
            if (staged / name).exists():
                (staged / name).rename(home.path / name)
                placed.append(home.path / name)
        sync_directory(home.path)
    except OSError as error:
        for place in placed:
            place.rename(staged / place.name)
        raise Unavailable(
            "home.unwritable",
            f"The home {home.path} cannot be written: {error.strerror}.",
            "Run VMoodle as the account that owns it.",
        ) from error
