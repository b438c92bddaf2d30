"""Checks of this machine: the home, its permissions, the web account, PHP."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from vmoodle.doctor import mends
from vmoodle.doctor.finding import Found
from vmoodle.errors import VMoodleError
from vmoodle.installation import Installation
from vmoodle.moodle.php.account import can_reach

_PRIVATE_FILES = ("key", "registry.sqlite3", "operations.sqlite3", "vmoodle.toml")


def home_is_ours(installation: Installation) -> Found:
    """The home belongs to this account and its private files are closed to others."""
    home = installation.home
    if home.path.stat().st_uid not in {os.geteuid(), 0}:
        yield f"{home.path} belongs to uid {home.path.stat().st_uid}.", "Run as its owner."
    for name in _PRIVATE_FILES:
        path = home.path / name
        if path.exists() and path.stat().st_mode & 0o077:
            yield (
                f"{path} can be read by others (mode {path.stat().st_mode & 0o777:04o}).",
                f"chmod 600 {path}",
                mends.close_to_others(path),
            )


def web_account_reaches(installation: Installation) -> Found:
    """The web account can read the hook, the map and the moodledata base."""
    account = installation.web_account.pw_name
    for path in (installation.home.hook, installation.home.map, installation.dataroot_base):
        if path.exists() and not can_reach(path, account):
            said = f"The web account {account} cannot reach {path}."
            if closed := closed_parents(path):
                yield said, f"chmod o+x {' '.join(str(parent) for parent in closed)}"
            elif path == installation.home.map:
                command = f"chgrp {installation.web_group} {path} && chmod 0750 {path}"
                yield said, command, mends.set_map_rights()
            else:
                mode = f"{path.stat().st_mode & 0o777:04o}"
                yield said, f"Let {account} pass through {path}: its mode is {mode}."


def closed_parents(path: Path) -> list[Path]:
    """Return the directories on the way to a path that others may not traverse."""
    return [parent for parent in path.parents if not parent.stat().st_mode & 0o001]


def php_runs(installation: Installation) -> Found:
    """PHP is there and starts."""
    try:
        installation.php.facts()
    except VMoodleError as error:
        yield error.message, error.hint
    except subprocess.SubprocessError:
        yield "PHP does not start.", "Run `php -v` as the web account."
