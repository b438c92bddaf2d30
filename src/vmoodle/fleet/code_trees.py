"""What is read of the trees that sites run on: each tree is read once in a run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Generic, TypeVar

from vmoodle.errors import VMoodleError
from vmoodle.fleet.target_site import TargetSite
from vmoodle.moodle.code.tree import MoodleTree

T = TypeVar("T")


class CodeTrees(Generic[T]):
    """Sites that run at the same time share what was read, and a tree's error too."""

    def __init__(self, read: Callable[[MoodleTree], T]) -> None:
        self._reader = read
        self._lock = Lock()
        self._read: dict[Path, T | VMoodleError] = {}

    def of(self, site: TargetSite) -> T:
        """Return what is read of a site's tree; raise InvalidInput when it cannot be read."""
        return self.at(site.codebase)

    def at(self, path: Path) -> T:
        """Return what is read of the tree at a path; raise as `of`."""
        with self._lock:
            if path not in self._read:
                try:
                    self._read[path] = self._reader(MoodleTree.open(path))
                except VMoodleError as error:
                    self._read[path] = error
            found = self._read[path]
        if isinstance(found, VMoodleError):
            raise found
        return found
