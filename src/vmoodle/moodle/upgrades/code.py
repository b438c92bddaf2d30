"""A code tree as an upgrade to it sees it: versions, what they need, which plugins are Moodle's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from vmoodle.errors import InvalidInput
from vmoodle.moodle.code.environment import Requirements, read_requirements
from vmoodle.moodle.code.tree import MoodleTree
from vmoodle.moodle.code.version import PluginVersion
from vmoodle.moodle.code.versions import TreeVersions, all_components_hash, read_versions
from vmoodle.moodle.php.source import Number
from vmoodle.moodle.plugins.code import release_plugins


@dataclass(frozen=True)
class UpgradeCode:
    """What is on disk, read once for all sites.

    `standard` are the plugins that the release brings, `deleted` those that earlier ones did.
    `disk` has the version of each plugin that is one, empty where it cannot be told.
    """

    versions: TreeVersions
    standard: frozenset[str]
    deleted: frozenset[str]
    disk: Mapping[str, str] = field(default_factory=dict)

    @property
    def tree(self) -> MoodleTree:
        """The tree itself."""
        return self.versions.tree

    @property
    def plugins(self) -> Mapping[str, PluginVersion]:
        """What each plugin's version.php says."""
        return self.versions.plugins

    @cached_property
    def hash(self) -> str:
        """The tree's allversionshash, empty where only PHP can tell it."""
        try:
            return self.versions.hash
        except InvalidInput:
            return ""

    @cached_property
    def components_hash(self) -> str:
        """The tree's allcomponenthash."""
        return all_components_hash(self.tree)

    @cached_property
    def requirements(self) -> Requirements:
        """What its admin/environment.xml requires."""
        return read_requirements(self.tree.environment_xml, self.tree.version.series)


def read_upgrade_code(tree: MoodleTree) -> UpgradeCode:
    """Read a tree; raise InvalidInput when it cannot be read.

    A directory without version.php is no plugin to an upgrade (upgrade_plugins() in
    lib/upgradelib.php, 4.5 and 5.1).
    """
    versions = read_versions(tree)
    standard, deleted = release_plugins(tree)
    disk = {
        component: _text(plugin)
        for component, plugin in versions.plugins.items()
        if plugin.version is not None or _has_version(versions.paths[component])
    }
    return UpgradeCode(versions, standard, deleted, disk)


def _text(plugin: PluginVersion) -> str:
    if plugin.computed:
        return ""
    version = plugin.version
    return version.canonical() if isinstance(version, Number) else version or ""


def _has_version(path: Path) -> bool:
    return (path / "version.php").is_file()
