"""The config.php of a code tree, read and never executed: whose it is, and keeping it safe."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Literal

from vmoodle.errors import InvalidInput, Refused
from vmoodle.files import sync_directory

# Stands in the first lines of every config.php that VMoodle writes; the hook renders it.
VMOODLE_MARKER = "Managed by VMoodle"

ABSENT: Literal["absent"] = "absent"
OURS: Literal["ours"] = "ours"
FOREIGN: Literal["foreign"] = "foreign"
State = Literal["absent", "ours", "foreign"]

_HEAD_BYTES = 2000
_MARKED = re.compile(rb"\A\s*<\?php\s.*?" + VMOODLE_MARKER.encode(), re.DOTALL)
# The name ends in .php: in a tree whose root is the web root, a web server would hand out any
# other file as text, with the database password in it.
_ASIDE = "config.before-vmoodle{number}.php"


def classify(path: Path) -> State:
    """Tell whether there is a config.php and whether VMoodle wrote it; a link counts as foreign.

    Raise InvalidInput `codebase.config.unreadable` when it cannot be looked into.
    """
    try:
        if path.is_symlink():
            return FOREIGN
        if not path.exists():
            return ABSENT
        if not path.is_file():
            raise _unreadable(path, "it is not a file")
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError as error:
        raise _unreadable(path, error.strerror or "it cannot be opened") from error
    return OURS if _MARKED.match(head) else FOREIGN


def set_aside(path: Path) -> Path:
    """Rename a foreign config.php to config.before-vmoodle[-N].php beside it; return its new path.

    Nothing is overwritten. Raise Refused `codebase.readonly` when the directory allows no renaming.
    """
    number = 1
    while True:
        aside = path.with_name(_ASIDE.format(number="" if number == 1 else f"-{number}"))
        try:
            _rename_without_overwriting(path, aside)
        except FileExistsError:
            number += 1
            continue
        except OSError as error:
            raise _readonly(path, error) from error
        return aside


def put_back(aside: Path, path: Path) -> None:
    """Rename a config.php that was set aside back to its place.

    Raise Refused `codebase.config.exists` when another stands there by now.
    """
    try:
        _rename_without_overwriting(aside, path)
    except FileExistsError as error:
        raise Refused(
            "codebase.config.exists",
            f"{path} exists; {aside} was not put back.",
            f"Move {path} away, then rename {aside} by hand.",
        ) from error
    except OSError as error:
        raise _readonly(path, error) from error


def _rename_without_overwriting(source: Path, target: Path) -> None:
    """Give a file another name in its directory; raise FileExistsError when that name is taken."""
    try:
        # A link is refused where the name exists, a rename is not.
        os.link(source, target, follow_symlinks=False)
    except FileExistsError:
        raise
    except OSError:
        # A file system without hard links, or a kernel that guards those of other accounts.
        if os.path.lexists(target):
            raise FileExistsError(str(target)) from None
        source.rename(target)
    else:
        source.unlink()
    sync_directory(source.parent)


def _unreadable(path: Path, reason: str) -> InvalidInput:
    return InvalidInput(
        "codebase.config.unreadable",
        f"{path} cannot be looked into: {reason}.",
        "Let the account VMoodle runs as read it, or move it away.",
    )


def _readonly(path: Path, error: OSError) -> Refused:
    return Refused(
        "codebase.readonly",
        f"{path} cannot be renamed: {error.strerror}.",
        "Let VMoodle's account write config.php in the tree, or add the tree as that account.",
    )
