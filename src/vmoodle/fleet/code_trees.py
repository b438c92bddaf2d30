"""The plugins on disk of the trees that sites run on: each tree is read once in a run."""

from __future__ import annotations

from pathlib import Path
from threading import Lock

from vmoodle.errors import VMoodleError
from vmoodle.fleet.target_site import TargetSite
from vmoodle.moodle.code.tree import MoodleTree
from vmoodle.moodle.plugins.code import PluginCode, read_plugin_code


class CodeTrees:
    """Sites that run at the same time share what was read, and a tree's error too."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._read: dict[Path, PluginCode | VMoodleError] = {}

    def of(self, site: TargetSite) -> PluginCode:
        """Return the plugins of a site's tree; raise InvalidInput when it cannot be read."""
        with self._lock:
            if site.codebase not in self._read:
                try:
                    code = read_plugin_code(MoodleTree.open(site.codebase))
                except VMoodleError as error:
                    self._read[site.codebase] = error
                else:
                    self._read[site.codebase] = code
            found = self._read[site.codebase]
        if isinstance(found, VMoodleError):
            raise found
        return found
