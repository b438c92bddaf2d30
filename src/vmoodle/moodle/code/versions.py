"""All versions of a code tree, and the hashes by which Moodle knows that an upgrade is pending.

Nothing is kept between processes: a tree is read in a tenth of a second, and what was kept would
have to look at as many files to know that it still holds.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vmoodle.errors import InvalidInput
from vmoodle.moodle.code.components import Plugin, plugins
from vmoodle.moodle.code.tree import MoodleTree
from vmoodle.moodle.code.version import PluginVersion
from vmoodle.moodle.php.source import Number


@dataclass(frozen=True)
class TreeVersions:
    """What every version.php of a tree says, read once, in the order in which Moodle lists them."""

    tree: MoodleTree
    plugins: Mapping[str, PluginVersion]
    paths: Mapping[str, Path]

    @property
    def hash(self) -> str:
        """What `config.allversionshash` is on a site that is at these versions.

        It is sha1 over PHP's serialize of all versions, as get_all_versions_hash() computes it
        (lib/classes/component.php, 3.6 to 5.1). A plugin without version counts as null there.
        Raise InvalidInput `codebase.version.computed` where only PHP can tell a version.
        """
        pairs = [_text("core") + _version(Number(self.tree.version.literal))]
        for component, plugin in self.plugins.items():
            if plugin.computed:
                raise _computed(self.paths[component])
            pairs.append(_text(component) + _version(plugin.version))
        return _array_hash(pairs)


def read_versions(tree: MoodleTree) -> TreeVersions:
    """Read all versions of a tree; raise InvalidInput when it cannot be read."""
    found = list(plugins(tree))
    return TreeVersions(
        tree,
        {plugin.component: plugin.read() for plugin in found},
        {plugin.component: plugin.path for plugin in found},
    )


def all_versions_hash(tree: MoodleTree) -> str:
    """Return `TreeVersions.hash` of a tree; raise as that and as `read_versions`."""
    return read_versions(tree).hash


def all_components_hash(tree: MoodleTree) -> str:
    """Return what `config.allcomponenthash` is on a site whose tree this is, at this very path.

    Where it is not the site's, Moodle wants maintenance for an upgrade (admin/cli/upgrade.php,
    `--is-maintenance-required`). It is over the content of every plugin's db directory, by absolute
    path (get_all_directory_hashes() in lib/classes/component.php, 4.2 to 5.1).
    """
    directories = [tree.webroot / "lib" / "db"]
    directories += [_db_of(plugin) for plugin in plugins(tree)]
    return _array_hash([_text(str(path)) + _text(_content_hash(path)) for path in directories])


def _db_of(plugin: Plugin) -> Path:
    return plugin.path / "db"


def _content_hash(directory: Path) -> str:
    if not directory.is_dir():
        return _sha1(b"")
    names = sorted(entry.name for entry in os.scandir(directory) if not entry.is_dir())
    return _list_hash([_sha1((directory / name).read_bytes()) for name in names])


def _list_hash(items: Sequence[str]) -> str:
    return _array_hash([b"i:%d;" % at + _text(item) for at, item in enumerate(items)])


def _array_hash(pairs: Sequence[bytes]) -> str:
    return _sha1(b"a:%d:{%b}" % (len(pairs), b"".join(pairs)))


def _version(value: Number | str | None) -> bytes:
    if value is None:
        return b"N;"
    if isinstance(value, str):
        return _text(value)
    if not value.is_float:
        return b"i:%d;" % int(value.text)
    number = float(value.text)
    # PHP turns to an exponent at 10^17 digits, Python at 10^16.
    text = value.canonical() if abs(number) < 1e17 else _exponential(number)
    return f"d:{text};".encode()


def _exponential(number: float) -> str:
    digits, _e, exponent = repr(number).partition("e")
    return f"{digits if '.' in digits else digits + '.0'}E{exponent}"


def _text(value: str) -> bytes:
    content = os.fsencode(value)
    return b's:%d:"%b";' % (len(content), content)


def _sha1(content: bytes) -> str:
    return hashlib.sha1(content, usedforsecurity=False).hexdigest()


def _computed(path: Path) -> InvalidInput:
    return InvalidInput(
        "codebase.version.computed",
        f"{path / 'version.php'} works its version out, which only PHP can follow.",
        "Write $plugin->version in it as a plain number, or ask Moodle itself: "
        "`vmoodle exec SITE -- admin/cli/upgrade.php --is-pending`.",
    )
