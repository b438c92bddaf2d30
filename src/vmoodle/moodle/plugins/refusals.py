"""Which states a plugin of a site cannot be given: as Moodle refuses, or because it runs code."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from vmoodle.engines.protocol import SiteConnection
from vmoodle.errors import InvalidInput, NotFound, Refused
from vmoodle.moodle.config.settings import (
    Forced,
    SettingName,
    read_settings,
    refuse_forced,
)
from vmoodle.moodle.plugins.repositories import refuse_linked_files
from vmoodle.moodle.plugins.rules import (
    RULES,
    PluginState,
    StateList,
    settings_of,
    split,
    states_of,
)
from vmoodle.moodle.plugins.states import SitePlugin
from vmoodle.near import near

# Activities of Moodle's own that run code before they are enabled; of others lib.php tells.
_ASK_BEFORE = frozenset({"bigbluebuttonbn"})
_ASKS = "pre_enable_plugin_actions"
_DEFAULT_FORMAT = SettingName("moodlecourse", "format")
# What is said of one plugin; anything else is a fault of the site or of its server.
REFUSALS = frozenset(
    {
        "plugin.unknown", "plugin.state", "plugin.state.fixed", "plugin.state.api",
        "plugin.state.files", "setting.forced",
    }
)  # fmt: skip


def refuse_impossible(component: str, state: PluginState) -> None:
    """Raise for what no site does: InvalidInput `plugin.state`, Refused `plugin.state.fixed`."""
    kind, name = split(component)
    possible = states_of(kind)
    if state not in possible:
        raise InvalidInput(
            "plugin.state",
            f"{component} cannot be {state}.",
            f"It can be: {', '.join(possible)}."
            if possible
            else f"There is no state for plugins of the kind {kind}: one that is installed works.",
        )
    rule = RULES[kind]
    if isinstance(rule, StateList) and name in rule.fixed and state != PluginState.ENABLED:
        raise Refused(
            "plugin.state.fixed",
            f"{component} is always enabled.",
            "Moodle keeps it so, that people can log in.",
        )


def refuse_state(
    connection: SiteConnection,
    component: str,
    state: PluginState,
    found: Mapping[str, SitePlugin],
    *,
    forced: Forced | None = None,
    code: Path | None = None,
    by_moodle: bool = False,
) -> PluginState:
    """Return the state a plugin has; raise where it cannot be given the other one.

    `found` is of `read_plugins`, `code` the plugin's directory; with `by_moodle` it may be a state
    that Moodle itself is to set. Raise NotFound `plugin.unknown`, InvalidInput `plugin.state`,
    Refused `plugin.state.fixed`, `plugin.state.api`, `plugin.state.files`, `setting.forced`.
    """
    plugin = found.get(component)
    if plugin is None or plugin.installed is None:
        raise _unknown(component, plugin, found)
    refuse_impossible(component, state)
    old = plugin.state
    assert old is not None  # noqa: S101 - its kind has states
    if old != state:
        kind, name = split(component)
        _refuse_forced(connection, component, forced or {})
        _refuse_default_format(connection, kind, name, state, forced or {})
        if not by_moodle:
            _refuse_code(component, old, state, code)
        elif kind == "repository" and state == PluginState.DISABLED:
            refuse_linked_files(connection, name)
    return old


def _unknown(
    component: str, plugin: SitePlugin | None, found: Mapping[str, SitePlugin]
) -> NotFound:
    if plugin is not None:
        return NotFound(
            "plugin.unknown",
            f"{component} is on disk and not installed on the site.",
            "Upgrade the site: that installs it.",
        )
    return NotFound(
        "plugin.unknown",
        f"The site has no plugin {component!r} installed.",
        near(component, found, "Name it as Moodle does, such as mod_quiz."),
    )


def _refuse_forced(connection: SiteConnection, component: str, forced: Forced) -> None:
    for setting, value in read_settings(connection, settings_of(component), forced).items():
        refuse_forced(setting, value)


def _refuse_default_format(
    connection: SiteConnection, kind: str, name: str, state: PluginState, forced: Forced
) -> None:
    if kind != "format" or state != PluginState.DISABLED:
        return
    default = read_settings(connection, [_DEFAULT_FORMAT], forced)[_DEFAULT_FORMAT]
    if default.effective == name:
        raise Refused(
            "plugin.state.fixed",
            f"format_{name} is the format of new courses.",
            f"Set another first: {_DEFAULT_FORMAT}.",
        )


def runs_code(
    component: str, old: PluginState, state: PluginState, code: Path | None = None
) -> bool:
    """Tell whether Moodle runs code of the plugin for the change, so that only it can make it."""
    kind, name = split(component)
    return (
        (kind == "mod" and state == PluginState.ENABLED and _asks_before(name, code))
        # portfolio_instance(): the plugin checks itself before it is shown.
        or (kind == "portfolio" and state == PluginState.ENABLED)
        # repository_type create() and delete() make and remove instances and files.
        or (kind == "repository" and PluginState.DISABLED in (old, state))
    )


def _refuse_code(component: str, old: PluginState, state: PluginState, code: Path | None) -> None:
    if runs_code(component, old, state, code):
        raise Refused(
            "plugin.state.api",
            f"Moodle runs code of {component} when it becomes {state}.",
            "Have Moodle do it: vmoodle plugin set.",
        )


def _asks_before(name: str, code: Path | None) -> bool:
    library = code / "lib.php" if code is not None else None
    if library is None or not library.is_file():
        return name in _ASK_BEFORE
    return _ASKS in library.read_text(encoding="utf-8", errors="replace")
