"""The compiled code of a codebase, kept for the PHP servers that prove its sites.

Compiling a front page's scripts takes PHP longer than running them. The web account alone may read
and write what is kept: whoever writes there chooses what that account runs. PHP compares each
script's time with the tree's and compiles a changed one anew.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from vmoodle.installation import Installation
from vmoodle.moodle.php import account
from vmoodle.registry.models import Codebase


def directory(installation: Installation, codebase: Codebase) -> Path | None:
    """Return a codebase's directory of compiled code, made if need be.

    None where it cannot be made or reached: PHP then compiles each time, and would not start with
    a directory it cannot use.
    """
    path = _of(installation, codebase.name)
    try:
        path.parent.mkdir(mode=0o711, exist_ok=True)
        path.parent.chmod(0o711)
        path.mkdir(mode=0o700, exist_ok=True)
        os.chown(path, *account.owner_ids(installation.php.account))
    except OSError:
        return None
    return path if account.can_reach(path, installation.php.account) else None


def remove(installation: Installation, name: str) -> None:
    """Remove what is kept of a codebase; nothing is no error."""
    shutil.rmtree(_of(installation, name), ignore_errors=True)


def _of(installation: Installation, name: str) -> Path:
    return installation.home.compiled / name
