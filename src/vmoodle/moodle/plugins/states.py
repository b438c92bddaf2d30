"""A site's plugins: installed version, version on disk, state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from enum import StrEnum

from vmoodle.engines.protocol import SiteConnection
from vmoodle.moodle.config.names import SettingName
from vmoodle.moodle.config.settings import Forced, read_settings
from vmoodle.moodle.database.system_context import SYSTEM_CONTEXT
from vmoodle.moodle.plugins.rules import (
    FILTER_STATES,
    RULES,
    Always,
    DisabledSetting,
    FilterRows,
    PluginState,
    StateColumn,
    StateList,
    split,
)


class CodeState(StrEnum):
    """Say how a plugin's version in the database stands to that on disk."""

    SAME = "same"
    UPGRADE = "to be upgraded"
    DOWNGRADE = "older on disk"
    NOT_INSTALLED = "on disk, not installed"
    MISSING = "installed, not on disk"
    UNKNOWN = "not known"


@dataclass(frozen=True)
class SitePlugin:
    """One plugin of a site; None is not there, or for `state` a kind without one."""

    component: str
    installed: str | None
    disk: str | None
    state: PluginState | None
    code: CodeState


def read_plugins(
    connection: SiteConnection,
    disk: Mapping[str, str] | None = None,
    forced: Forced | None = None,
) -> dict[str, SitePlugin]:
    """Return the plugins that are installed or on disk, by component.

    `disk` is the versions of `code.py`; without it nothing is said of the code. `forced` is
    what config.php forces: lists of enabled plugins may be.
    """
    installed = {
        str(component): str(version)
        for component, version in connection.query(
            "SELECT plugin, value FROM {config_plugins} WHERE name = 'version'"
        )
        if "_" in str(component)
    }
    states = _States(connection, forced or {})
    return {
        component: SitePlugin(
            component,
            installed.get(component),
            None if disk is None else disk.get(component),
            states.of(component) if component in installed else None,
            _code(installed.get(component), component, disk),
        )
        for component in sorted({*installed, *(disk or {})})
    }


def read_core_version(connection: SiteConnection) -> str:
    """Return the version of Moodle itself that the database is at, empty for none."""
    rows = connection.query("SELECT value FROM {config} WHERE name = 'version'")
    return str(rows[0][0]) if rows else ""


def compare_versions(installed: str, disk: str) -> CodeState:
    """Return how a version in the database stands to the one on disk."""
    if installed == disk and installed.isdigit():
        return CodeState.SAME
    try:
        ours, theirs = Decimal(installed), Decimal(disk)
    except InvalidOperation:
        return CodeState.UNKNOWN
    if ours == theirs:
        return CodeState.SAME
    return CodeState.UPGRADE if ours < theirs else CodeState.DOWNGRADE


def _code(installed: str | None, component: str, disk: Mapping[str, str] | None) -> CodeState:
    if disk is None:
        return CodeState.UNKNOWN
    if installed is None:
        return CodeState.NOT_INSTALLED
    if component not in disk:
        return CodeState.MISSING
    return compare_versions(installed, disk[component])


class _States:
    """Every state of a site, read at once: one query a place where states lie."""

    def __init__(self, connection: SiteConnection, forced: Forced) -> None:
        self._columns = _columns(connection)
        self._filters = {
            str(name): int(active)
            for name, active in connection.query(
                f"SELECT filter, active FROM {{filter_active}} WHERE contextid IN {SYSTEM_CONTEXT}"  # noqa: S608
            )
        }
        lists = [rule.setting for rule in RULES.values() if isinstance(rule, StateList)]
        self._lists = {
            setting: value.effective or ""
            for setting, value in read_settings(connection, lists, forced).items()
        }
        self._disabled = {
            SettingName(str(plugin), str(name)): str(value)
            for plugin, name, value in connection.query(
                "SELECT plugin, name, value FROM {config_plugins}"
                " WHERE name = 'disabled' OR plugin = 'question'"
            )
        }

    def of(self, component: str) -> PluginState | None:
        kind, name = split(component)
        rule = RULES.get(kind)
        if rule is None or isinstance(rule, Always):
            return None
        if isinstance(rule, FilterRows):
            active = self._filters.get(name, FILTER_STATES[PluginState.DISABLED])
            return next((s for s, n in FILTER_STATES.items() if n == active), PluginState.DISABLED)
        if isinstance(rule, StateColumn):
            value = self._columns.get((kind, name))
            if value is None:
                return rule.no_row
            return PluginState.ENABLED if value else rule.off
        if isinstance(rule, DisabledSetting):
            is_enabled = self._disabled.get(rule.setting(kind, name), "") in ("", "0")
        else:
            is_enabled = _is_listed(rule, name, self._lists[rule.setting])
        return PluginState.ENABLED if is_enabled else PluginState.DISABLED


def _is_listed(rule: StateList, name: str, value: str) -> bool:
    listed = value.split(",") if value else list(rule.unset)
    return name in rule.fixed or (name in listed) != rule.lists_disabled


def _columns(connection: SiteConnection) -> dict[tuple[str, str], int]:
    each = " UNION ALL ".join(
        f"SELECT '{kind}', {rule.key}, {rule.column} FROM {{{rule.table}}}"  # noqa: S608
        for kind, rule in RULES.items()
        if isinstance(rule, StateColumn)
    )
    found: dict[tuple[str, str], int] = {}
    for kind, name, value in connection.query(each):
        # A portfolio may have several instances: enabled when one is seen.
        key = (str(kind), str(name))
        found[key] = max(int(value), found.get(key, 0))
    return found
