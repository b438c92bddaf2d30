"""What is to change in the states and orders of a site's plugins: planned, made, taken back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vmoodle.engines.protocol import SiteConnection
from vmoodle.errors import Conflict, Refused, VMoodleError
from vmoodle.moodle.caches.invalidation import Change
from vmoodle.moodle.config.settings import (
    Forced,
    SettingChange,
    SettingName,
    read_settings,
    set_settings,
)
from vmoodle.moodle.plugins.changes import set_state
from vmoodle.moodle.plugins.order import (
    Order,
    after_state,
    arranged,
    follows_states,
    order_settings,
    read_orders,
    set_order,
)
from vmoodle.moodle.plugins.refusals import refuse_state
from vmoodle.moodle.plugins.rules import PluginState, split
from vmoodle.moodle.plugins.states import SitePlugin, read_plugins


@dataclass(frozen=True)
class SitePlugins:
    """A site's plugins as a change sees them; `paths` are their directories, where known."""

    connection: SiteConnection
    forced: Forced
    paths: Mapping[str, Path] = field(default_factory=dict)

    def found(self) -> dict[str, SitePlugin]:
        """Return the plugins that are installed, and those on disk that are not."""
        return read_plugins(self.connection, dict.fromkeys(self.paths, ""), self.forced)

    def orders(self, kinds: Iterable[str], found: Mapping[str, SitePlugin]) -> dict[str, Order]:
        """Return the orders of those of the kinds that have one."""
        installed = [name for name, plugin in found.items() if plugin.installed is not None]
        return read_orders(self.connection, kinds, installed, self.forced)


@dataclass(frozen=True)
class StateStep:
    """A plugin's state before and after."""

    component: str
    old: PluginState
    new: PluginState


@dataclass(frozen=True)
class OrderStep:
    """The order of a kind of plugins as it is to be after all states are set, and before that."""

    kind: str
    old: Order
    new: Order


@dataclass(frozen=True)
class PluginPlan:
    """What changes, in this order, and what is left as it is and why."""

    states: tuple[StateStep, ...]
    orders: tuple[OrderStep, ...]
    left: Mapping[str, str]


