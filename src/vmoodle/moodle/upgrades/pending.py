"""Whether a site is to be upgraded to a code tree, why, and which plugins it changes.

The answer is that of moodle_needs_upgrading() (lib/moodlelib.php, 4.5 and 5.1), without PHP.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from vmoodle.moodle.plugins.states import CodeState, compare_versions
from vmoodle.moodle.upgrades.code import UpgradeCode
from vmoodle.moodle.upgrades.state import SiteVersions


class Pending(StrEnum):
    """Say whether a site is to be upgraded, and why."""

    NO = "up to date"
    VERSION = "pending: Moodle is newer on disk"
    PLUGINS = "pending: plugins differ"
    NO_HASH = "pending: a plugin was uninstalled, or an upgrade broke off"
    NOT_INSTALLED = "pending: the database has no version"
    OLDER = "refused: Moodle is older on disk"
    UNKNOWN = "pending perhaps: only PHP can tell a plugin's version"

    @property
    def is_pending(self) -> bool:
        """Tell whether Moodle would ask for an upgrade, or may; a downgrade it refuses."""
        return self not in (Pending.NO, Pending.OLDER)


@dataclass(frozen=True)
class PluginDrift:
    """A plugin whose version in the database is not the one on disk; None is not there."""

    component: str
    installed: str | None
    disk: str | None
    what: CodeState
    standard: bool
    """Moodle itself brings it; of one that is missing, that Moodle brings it no longer."""


def pending(site: SiteVersions, code: UpgradeCode) -> Pending:
    """Return whether the site is to be upgraded to the tree."""
    if not site.version:
        return Pending.NOT_INSTALLED
    core = compare_versions(site.version, code.tree.version.version)
    if core is CodeState.DOWNGRADE:
        return Pending.OLDER
    if core is not CodeState.SAME:
        return Pending.VERSION
    if not site.versions_hash:
        return Pending.NO_HASH
    if not code.hash:
        return Pending.UNKNOWN
    return Pending.NO if site.versions_hash == code.hash else Pending.PLUGINS


def drift(site: SiteVersions, code: UpgradeCode) -> Iterator[PluginDrift]:
    """Give the plugins in which the database and the tree differ, by their names."""
    for component in sorted({*site.plugins, *code.disk}):
        installed, disk = site.plugins.get(component), code.disk.get(component)
        if installed is None:
            what = CodeState.NOT_INSTALLED
        elif disk is None:
            what = CodeState.MISSING
        else:
            what = compare_versions(installed, disk)
        own = code.deleted if what is CodeState.MISSING else code.standard
        if what is not CodeState.SAME:
            yield PluginDrift(component, installed, disk, what, component in own)
