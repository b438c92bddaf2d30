"""Set the state of a plugin by SQL, exactly as Moodle's enable_plugin does, and no further.

Where Moodle runs code of the plugin on the way, it is refused: that is for `with_moodle`. After
the commit drop the caches of `StateChange.stale` (`caches/invalidation.py`).
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vmoodle.engines.protocol import SiteConnection
from vmoodle.moodle.caches.access_flags import mark_system
from vmoodle.moodle.caches.invalidation import Change
from vmoodle.moodle.config.log import log_change
from vmoodle.moodle.config.names import CORE, SettingName
from vmoodle.moodle.config.settings import Forced, SettingChange, read_settings, set_settings
from vmoodle.moodle.database.system_context import system_context
from vmoodle.moodle.plugins.refusals import refuse_state
from vmoodle.moodle.plugins.rules import (
    FILTER_STATES,
    RULES,
    DisabledSetting,
    FilterRows,
    PluginState,
    StateColumn,
    StateList,
    split,
)
from vmoodle.moodle.plugins.states import read_plugins

_Done = tuple[frozenset[Change], tuple[SettingChange, ...]]
# What is stale, and the settings that were changed with the state.


@dataclass(frozen=True)
class StateChange:
    """A plugin's state before and after, and which kinds of change Moodle has cached.

    `settings` are those that Moodle changes with it: who can register, what headings are filtered.
    """

    component: str
    old: PluginState
    new: PluginState
    stale: frozenset[Change] = frozenset()
    settings: tuple[SettingChange, ...] = ()


def set_state(
    connection: SiteConnection,
    component: str,
    state: PluginState,
    *,
    forced: Forced | None = None,
    code: Path | None = None,
) -> StateChange:
    """Give an installed plugin a state; one that it has already changes nothing.

    Raise as `refusals.refuse_state`; nothing is changed then.
    """
    found = read_plugins(connection, forced=forced)
    old = refuse_state(connection, component, state, found, forced=forced, code=code)
    if old == state:
        return StateChange(component, old, state)
    kind, name = split(component)
    rule = RULES[kind]
    for shape, change in _CHANGES.items():
        if isinstance(rule, shape):
            stale, settings = change(connection, rule, kind, name, state, forced or {})
            stale |= {Change.PLUGIN_STATES}
            return StateChange(component, old, state, stale, settings)
    raise AssertionError(rule)


def _column(
    connection: SiteConnection,
    rule: StateColumn,
    kind: str,
    name: str,
    state: PluginState,
    _forced: Forced,
) -> _Done:
    new = int(state == PluginState.ENABLED)
    connection.execute(
        f"UPDATE {{{rule.table}}} SET {rule.column} = %s WHERE {rule.key} = %s",  # noqa: S608
        (new, name),
    )
    if kind == "mod":
        _activities(connection, name, new)
    plugin = name if rule.log else CORE
    log_change(connection, rule.log or name, str(1 - new), str(new), plugin)
    return rule.changes, ()


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
) -> _Done:
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
    changed = set_settings(connection, values, forced=forced, create=True, log=False)
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
    also = tuple(change for change in changed if change.setting != setting)
    return frozenset({Change.SETTINGS}), also


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
) -> _Done:
    setting = rule.setting(kind, name)
    disabled = state == PluginState.DISABLED
    new = "1" if disabled else (None if rule.unset else "0")
    old = read_settings(connection, [setting])[setting].stored
    set_settings(connection, {setting: new}, forced=forced, create=True, log=False)
    log_change(connection, setting.name, old or "0", str(int(disabled)), setting.component)
    return frozenset({Change.SETTINGS}), ()


def _filter(
    connection: SiteConnection,
    _rule: FilterRows,
    _kind: str,
    name: str,
    state: PluginState,
    forced: Forced,
) -> _Done:
    """Set a filter's state and the order of all, as filter_set_global_state does."""
    system = system_context(connection)
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
    _order_filters(connection, system, rows, name, on=new != disabled)
    return _headings(connection, name, state, forced)


def _order_filters(
    connection: SiteConnection,
    system: int,
    rows: Iterable[Sequence[Any]],
    name: str,
    *,
    on: bool,
) -> None:
    """Number all filters: those that are on in their order, then the others by name."""
    disabled = FILTER_STATES[PluginState.DISABLED]
    was_on = [str(other) for _id, other, active, _order in rows if int(active) != disabled]
    was_off = [str(other) for _id, other, active, _order in rows if int(active) == disabled]
    first = [other for other in was_on if other != name or on]
    if on and name not in first:
        first.append(name)
    last = [other for other in {*was_off, name} if other not in first]
    for order, other in enumerate([*first, *sorted(last, key=_natural)], start=1):
        connection.execute(
            "UPDATE {filter_active} SET sortorder = %s WHERE contextid = %s AND filter = %s"
            " AND sortorder <> %s",
            (order, system, other, order),
        )


def _headings(connection: SiteConnection, name: str, state: PluginState, forced: Forced) -> _Done:
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
    also = set_settings(connection, changed, create=True, log=False)
    return frozenset({Change.SETTINGS}), also


def _natural(name: str) -> list[tuple[int, int | str]]:
    words = re.split(r"(\d+)", name.casefold())
    return [(0, int(word)) if word.isdigit() else (1, word) for word in words if word]


_CHANGES: Mapping[type, Callable[..., Any]] = {
    StateColumn: _column,
    StateList: _list,
    DisabledSetting: _setting,
    FilterRows: _filter,
}
