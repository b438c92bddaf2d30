"""The order in which Moodle takes the plugins of a kind, where it keeps one: read, arranged, set.

Of ways in it is the order in which they are asked, of filters that in which they work, the first
editor is the default one; of the others it is how they are shown. Activities, blocks, message
outputs and portfolios have none.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from vmoodle.engines.protocol import SiteConnection
from vmoodle.moodle.caches.invalidation import Change
from vmoodle.moodle.config.log import log_change
from vmoodle.moodle.config.settings import (
    CORE,
    Forced,
    SettingName,
    read_component,
    read_settings,
    set_settings,
)
from vmoodle.moodle.database.system_context import SYSTEM_CONTEXT
from vmoodle.moodle.plugins.rules import FILTER_STATES, RULES, OwnSetting, PluginState, StateList

Order = tuple[str, ...]
"""Names of plugins of one kind, the first one first."""


@dataclass(frozen=True)
class OrderList:
    """A setting that has the names in order; with `of_enabled` only those that are enabled."""

    setting: SettingName
    source: str
    of_enabled: bool = False


@dataclass(frozen=True)
class OrderNumbers(OwnSetting):
    """A setting for each plugin that has its number."""

    first: int


@dataclass(frozen=True)
class OrderRows:
    """A table with a column `sortorder` from 1 on, that has only plugins that are not disabled."""

    table: str
    key: str
    source: str


Rule = OrderList | OrderNumbers | OrderRows


def _list_of_enabled(kind: str, source: str) -> OrderList:
    rule = RULES[kind]
    assert isinstance(rule, StateList)  # noqa: S101 - the table says so
    return OrderList(rule.setting, source, of_enabled=True)


ORDERS: Mapping[str, Rule] = {
    "auth": _list_of_enabled("auth", "admin/auth.php"),
    "enrol": _list_of_enabled("enrol", "admin/enrol.php"),
    "editor": _list_of_enabled("editor", "plugininfo/editor.php, change_plugin_order"),
    "filter": OrderRows("filter_active", "filter", "lib/filterlib.php, filter_set_global_state"),
    "repository": OrderRows("repository", "type", "repository/lib.php, move_order"),
    "qbehaviour": OrderList(
        SettingName("question", "behavioursortorder"), "admin/qbehaviours.php"
    ),
    "format": OrderList(SettingName(CORE, "format_plugins_sortorder"), "admin/courseformats.php"),
    "qtype": OrderNumbers(
        "question", "{name}_sortorder", "lib/questionlib.php, question_save_qtype_order", first=1
    ),
    "assignsubmission": OrderNumbers(
        "{type}_{name}", "sortorder", "mod/assign/adminlib.php, move_plugin", first=0
    ),
    "assignfeedback": OrderNumbers(
        "{type}_{name}", "sortorder", "mod/assign/adminlib.php, move_plugin", first=0
    ),
}  # fmt: skip
"""The kinds of plugins that Moodle keeps in an order; where it stands is the same in 4.5 and 5.1.

