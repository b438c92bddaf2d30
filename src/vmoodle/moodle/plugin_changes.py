"""Set the state of a plugin by SQL, exactly as Moodle's enable_plugin does, and no further.

Where Moodle runs code of the plugin on the way, it is refused: that is for Moodle's own API. After
the commit drop the caches of `StateChange.stale` (`cache_invalidation`).
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vmoodle.engines.protocol import SiteConnection
from vmoodle.errors import InvalidInput, NotFound, Refused
from vmoodle.moodle.access_flags import SYSTEM_CONTEXT_LEVEL, mark_system
from vmoodle.moodle.cache_invalidation import Change
from vmoodle.moodle.config_log import log_change
from vmoodle.moodle.plugin_rules import (
    FILTER_STATES,
    RULES,
    DisabledSetting,
    FilterRows,
    PluginState,
    StateColumn,
    StateList,
    states_of,
)
from vmoodle.moodle.plugin_states import read_plugins, split
from vmoodle.moodle.site_settings import (
    CORE,
    Forced,
    SettingName,
    read_settings,
    set_settings,
)

# Activities of Moodle's own that run code before they are enabled; of others lib.php tells.
_ASK_BEFORE = frozenset({"bigbluebuttonbn"})
_ASKS = "pre_enable_plugin_actions"


@dataclass(frozen=True)
class StateChange:
    """A plugin's state before and after, and which kinds of change Moodle has cached."""

    component: str
    old: PluginState
    new: PluginState
    stale: frozenset[Change] = frozenset()


def set_state(
    connection: SiteConnection,
    component: str,
    state: PluginState,
    *,
    forced: Forced | None = None,
    code: Path | None = None,
) -> StateChange:
    """Give an installed plugin a state; one that it has already changes nothing.

    `code` is the plugin's directory, where there is one to look into. Raise NotFound
    `plugin.unknown`, InvalidInput `plugin.state`, Refused `plugin.state.fixed` for one that Moodle
    keeps as it is, `plugin.state.api` for what takes the plugin's own code, `setting.forced`.
    Nothing is changed then.
    """
    old = _current(connection, component, state, forced)
    kind, name = split(component)
    if old == state:
        return StateChange(component, old, state)
    _refuse_code(kind, name, old, state, code)
    rule = RULES[kind]
    for shape, change in _CHANGES.items():
        if isinstance(rule, shape):
            stale = change(connection, rule, kind, name, state, forced or {})
            return StateChange(component, old, state, stale | {Change.PLUGIN_STATES})
    raise AssertionError(rule)


def _current(
    connection: SiteConnection, component: str, state: PluginState, forced: Forced | None
) -> PluginState:
    found = read_plugins(connection, forced=forced).get(component)
    if found is None:
        raise NotFound(
            "plugin.unknown",
            f"The site has no plugin {component!r} installed.",
            "Name it as Moodle does, such as mod_quiz; install it by an upgrade of the site.",
        )
    kind, _name = split(component)
    possible = states_of(kind)
    if state not in possible or found.state is None:
        raise InvalidInput(
            "plugin.state",
            f"{component} cannot be {state}.",
            f"It can be: {', '.join(possible)}." if possible else "Its kind has no state.",
        )
    return found.state


def _refuse_code(
    kind: str, name: str, old: PluginState, state: PluginState, code: Path | None
) -> None:
    rule = RULES[kind]
    if isinstance(rule, StateList) and name in rule.fixed:
        raise Refused(
            "plugin.state.fixed",
            f"{kind}_{name} is always enabled.",
            "Moodle keeps it so, that people can log in.",
        )
    runs_code = (
        (kind == "mod" and state == PluginState.ENABLED and _asks_before(name, code))
        # portfolio_instance(): the plugin checks itself before it is shown.
        or (kind == "portfolio" and state == PluginState.ENABLED)
        # repository_type create() and delete() make and remove instances and files.
        or (kind == "repository" and PluginState.DISABLED in (old, state))
    )
    if runs_code:
        raise Refused(
            "plugin.state.api",
            f"Moodle runs code of {kind}_{name} when it becomes {state}.",
            "Do it in the site's own administration.",
        )


