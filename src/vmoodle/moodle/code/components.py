"""The plugins in a code tree, and the hash by which Moodle knows that an upgrade is pending."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vmoodle.errors import InvalidInput
from vmoodle.moodle.code.tree import MoodleTree
from vmoodle.moodle.code.version import PluginVersion, read_plugin_version
from vmoodle.moodle.php.source import Number

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
    subsystems = frozenset(_mapping(source, "subsystems"))
    for kind, directory in _plugin_types(tree, source, subsystems).items():
        for name in _names(kind, directory, subsystems):
            yield Plugin(f"{kind}_{name}", directory / name)


def all_versions_hash(tree: MoodleTree) -> str:
    """Return what `config.allversionshash` is on a site that is at this tree's version.

    It is sha1 over PHP's serialize of all versions, as get_all_versions_hash() computes it
    (lib/classes/component.php, 4.5 and 5.1). Raise InvalidInput when the tree cannot be read.
    """
    pairs = [_serialize("core") + _serialize(Number(tree.version.literal))]
    pairs += [
        _serialize(plugin.component) + _serialize(plugin.read().version) for plugin in plugins(tree)
    ]
    array = b"a:%d:{%b}" % (len(pairs), b"".join(pairs))
    return hashlib.sha1(array, usedforsecurity=False).hexdigest()


def _serialize(value: Number | str | None) -> bytes:
    if value is None:
        return b"N;"
    if isinstance(value, Number):
        return f"{'d' if value.is_float else 'i'}:{value.canonical()};".encode()
    content = value.encode()
    return b's:%d:"%b";' % (len(content), content)


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
    if not file.is_file():
        return
    content = _read_json(file)
    relative = _mapping(content, "subplugintypes") if tree.layout == "public" else {}
    declared = {kind: owner / path for kind, path in relative.items()} or {
        kind: tree.webroot / path.removeprefix("public/")
        for kind, path in _mapping(content, "plugintypes").items()
    }
    retired = {
        kind: owner / path
        for key in _RETIRED_SUBTYPE_KEYS
        for kind, path in _mapping(content, key).items()
        if tree.layout == "public"
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