Only the order of authentication has a row in Moodle's list of changes there; here each has one.
"""


def follows_states(kind: str) -> bool:
    """Tell whether only plugins that are not disabled have a place."""
    rule = ORDERS.get(kind)
    return isinstance(rule, OrderRows) or (isinstance(rule, OrderList) and rule.of_enabled)


def read_orders(
    connection: SiteConnection,
    kinds: Iterable[str],
    installed: Iterable[str],
    forced: Forced | None = None,
) -> dict[str, Order]:
    """Return the order of each of the kinds that has one.

    `installed` are the site's plugins by component. One that Moodle has given no place is left out.
    """
    names: dict[str, list[str]] = {}
    for component in installed:
        kind, _, name = component.partition("_")
        names.setdefault(kind, []).append(name)
    return {
        kind: _read(connection, kind, names.get(kind, []), forced or {})
        for kind in dict.fromkeys(kinds)
        if kind in ORDERS
    }


def arranged(current: Sequence[str], wanted: Sequence[str], more: Collection[str] = ()) -> Order:
    """Return the names in the wanted order; those it does not have keep their places.

    Of `more` those that are wanted and not there yet follow at the end.
    """
    there, known = set(current), set(wanted)
    rest = iter([name for name in wanted if name in there])
    places = [next(rest) if name in known else name for name in current]
    return tuple(places + [name for name in wanted if name in more and name not in there])


def after_state(kind: str, current: Order, name: str, state: PluginState) -> Order:
    """Return the order after a plugin was given a state: Moodle puts a new one last."""
    if not follows_states(kind):
        return current
    if state != PluginState.DISABLED:
        return current if name in current else (*current, name)
    left = tuple(other for other in current if other != name)
    rule = RULES[kind]
    return left or ((rule.last,) if isinstance(rule, StateList) and rule.last else ())


def order_settings(kind: str, names: Iterable[str]) -> list[SettingName]:
    """Return the settings that have the order of these plugins; none where it lies elsewhere."""
    rule = ORDERS[kind]
    if isinstance(rule, OrderList):
        return [rule.setting]
    return [rule.setting(kind, name) for name in names] if isinstance(rule, OrderNumbers) else []


def set_order(
    connection: SiteConnection, kind: str, names: Order, forced: Forced | None = None
) -> frozenset[Change]:
    """Give the plugins of a kind their order; raise Refused `setting.forced`."""
    rule = ORDERS[kind]
    if isinstance(rule, OrderRows):
        return _number_rows(connection, rule, names)
    values: dict[SettingName, str | None]
    settings = order_settings(kind, names)
    if isinstance(rule, OrderList):
        values = {settings[0]: ",".join(names)}
    else:
        numbers = range(rule.first, rule.first + len(names))
        values = {setting: str(n) for setting, n in zip(settings, numbers, strict=True)}
    set_settings(connection, values, forced=forced, create=True)
    return frozenset({Change.SETTINGS, Change.PLUGIN_STATES})


def _read(connection: SiteConnection, kind: str, names: list[str], forced: Forced) -> Order:
    rule = ORDERS[kind]
    if isinstance(rule, OrderList):
        value = read_settings(connection, [rule.setting], forced)[rule.setting].effective
        return tuple(dict.fromkeys(word for word in (value or "").split(",") if word))
    if isinstance(rule, OrderRows):
        return tuple(name for _id, name, *_ in _rows(connection, rule))
    settings = dict(zip(order_settings(kind, names), names, strict=True))
    if rule.component == "question":
        values = read_component(connection, "question", forced)
    else:
        values = read_settings(connection, settings, forced)
    numbers = {
        name: int(values[setting].effective or 0)
        for setting, name in settings.items()
        if setting in values and (values[setting].effective or "").isdigit()
    }
    return tuple(sorted(numbers, key=lambda name: (numbers[name], name)))


def _rows(connection: SiteConnection, rule: OrderRows) -> list[tuple[int, str, int]]:
    """Return id, name and number of the plugins that are not disabled, in their order."""
    if rule.table != "filter_active":
        return [
            (int(row), str(name), int(order))
            for row, name, order in connection.query(
                f"SELECT id, {rule.key}, sortorder FROM {{{rule.table}}} ORDER BY sortorder, id"  # noqa: S608
            )
        ]
    disabled = FILTER_STATES[PluginState.DISABLED]
    return [
        (int(row), str(name), int(order))
        for row, name, order in connection.query(
            f"SELECT id, filter, sortorder FROM {{filter_active}}"  # noqa: S608
            f" WHERE contextid IN {SYSTEM_CONTEXT} AND active <> %s ORDER BY sortorder, id",
            (disabled,),
        )
    ]


def _number_rows(connection: SiteConnection, rule: OrderRows, names: Order) -> frozenset[Change]:
    rows = _rows(connection, rule)
    numbers = {name: number for number, name in enumerate(names, start=1)}
    for row, name, order in rows:
        if numbers[name] != order:
            connection.execute(
                f"UPDATE {{{rule.table}}} SET sortorder = %s WHERE id = %s",  # noqa: S608
                (numbers[name], row),
            )
    log_change(
        connection, "order", ", ".join(name for _id, name, _order in rows), ", ".join(names),
        f"core_{rule.table.partition('_')[0]}",
    )  # fmt: skip
    return frozenset({Change.PLUGIN_STATES})