def _asks_before(name: str, code: Path | None) -> bool:
    library = code / "lib.php" if code is not None else None
    if library is None or not library.is_file():
        return name in _ASK_BEFORE
    return _ASKS in library.read_text(encoding="utf-8", errors="replace")


def _column(
    connection: SiteConnection,
    rule: StateColumn,
    kind: str,
    name: str,
    state: PluginState,
    _forced: Forced,
) -> frozenset[Change]:
    new = int(state == PluginState.ENABLED)
    connection.execute(
        f"UPDATE {{{rule.table}}} SET {rule.column} = %s WHERE {rule.key} = %s",  # noqa: S608
        (new, name),
    )
    if kind == "mod":
        _activities(connection, name, new)
    plugin = name if rule.log else CORE
    log_change(connection, rule.log or name, str(1 - new), str(new), plugin)
    return rule.changes


def _activities(connection: SiteConnection, name: str, visible: int) -> None:
    """Show or hide what courses have of an activity, and have their pages built anew."""
    ((module,),) = connection.query("SELECT id FROM {modules} WHERE name = %s", (name,))
    if visible:
        connection.execute(
            "UPDATE {course_modules} SET visible = 1 WHERE visibleold = 1 AND module = %s",
            (module,),
        )
        _bump_courses(connection, "visible", module)
    else:
        # MariaDB assigns from left to right, PostgreSQL from the row before: both are right so.
        connection.execute(
            "UPDATE {course_modules} SET visibleold = visible, visible = 0 WHERE module = %s",
            (module,),
        )
        _bump_courses(connection, "visibleold", module)


def _bump_courses(connection: SiteConnection, column: str, module: object) -> None:
    # lib/datalib.php, increment_revision_number.
    now = int(time.time())
    connection.execute(
        "UPDATE {course} SET cacherev = CASE WHEN cacherev IS NULL THEN %s WHEN cacherev < %s"  # noqa: S608
        " THEN %s WHEN cacherev > %s THEN %s ELSE cacherev + 1 END WHERE id IN (SELECT DISTINCT"
        f" course FROM {{course_modules}} WHERE {column} = 1 AND module = %s)",
        (now, now, now, now + 3600, now, module),
    )


def _list(
    connection: SiteConnection,
    rule: StateList,
    kind: str,
    name: str,
    state: PluginState,
    forced: Forced,
) -> frozenset[Change]:
    setting = rule.setting
    old = read_settings(connection, [setting], forced)[setting].effective
    names = [word for word in (old or "").split(",") if word]
    is_listed = (state == PluginState.ENABLED) != rule.lists_disabled
    names = [*names, name] if is_listed else [word for word in names if word != name]
    if not names and rule.last:
        names = [rule.last]
    values: dict[SettingName, str | None] = {setting: ",".join(names)}
    closes = kind == "auth" and state == PluginState.DISABLED
    if closes:
        values |= _no_registration(connection, name, forced)
    set_settings(connection, values, forced=forced, create=True, log=False)
    if closes:
        # Of those who came in that way; sessions that are not in the database run out.
        connection.execute(
            "DELETE FROM {sessions} WHERE userid IN (SELECT id FROM {user} WHERE auth = %s)",
            (name,),
        )
    enabled = int(state == PluginState.ENABLED)
    if rule.logs_list:
        log_change(connection, setting.name, old or "0", values[setting], setting.component)
    else:
        word = "editor_visibility" if kind == "editor" else setting.name
        log_change(connection, word, str(1 - enabled), str(enabled), name)
    if kind == "enrol":
        mark_system(connection)
    return frozenset({Change.SETTINGS})


def _no_registration(
    connection: SiteConnection, name: str, forced: Forced
) -> Mapping[SettingName, str | None]:
    """Return what keeps people from registering by a way in that is closed."""
    setting = SettingName(CORE, "registerauth")
    value = read_settings(connection, [setting], forced)[setting]
    return {setting: ""} if value.stored == name and not value.is_forced else {}


