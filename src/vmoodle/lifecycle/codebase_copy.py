"""A private copy of a code tree, of which no file is the tree's own."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from vmoodle.errors import Refused, Unavailable
from vmoodle.installation import Installation
from vmoodle.moodle.code.tree import MoodleTree
from vmoodle.progress import Tell
from vmoodle.store.durable import reflink

SANDBOX = "sandbox"


def copy_code_tree(installation: Installation, path: str, target: Path, tell: Tell) -> None:
    """Copy a tree, or the sandbox by its word, to a place that is free.

    Files share their bytes with the tree's where the file system has that (reflink), until either
    is written; else they are copied. Never hard links: an edit of the tree in place would change
    the code of sites that run. Without the tree's `.git` and its own config.php.

    Raise Refused `codebase.exists`, Unavailable `codebase.copy`, InvalidInput for no Moodle.
    """
    from vmoodle.sandbox import copy_tree

    if target.exists():
        raise Refused(
            "codebase.exists",
            f"{target} exists already.",
            "Choose another name for the codebase, or remove what is left there.",
        )
    installation.home.codebases.mkdir(mode=0o755, exist_ok=True)
    if path == SANDBOX:
        copy_tree(target)
        return
    source = MoodleTree.open(Path(path).expanduser()).root

    def left_out(directory: str, _names: list[str]) -> set[str]:
        tell(f"copying {Path(directory).relative_to(source)}")
        # Only the root's own: themes have a config.php each, and so has 5.1's public/.
        return {".git", "config.php"} if Path(directory) == source else set()

    try:
        shutil.copytree(source, target, symlinks=True, ignore=left_out, copy_function=_Files().copy)
    except (OSError, shutil.Error) as error:
        shutil.rmtree(target, ignore_errors=True)
        raise Unavailable(
            "codebase.copy",
            f"{source} cannot be copied to {target}.",
            "Free space there, and let VMoodle's account read the tree.",
        ) from error


class _Files:
    """Copies files; asks each file system only once whether it can share bytes."""

    def __init__(self) -> None:
        self._cannot_share: set[int] = set()

    def copy(self, source: str, target: str) -> str:
        facts = os.stat(source)  # noqa: PTH116 - shutil gives text
        if facts.st_dev in self._cannot_share or not reflink(Path(source), Path(target)):
            self._cannot_share.add(facts.st_dev)
            shutil.copyfile(source, target)
        if os.geteuid() == 0:
            # The web account may read a file by its group alone.
            os.chown(target, facts.st_uid, facts.st_gid)
        shutil.copystat(source, target)
        return target
