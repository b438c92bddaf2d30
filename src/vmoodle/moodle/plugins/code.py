"""The plugins that a code tree brings, read from its files once for all sites that run on it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vmoodle.errors import InvalidInput
from vmoodle.moodle.code.components import Plugin, plugins
from vmoodle.moodle.code.tree import MoodleTree
from vmoodle.moodle.php.source import Number, assignments


@dataclass(frozen=True)
class PluginCode:
    """What is on disk; `versions` has an empty text for a plugin whose version cannot be told.

    `core` is the version of Moodle itself, `standard` the plugins that Moodle itself brings.
    """

    core: str
    versions: Mapping[str, str]
    paths: Mapping[str, Path]
    standard: frozenset[str]


def read_plugin_code(tree: MoodleTree) -> PluginCode:
    """Return what a tree brings, in both layouts, without PHP.

    A directory without version.php is no plugin (lib/classes/plugin_manager.php,
    load_present_plugins). Raise InvalidInput when the tree cannot be read.
    """
    versions, paths = {}, {}
    for plugin in plugins(tree):
        if (plugin.path / "version.php").is_file():
            versions[plugin.component] = _version(plugin)
            paths[plugin.component] = plugin.path
    return PluginCode(tree.version.version, versions, paths, release_plugins(tree)[0])


def _version(plugin: Plugin) -> str:
    try:
        version = plugin.read().version
    except InvalidInput:
        # One that cannot be read says nothing of the other 450.
        return ""
    return version.canonical() if isinstance(version, Number) else version or ""


def release_plugins(tree: MoodleTree) -> tuple[frozenset[str], frozenset[str]]:
    """Return the plugins of the release, and those that earlier releases had and this one has not.

    They are in lib/plugins.json, in older releases in functions of lib/classes/plugin_manager.php:
    standard_plugins_list, and is_deleted_standard_plugin, which lists names without more. Raise
    InvalidInput `codebase.components` where neither is there.
    """
    standard: object = None
    deleted: object = None
    try:
        if (file := tree.components_json.with_name("plugins.json")).is_file():
            named = json.loads(file.read_text(encoding="utf-8"))
            standard, deleted = named.get("standard"), named.get("deleted")
        else:
            source = tree.webroot / "lib" / "classes" / "plugin_manager.php"
            found = assignments(source.read_text(encoding="utf-8", errors="replace"))
            standard, deleted = found.get("$standard_plugins"), found.get("$plugins")
    except (OSError, ValueError, AttributeError):
        standard = None
    if not isinstance(standard, dict):
        raise InvalidInput(
            "codebase.components",
            f"{tree.root} does not say which plugins are Moodle's own.",
            "Put back lib/plugins.json of the release.",
        )
    return _named(standard), _named(deleted if isinstance(deleted, dict) else {})


def _named(kinds: dict[str, Any]) -> frozenset[str]:
    return frozenset(
        f"{kind}_{name}" for kind, names in kinds.items() if isinstance(names, list)
        for name in names
    )  # fmt: skip