def _setting(
    connection: SiteConnection,
    rule: DisabledSetting,
    kind: str,
    name: str,
    state: PluginState,
    forced: Forced,
) -> frozenset[Change]:
    setting = rule.setting(kind, name)
    disabled = state == PluginState.DISABLED
    default = SettingName("moodlecourse", "format")
    is_default = read_settings(connection, [default], forced)[default].effective == name
    if kind == "format" and disabled and is_default:
        raise Refused(
            "plugin.state.fixed",
            f"format_{name} is the format of new courses.",
            "Set another first: moodlecourse/format.",
        )
    new = "1" if disabled else (None if rule.unset else "0")
    old = read_settings(connection, [setting])[setting].stored
    set_settings(connection, {setting: new}, forced=forced, create=True, log=False)
    log_change(connection, setting.name, old or "0", str(int(disabled)), setting.component)
    return frozenset({Change.SETTINGS})


def _filter(
    connection: SiteConnection,
    _rule: FilterRows,
    _kind: str,
    name: str,
    state: PluginState,
    forced: Forced,
) -> frozenset[Change]:
    """Set a filter's state and the order of all, as filter_set_global_state does."""
    ((system,),) = connection.query(
        "SELECT id FROM {context} WHERE contextlevel = %s", (SYSTEM_CONTEXT_LEVEL,)
    )
    rows = connection.query(
        "SELECT id, filter, active, sortorder FROM {filter_active} WHERE contextid = %s"
        " ORDER BY sortorder",
        (system,),
    )
    new, disabled = FILTER_STATES[state], FILTER_STATES[PluginState.DISABLED]
    old = next((str(active) for _id, other, active, _order in rows if other == name), "")
    if old:
        connection.execute(
            "UPDATE {filter_active} SET active = %s WHERE contextid = %s AND filter = %s",
            (new, system, name),
        )
    else:
        connection.execute(
            "INSERT INTO {filter_active} (filter, contextid, active, sortorder)"
            " VALUES (%s, %s, %s, 99999)",
            (name, system, new),
        )
    log_change(connection, "filter_active", old, str(new), name)
    was_on = [str(other) for _id, other, active, _order in rows if int(active) != disabled]
    was_off = [str(other) for _id, other, active, _order in rows if int(active) == disabled]
    on = [other for other in was_on if other != name or new != disabled]
    if new != disabled and name not in on:
        on.append(name)
    off = [other for other in {*was_off, name} if other not in on]
    for order, other in enumerate([*on, *sorted(off, key=_natural)], start=1):
        connection.execute(
            "UPDATE {filter_active} SET sortorder = %s WHERE contextid = %s AND filter = %s"
            " AND sortorder <> %s",
            (order, system, other, order),
        )
    return _headings(connection, name, state, forced)


def _headings(
    connection: SiteConnection, name: str, state: PluginState, forced: Forced
) -> frozenset[Change]:
    """Keep the settings of filters in headings right: filter_set_applies_to_strings."""
    setting, flag = SettingName(CORE, "stringfilters"), SettingName(CORE, "filterall")
    values = read_settings(connection, [setting, flag], forced)
    names = [word for word in (values[setting].effective or "").split(",") if word]
    if state == PluginState.DISABLED and name in names:
        names.remove(name)
    wanted = {setting: ",".join(names), flag: str(int(bool(names)))}
    changed = {
        key: value
        for key, value in wanted.items()
        if not values[key].is_forced and (value or values[key].stored)
    }
    set_settings(connection, changed, create=True, log=False)
    return frozenset({Change.SETTINGS})


def _natural(name: str) -> list[tuple[int, int | str]]:
    words = re.split(r"(\d+)", name.casefold())
    return [(0, int(word)) if word.isdigit() else (1, word) for word in words if word]


_CHANGES: Mapping[type, Callable[..., Any]] = {
    StateColumn: _column,
    StateList: _list,
    DisabledSetting: _setting,
    FilterRows: _filter,
}
