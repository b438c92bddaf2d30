"""Whether a copy fits a codebase exactly: the same versions of core and of every plugin."""

from __future__ import annotations

from pathlib import Path

from vmoodle.errors import VMoodleError
from vmoodle.moodle.code.tree import MoodleTree
from vmoodle.moodle.code.versions import all_versions_hash
from vmoodle.registry import codebases


def fitting_codebases(versions_hash: str) -> list[str]:
    """Return the names of the codebases on which a copy of these versions runs as it is."""
    return [row.name for row in codebases.every() if _hash_of(row.path) == versions_hash]


def _hash_of(path: str) -> str:
    """Return what Moodle calls allversionshash of a tree, empty for one that cannot be read."""
    try:
        return all_versions_hash(MoodleTree.open(Path(path)))
    except VMoodleError:
        # `vmoodle doctor` (V020) says what is wrong with it.
        return ""
