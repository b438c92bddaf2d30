"""Who may read the host map: the rights its directories and files must have, and setting them."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from vmoodle.errors import Unavailable
from vmoodle.hook.map import DIRECTORY_MODE, FILE_MODE


@dataclass(frozen=True)
class WrongRights:
    """A directory or file of the map whose mode or owner is not as it must be."""

    path: Path
    mode: int
    owner: int
    group: int | None

    @property
    def command(self) -> str:
        """Return what the administrator can run to set it right."""
        owner = f"{self.owner}" if self.group is None else f"{self.owner}:{self.group}"
        return f"chown {owner} {self.path} && chmod {self.mode:04o} {self.path}"


def wrong_rights(directory: Path, group: int | None) -> Iterator[WrongRights]:
    """Yield what in a map others can read, or the web server's group cannot, or another owns.

    `group` is the group id of the web server, None where the map is for our own account alone.
    """
    for path in _present(directory):
        status = path.lstat()
        mode = DIRECTORY_MODE if stat.S_ISDIR(status.st_mode) else FILE_MODE
        owned = status.st_uid == os.geteuid() and group in {None, status.st_gid}
        if stat.S_IMODE(status.st_mode) != mode or not owned:
            yield WrongRights(path, mode, os.geteuid(), group)


def set_rights(directory: Path, group: int | None) -> None:
    """Give every directory and file of the map its mode, owner and group.

    Raise Unavailable `map.unwritable` where this account may not.
    """
    for wrong in wrong_rights(directory, group):
        try:
            os.chown(wrong.path, wrong.owner, -1 if group is None else group)
            wrong.path.chmod(wrong.mode)
        except FileNotFoundError:
            continue  # a site that has just been withdrawn
        except OSError as error:
            raise Unavailable(
                "map.unwritable",
                f"The rights of {wrong.path} cannot be set: {error.strerror}.",
                f"As root: {wrong.command}",
            ) from error


def _present(directory: Path) -> Iterator[Path]:
    """Yield the map's directories, then their files; links, and what is being written, are none."""
    for place in (directory, directory / "web", directory / "cli"):
        # Read on after what was yielded: who sets it right opens the way to what lies in it.
        if place.is_symlink() or not place.is_dir():
            continue
        yield place
        if not os.access(place, os.R_OK | os.X_OK):
            return
        for path in sorted(place.glob("*.json")):
            if path.is_file() and not path.is_symlink() and not path.name.startswith("."):
                yield path
