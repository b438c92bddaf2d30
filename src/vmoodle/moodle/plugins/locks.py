"""Where the states and orders of plugins lie, locked before they are gone by and written.

A list that was read without a lock and is written later takes away what somebody put into it
meanwhile. Everybody locks settings first, in the order of `read_settings`, and then rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from vmoodle.engines.protocol import SiteConnection
from vmoodle.errors import Conflict, changed_since
from vmoodle.moodle.config.settings import SettingName, read_settings
from vmoodle.moodle.database.site_schema import marks
from vmoodle.moodle.database.system_context import system_context
from vmoodle.moodle.plugins.order import ORDERS, Order, OrderRows, order_settings
from vmoodle.moodle.plugins.rules import (
    RULES,
    SET_WITH_STATES,
    FilterRows,
    StateColumn,
    settings_of,
    split,
)


def lock_plugins(
    connection: SiteConnection,
    plugins: Iterable[str],
    orders: Mapping[str, Order] | None = None,
    settings: Iterable[SettingName] = (),
) -> None:
    """Let nobody else change these states, orders and settings before the transaction has ended.

    Raise Conflict `plugin.changed` where the transaction has read them before, and goes on seeing
    them as they were then.
    """
    components, kinds = sorted(set(plugins)), orders or {}
    names = [*settings, *(one for component in components for one in settings_of(component))]
    names += [one for kind, order in kinds.items() for one in order_settings(kind, order)]
    if components:
        names += SET_WITH_STATES
    names = list(dict.fromkeys(names))
    changed: list[str] = []
    if names:
        locked = read_settings(connection, names, lock=True)
        seen = read_settings(connection, names)
        changed += [str(name) for name in names if locked[name].stored != seen[name].stored]
    for table, query, words in _rows(connection, components, kinds):
        locked_rows = connection.query(f"{query} ORDER BY id FOR UPDATE", words)
        if list(locked_rows) != list(connection.query(f"{query} ORDER BY id", words)):
            changed.append(table)
    if changed:
        raise plugins_changed(changed)


def plugins_changed(what: Iterable[str]) -> Conflict:
    """Return the error for plugins that somebody else has changed."""
    return changed_since(
        "plugin.changed",
        ", ".join(what),
        "Nothing was changed on this site; look at it by `vmoodle plugin list`, and do it anew.",
    )


def _rows(
    connection: SiteConnection, components: Iterable[str], orders: Iterable[str]
) -> list[tuple[str, str, tuple[object, ...]]]:
    """Return the tables that have states or orders, each with a query of the rows and its words."""
    found: dict[str, tuple[str, tuple[object, ...]]] = {}
    names: dict[str, list[str]] = {}
    has_filters = False
    for component in components:
        kind, name = split(component)
        rule = RULES.get(kind)
        has_filters = has_filters or isinstance(rule, FilterRows)
        if isinstance(rule, StateColumn):
            names.setdefault(kind, []).append(name)
    for kind, ours in names.items():
        rule = RULES[kind]
        assert isinstance(rule, StateColumn)  # noqa: S101 - as chosen above
        found[rule.table] = (
            f"SELECT id, {rule.key}, {rule.column} FROM {{{rule.table}}}"  # noqa: S608
            f" WHERE {rule.key} IN ({marks(ours)})",
            tuple(ours),
        )
    for kind in orders:
        order = ORDERS[kind]
        if not isinstance(order, OrderRows):
            continue
        has_filters = has_filters or order.table == "filter_active"
        query = f"SELECT id, {order.key}, sortorder, visible FROM {{{order.table}}} WHERE 1 = 1"  # noqa: S608
        found[order.table] = (query, ())
    if has_filters:
        found["filter_active"] = (
            "SELECT id, filter, active, sortorder FROM {filter_active} WHERE contextid = %s",
            (system_context(connection),),
        )
    return [(table, *found[table]) for table in sorted(found)]
