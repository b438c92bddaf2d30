"""The plugins in a code tree, as Moodle's own class of components finds them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vmoodle.errors import InvalidInput
from vmoodle.moodle.code.environment import version_tuple
from vmoodle.moodle.code.tree import MoodleTree
from vmoodle.moodle.code.version import PluginVersion, read_plugin_version
from vmoodle.moodle.php.source import assignments

# Rules of lib/classes/component.php, 3.6 to 5.1 ($ignoreddirs, $supportsubplugins,
# is_valid_plugin_name, fetch_plugintypes, fetch_subtypes).
_IGNORED = frozenset(
    [
        "CVS",
        "_vti_cnf",
        "amd",
        "classes",
        "db",
        "fonts",
        "lang",
        "pix",
        "simpletest",
        "templates",
        "tests",
        "yui",
    ]
)
_TYPES_WITH_SUBPLUGINS = ("mod", "editor", "tool", "local")
_ACTIVITY_NAME = re.compile(r"[a-z][a-z0-9]*")
_PLUGIN_NAME = re.compile(r"[a-z](?:[a-z0-9_](?!__))*[a-z0-9]+")
_SUBTYPE_NAME = _ACTIVITY_NAME
_RETIRED_KEYS = ("deprecatedplugintypes", "deletedplugintypes")
_RETIRED_SUBTYPE_KEYS = ("deprecatedsubplugintypes", "deletedsubplugintypes")


@dataclass(frozen=True)
class Plugin:
    """One plugin directory of a tree; `component` is Moodle's own name, such as mod_quiz."""

    component: str
    path: Path

    def read(self) -> PluginVersion:
        """Return what its version.php says; nothing at all where there is no such file."""
        file = self.path / "version.php"
        return read_plugin_version(file) if file.is_file() else PluginVersion(None)


def plugins(tree: MoodleTree) -> Iterator[Plugin]:
    """Give every plugin of the tree, in the order in which Moodle lists them."""
    source = _read_json(tree.components_json)
    # Those without a directory are null there, which PHP's isset() takes for none.
    subsystems = frozenset(name for name, path in _mapping(source, "subsystems").items() if path)
    for kind, directory in _plugin_types(tree, source, subsystems).items():
        for name in _names(kind, directory, subsystems):
            yield Plugin(f"{kind}_{name}", directory / name)


def _plugin_types(
    tree: MoodleTree, source: dict[str, Any], subsystems: frozenset[str]
) -> dict[str, Path]:
    types = {kind: tree.root / path for kind, path in _mapping(source, "plugintypes").items()}
    retired = {kind for key in _RETIRED_KEYS for kind in _mapping(source, key)}
    for owner_kind in _TYPES_WITH_SUBPLUGINS:
        if owner_kind not in types:
            continue
        for name in _names(owner_kind, types[owner_kind], subsystems):
            for kind, path, in_use in _subtypes(tree, types[owner_kind] / name):
                if kind in types or kind in retired or kind in subsystems or not path.is_dir():
                    continue
                if in_use:
                    types[kind] = path
                else:
                    retired.add(kind)
    return types


def _subtypes(tree: MoodleTree, owner: Path) -> Iterator[tuple[str, Path, bool]]:
    """Give the plugin types a plugin adds: name, directory, and whether Moodle still loads them."""
    file = owner / "db" / "subplugins.json"
    # From 5.0 on paths count from the plugin, and types can be retired.
    newer = tree.layout == "public" or version_tuple(tree.version.series) >= (5, 0)
    if not file.is_file():
        older = owner / "db" / "subplugins.php"
        content = {} if newer or not older.is_file() else {"plugintypes": _read_php(older)}
    else:
        content = _read_subplugins(file)
    relative = _mapping(content, "subplugintypes") if newer else {}
    declared = {kind: owner / path for kind, path in relative.items()} or {
        kind: tree.webroot / (path.removeprefix("public/") if tree.layout == "public" else path)
        for kind, path in _mapping(content, "plugintypes").items()
    }
    retired = {
        kind: owner / path
        for key in _RETIRED_SUBTYPE_KEYS
        for kind, path in _mapping(content, key).items()
        if newer
    }
    for in_use, found in ((True, declared), (False, retired)):
        for kind, path in found.items():
            if _SUBTYPE_NAME.fullmatch(kind):
                yield kind, path, in_use


def _names(kind: str, directory: Path, subsystems: frozenset[str]) -> list[str]:
    try:
        found = [entry.name for entry in directory.iterdir() if entry.is_dir()]
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(name for name in found if _is_plugin_name(kind, name, subsystems))


def _is_plugin_name(kind: str, name: str, subsystems: frozenset[str]) -> bool:
    if name in _IGNORED and (kind, name) != ("auth", "db"):
        return False
    if kind == "mod":
        return name not in subsystems and _ACTIVITY_NAME.fullmatch(name) is not None
    return _PLUGIN_NAME.fullmatch(name) is not None


def _read_subplugins(path: Path) -> dict[str, Any]:
    """Return what a plugin says of its subplugins; of a file that is no JSON Moodle takes none."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _read_php(path: Path) -> object:
    """Return the array of a subplugins.php, which Moodle reads until 4.5."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    return assignments(text).get("$subplugins")


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidInput(
            "codebase.components",
            f"{path} cannot be read: {error.strerror}.",
            "The code tree is incomplete, or closed to the account VMoodle runs as.",
        ) from error
    except ValueError as error:
        raise InvalidInput(
            "codebase.components", f"{path} is not JSON.", "Put back the file of the release."
        ) from error
    return content if isinstance(content, dict) else {}


def _mapping(content: dict[str, Any], key: str) -> dict[str, str]:
    value = content.get(key)
    # A subsystem without a directory of its own has null for its path.
    return {str(k): str(v or "") for k, v in value.items()} if isinstance(value, dict) else {}
