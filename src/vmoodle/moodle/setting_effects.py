"""What a change of a setting entails beside its own row: revisions to raise, caches to drop.

Moodle does it in the callbacks of its pages of settings (admin/settings/*.php, 4.5 and 5.1). Those
of plugins that are not Moodle's own are not known here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase

from vmoodle.engines.protocol import SiteConnection
from vmoodle.moodle.caches.access_flags import mark_system
from vmoodle.moodle.caches.invalidation import Change
from vmoodle.moodle.caches.revisions import Revision, raise_revision
from vmoodle.moodle.config.names import CORE, SettingName
from vmoodle.moodle.config.settings import SettingChange
from vmoodle.moodle.plugins.rules import RULES, settings_of

_ENROLMENTS = SettingName(CORE, "enrol_plugins_enabled")


@dataclass(frozen=True)
class _Callback:
    """Settings by wildcard, and the revision that their change raises."""

    component: str
    names: tuple[str, ...]
    revision: Revision
    source: str


_CALLBACKS = (
    _Callback("theme_*", ("*",), "themerev", "theme/boost/settings.php"),
    _Callback(
        "core_admin", ("logo", "logocompact", "favicon", "coursecolor*"), "themerev",
        "admin/settings/appearance.php",
    ),
    _Callback(
        CORE,
        ("theme", "themelist", "themedesignermode", "allowuserthemes", "allowcoursethemes",
         "allowcategorythemes", "allowcohortthemes"),
        "themerev", "admin/settings/appearance.php; admin/themeselector.php",
    ),
    _Callback(CORE, ("cachejs",), "jsrev", "admin/settings/appearance.php"),
    _Callback(CORE, ("cachetemplates",), "templaterev", "admin/settings/appearance.php"),
)  # fmt: skip


def entail(connection: SiteConnection, changes: Iterable[SettingChange]) -> frozenset[Change]:
    """Do, in the changes' own transaction, what they entail; return what Moodle has cached of it.

    Without a change nothing is done, and nothing is to be dropped.
    """
    names = [change.setting for change in changes]
    if not names:
        return frozenset()
    stale = {Change.SETTINGS}
    revisions = {one.revision for one in _CALLBACKS if any(_is_of(one, name) for name in names)}
    for revision in sorted(revisions):
        raise_revision(connection, revision)
    if "themerev" in revisions:
        stale.add(Change.THEMES)
    if any(holds_states(name) for name in names):
        stale.add(Change.PLUGIN_STATES)
    if _ENROLMENTS in names:
        mark_system(connection)
    return frozenset(stale)


def _is_of(callback: _Callback, setting: SettingName) -> bool:
    return fnmatchcase(setting.component, callback.component) and any(
        fnmatchcase(setting.name, name) for name in callback.names
    )


def holds_states(setting: SettingName) -> bool:
    """Tell whether Moodle keeps in the setting which plugins are enabled."""
    return any(
        fnmatchcase(setting.component, one.component) and fnmatchcase(setting.name, one.name)
        for kind in RULES
        for one in settings_of(f"{kind}_*")
    )