@dataclass(frozen=True)
class PluginUndo:
    """What takes a change back: states, orders and other settings, each before and after."""

    states: Mapping[str, tuple[PluginState, PluginState]]
    orders: Mapping[str, tuple[Order, Order]]
    settings: tuple[SettingChange, ...] = ()

    def as_data(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        return {
            "states": {name: [str(old), str(new)] for name, (old, new) in self.states.items()},
            "orders": {kind: [list(old), list(new)] for kind, (old, new) in self.orders.items()},
            "settings": [
                [one.setting.component, one.setting.name, one.old, one.new] for one in self.settings
            ],
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> PluginUndo:
        """Return what `as_data` gave."""
        return cls(
            {name: (PluginState(old), PluginState(new))
             for name, (old, new) in data["states"].items()},
            {kind: (tuple(old), tuple(new)) for kind, (old, new) in data["orders"].items()},
            tuple(
                SettingChange(SettingName(component, name), old, new)
                for component, name, old, new in data["settings"]
            ),
        )  # fmt: skip


@dataclass(frozen=True)
class Applied:
    """What makes the change undone, and which kinds of change Moodle has cached."""

    undo: PluginUndo
    stale: frozenset[Change]


def plan_changes(
    site: SitePlugins,
    states: Mapping[str, PluginState],
    orders: Mapping[str, Order] | None = None,
    *,
    skip: bool = False,
) -> PluginPlan:
    """Return what gives plugins these states, and kinds of plugins these orders.

    In an order those plugins that it does not name keep their places. With `skip` what the site
    cannot have is left, with the reason; else raise as `plugin_refusals.refuse_state`.
    """
    found = site.found()
    current = site.orders(orders or {}, found)
    steps, left = [], {}
    for component, new in states.items():
        try:
            old = refuse_state(
                site.connection, component, new, found,
                forced=site.forced, code=site.paths.get(component),
            )  # fmt: skip
        except VMoodleError as error:
            if not skip:
                raise
            left[component] = error.message
            continue
        if old != new:
            steps.append(StateStep(component, old, new))
            kind, name = split(component)
            if kind in current:
                current[kind] = after_state(kind, current[kind], name, new)
    moved = []
    for kind, wanted in (orders or {}).items():
        if kind not in current:
            continue
        more = () if follows_states(kind) else _installed(kind, found)
        step = OrderStep(kind, current[kind], arranged(current[kind], wanted, more))
        if step.old == step.new:
            continue
        if forced := _forced_order(site, step):
            if not skip:
                raise forced
            left[f"order of {kind}"] = forced.message
            continue
        moved.append(step)
    return PluginPlan(tuple(steps), tuple(moved), left)


def apply_changes(site: SitePlugins, plan: PluginPlan) -> Applied:
    """Make the changes of a plan; drop the caches of what is stale after the commit."""
    found = site.found()
    kinds = {split(step.component)[0] for step in plan.states} | {o.kind for o in plan.orders}
    before = site.orders(sorted(kinds), found)
    stale: frozenset[Change] = frozenset()
    settings: tuple[SettingChange, ...] = ()
    for step in plan.states:
        change = set_state(
            site.connection, step.component, step.new,
            forced=site.forced, code=site.paths.get(step.component),
        )  # fmt: skip
        stale |= change.stale
        settings += change.settings
    for order in plan.orders:
        stale |= set_order(site.connection, order.kind, order.new, site.forced)
    after = site.orders(before, found)
    undo = PluginUndo(
        {step.component: (step.old, step.new) for step in plan.states},
        {kind: (old, after[kind]) for kind, old in before.items() if old != after[kind]},
        _together(settings),
    )
    return Applied(undo, stale)


def plan_undo(site: SitePlugins, undo: PluginUndo) -> PluginPlan:
    """Return what takes a change back; raise Conflict `plugin.changed` where others went on."""
    found = site.found()
    gone = [name for name in undo.states if name not in found or not found[name].installed]
    other = [name for name, (_old, new) in undo.states.items()
             if name not in gone and found[name].state != new]  # fmt: skip
    for kind, now in site.orders(undo.orders, found).items():
        _old, left = undo.orders[kind]
        if [name for name in now if name in left] != [name for name in left if name in now]:
            other.append(f"the order of {kind}")
    if gone or other:
        what = [*(f"{name} (gone)" for name in gone), *other]
        raise Conflict(
            "plugin.changed",
            f"Changed by somebody else since: {', '.join(what)}.",
            "Nothing was taken back on this site; set what is wanted by `vmoodle plugin set`.",
        )
    return plan_changes(
        site,
        {name: old for name, (old, _new) in reversed(list(undo.states.items()))},
        {kind: old for kind, (old, _new) in undo.orders.items()},
    )


def apply_undo(site: SitePlugins, undo: PluginUndo) -> tuple[PluginPlan, Applied]:
    """Take a change back; settings that somebody else has changed since stay as they are."""
    plan = plan_undo(site, undo)
    names = [one.setting for one in undo.settings]
    now = read_settings(site.connection, names, site.forced)
    back = {
        one.setting: one.old
        for one in undo.settings
        if now[one.setting].stored == one.new and not now[one.setting].is_forced
    }
    applied = apply_changes(site, plan)
    changed = set_settings(site.connection, back, create=True) if back else ()
    again = PluginUndo(
        applied.undo.states, applied.undo.orders, _together(applied.undo.settings + changed)
    )
    return plan, Applied(again, applied.stale | ({Change.SETTINGS} if changed else frozenset()))


def _installed(kind: str, found: Mapping[str, SitePlugin]) -> list[str]:
    return [
        split(name)[1]
        for name, plugin in found.items()
        if plugin.installed is not None and split(name)[0] == kind
    ]


def _forced_order(site: SitePlugins, step: OrderStep) -> Refused | None:
    settings = order_settings(step.kind, step.new)
    values = read_settings(site.connection, settings, site.forced) if settings else {}
    setting = next((one for one, value in values.items() if value.is_forced), None)
    if setting is None:
        return None
    return Refused(
        "setting.forced",
        f"{setting} is forced by config.php: Moodle would not see the change.",
        "Change what is forced: vmoodle forced list.",
    )


def _together(changes: Iterable[SettingChange]) -> tuple[SettingChange, ...]:
    """Return one change for each setting, from its first value to its last."""
    found: dict[SettingName, SettingChange] = {}
    for one in changes:
        first = found.get(one.setting, one)
        found[one.setting] = SettingChange(one.setting, first.old, one.new)
    return tuple(one for one in found.values() if one.old != one.new)
