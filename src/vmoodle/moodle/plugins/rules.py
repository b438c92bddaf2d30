"""Where the state of each kind of plugin lies, and what Moodle does when it changes: as data.

Sources are the classes below lib/classes/plugininfo/, and mod/assign/classes/plugininfo/ for the
parts of assignments; functions get_enabled_plugins and enable_plugin, the same in 4.5 and 5.1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from vmoodle.moodle.caches.invalidation import Change
from vmoodle.moodle.config.names import CORE, SettingName


class PluginState(StrEnum):
    """Say whether a plugin works; AVAILABLE is a filter that each course may turn on itself.

    HIDDEN is a repository that works and is not offered.
    """

    ENABLED = "enabled"
    AVAILABLE = "available"
    HIDDEN = "hidden"
    DISABLED = "disabled"


@dataclass(frozen=True)
class StateColumn:
    """A row for each plugin, and in it 1 for enabled; no row is disabled, or no state at all.

    `log` is the name of the row in Moodle's list of changes, empty for the plugin's own name.
    """

    table: str
    key: str
    column: str
    log: str
    source: str
    off: PluginState = PluginState.DISABLED
    no_row: PluginState | None = None
    changes: frozenset[Change] = frozenset({Change.PLUGIN_STATES})


@dataclass(frozen=True)
class StateList:
    """One setting that lists the plugins by name, separated by commas.

    With `lists_disabled` those that are listed are the disabled ones. `fixed` are enabled whatever
    it says; `unset` stand for an empty list; `last` is what Moodle puts into a list that would
    become empty.
    """

    setting: SettingName
    source: str
    lists_disabled: bool = False
    fixed: tuple[str, ...] = ()
    unset: tuple[str, ...] = ()
    last: str = ""
    logs_list: bool = True


@dataclass(frozen=True)
class OwnSetting:
    """A setting that each plugin has for itself; `{type}` and `{name}` are the plugin's."""

    component: str
    name: str
    source: str

    def setting(self, kind: str, name: str) -> SettingName:
        """Return the plugin's own setting."""
        words = {"type": kind, "name": name}
        return SettingName(self.component.format(**words), self.name.format(**words))


@dataclass(frozen=True)
class DisabledSetting(OwnSetting):
    """A setting for each plugin that says it is disabled.

    With `unset` it is removed when the plugin is enabled, else it is set to 0.
    """

    unset: bool = True


@dataclass(frozen=True)
class FilterRows:
    """The table filter_active with three states and an order: lib/filterlib.php."""

    source: str = "lib/filterlib.php, filter_set_global_state"


@dataclass(frozen=True)
class Always:
    """Plugins of the kind have no state: one that is installed works."""

    source: str


Rule = StateColumn | StateList | DisabledSetting | FilterRows | Always

RULES: Mapping[str, Rule] = {
    "mod": StateColumn("modules", "name", "visible", "mod_visibility", "plugininfo/mod.php"),
    "block": StateColumn("block", "name", "visible", "block_visibility", "plugininfo/block.php"),
    "local": Always("plugininfo/local.php"),
    "message": StateColumn(
        "message_processors", "name", "enabled", "",
        "plugininfo/message.php; message/classes/api.php, update_processor_status",
        changes=frozenset({Change.PLUGIN_STATES, Change.MESSAGE_PROCESSORS}),
    ),
    "filter": FilterRows(),
    "repository": StateColumn(
        "repository", "type", "visible", "repository_visibility",
        "plugininfo/repository.php; repository/lib.php, update_visible",
        off=PluginState.HIDDEN, no_row=PluginState.DISABLED,
    ),
    "qbehaviour": StateList(
        SettingName("question", "disabledbehaviours"), "plugininfo/qbehaviour.php",
        lists_disabled=True,
    ),
    "qtype": DisabledSetting("question", "{name}_disabled", "plugininfo/qtype.php"),
    "portfolio": StateColumn(
        "portfolio_instance", "plugin", "visible", "portfolio_visibility",
        "plugininfo/portfolio.php", no_row=PluginState.DISABLED,
    ),
    "auth": StateList(
        SettingName(CORE, "auth"), "plugininfo/auth.php", fixed=("manual", "nologin")
    ),
    "format": DisabledSetting("{type}_{name}", "disabled", "plugininfo/format.php"),
    "editor": StateList(
        SettingName(CORE, "texteditors"), "plugininfo/editor.php",
        unset=("atto", "tiny", "tinymce", "textarea"), last="textarea", logs_list=False,
    ),
    "enrol": StateList(
        SettingName(CORE, "enrol_plugins_enabled"), "plugininfo/enrol.php", logs_list=False
    ),
    "assignsubmission": DisabledSetting(
        "{type}_{name}", "disabled", "plugininfo/assignsubmission.php", unset=False
    ),
    "assignfeedback": DisabledSetting(
        "{type}_{name}", "disabled", "plugininfo/assignfeedback.php", unset=False
    ),
}  # fmt: skip
"""The kinds of plugins whose state VMoodle knows; others have a version and no state here."""

# TEXTFILTER_ON, _OFF and _DISABLED of lib/filterlib.php.
FILTER_STATES: Mapping[PluginState, int] = {
    PluginState.ENABLED: 1,
    PluginState.AVAILABLE: -1,
    PluginState.DISABLED: -9999,
}


# What enable_plugin sets beside the state: plugininfo/auth.php, filter.php.
SET_WITH_STATES = tuple(
    SettingName(CORE, name) for name in ("registerauth", "stringfilters", "filterall")
)


def split(component: str) -> tuple[str, str]:
    """Return a plugin's kind and name: `mod_quiz` is (`mod`, `quiz`)."""
    kind, _, name = component.partition("_")
    return kind, name


def settings_of(component: str) -> tuple[SettingName, ...]:
    """Return the settings that have the plugin's state; none where it lies in a table.

    The name may be `*`: then `*` is in the place of it.
    """
    kind, name = split(component)
    rule = RULES.get(kind)
    if isinstance(rule, StateList):
        return (rule.setting,)
    return (rule.setting(kind, name),) if isinstance(rule, DisabledSetting) else ()


def states_of(kind: str) -> tuple[PluginState, ...]:
    """Return the states that plugins of a kind may have; none where the kind has no state."""
    rule = RULES.get(kind)
    if rule is None or isinstance(rule, Always):
        return ()
    if isinstance(rule, FilterRows):
        return tuple(FILTER_STATES)
    if isinstance(rule, StateColumn):
        others = (rule.off, rule.no_row) if rule.no_row else (rule.off,)
        return tuple(dict.fromkeys((PluginState.ENABLED, *others)))
    return (PluginState.ENABLED, PluginState.DISABLED)
