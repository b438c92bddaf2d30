"""Which code tree the demo runs on, and why."""

from __future__ import annotations

import glob
import os
from dataclasses import dataclass
from pathlib import Path

from vmoodle.errors import InvalidInput
from vmoodle.moodle.code.tree import MoodleTree

SANDBOX = "sandbox"


@dataclass(frozen=True)
class ChosenTree:
    """A path (or the word sandbox) and the reason for it."""

    path: str
    reason: str


def choose_tree(asked: Path | None) -> ChosenTree:
    """Return the tree asked for, else a real one this machine has, else the sandbox."""
    if asked is not None:
        tree = MoodleTree.open(asked)
        return ChosenTree(str(tree.root), f"Moodle {tree.version.release}, as asked for")
    for path in real_trees():
        try:
            tree = MoodleTree.open(path)
        except InvalidInput:
            continue
        return ChosenTree(str(tree.root), f"Moodle {tree.version.release}, found in {path.parent}")
    return ChosenTree(
        SANDBOX,
        "the sandbox tree, because no real Moodle was found "
        "(--moodle PATH or VMOODLE_MOODLE_TREES names one)",
    )


def real_trees() -> list[Path]:
    """Return the directories that VMOODLE_MOODLE_TREES, or its default in the cache, names."""
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    default = str(Path(cache).expanduser() / "vmoodle" / "moodle" / "*")
    pattern = os.environ.get("VMOODLE_MOODLE_TREES", default)
    return sorted(path for path in map(Path, glob.glob(pattern)) if path.is_dir())  # noqa: PTH207
