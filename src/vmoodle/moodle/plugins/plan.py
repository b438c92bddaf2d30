"""What is to change in the states and orders of a site's plugins: planned, made, taken back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from vmoodle.engines.protocol import SiteConnection
from vmoodle.errors import Refused, VMoodleError
from vmoodle.moodle.caches.invalidation import Change
from vmoodle.moodle.config.settings import (
    Forced,
    SettingChange,
    SettingName,
    forced_error,
    read_settings,
    set_settings,
)
from vmoodle.moodle.plugins.changes import set_state
from vmoodle.moodle.plugins.locks import lock_plugins, plugins_changed
from vmoodle.moodle.plugins.order import (
    Order,
    after_state,
    arranged,
    follows_states,
    order_settings,
    read_orders,
    set_order,
)
from vmoodle.moodle.plugins.refusals import REFUSALS, refuse_state, runs_code
from vmoodle.moodle.plugins.repositories import KeptRepository, count_instances
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
    by_moodle: bool = False
    """Moodle runs code of the plugin for it: then Moodle sets all states, by `with_moodle`."""
    note: str = ""

    @property
    def removes_repository(self) -> bool:
        """Tell whether a kind of repository goes, with all it has."""
        return (
            split(self.component)[0] == "repository"
            and self.old != self.new
            and self.new == PluginState.DISABLED
        )


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

    @property
    def by_moodle(self) -> bool:
        """Tell whether Moodle itself is to set the states."""
        return any(step.by_moodle for step in self.states)


@dataclass(frozen=True)
class PluginUndo:
    """What takes a change back: states, orders and other settings, each before and after.

    `repositories` is what kinds of repositories had that were disabled.
    """

    states: Mapping[str, tuple[PluginState, PluginState]]
    orders: Mapping[str, tuple[Order, Order]]
    settings: tuple[SettingChange, ...] = ()
    repositories: tuple[KeptRepository, ...] = ()

    def as_data(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        return {
            "states": {name: [str(old), str(new)] for name, (old, new) in self.states.items()},
            "orders": {kind: [list(old), list(new)] for kind, (old, new) in self.orders.items()},
            "settings": [
                [one.setting.component, one.setting.name, one.old, one.new] for one in self.settings
            ],
            "repositories": [kept.as_data() for kept in self.repositories],
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
            # A run of an older release has kept none.
            tuple(KeptRepository.from_data(kept) for kept in data.get("repositories", ())),
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
    by_moodle: bool = False,
) -> PluginPlan:
    """Return what gives plugins these states, and kinds of plugins these orders.

    In an order those plugins that it does not name keep their places. With `by_moodle` states that
    only Moodle can set are planned too. With `skip` what the site cannot have is left, with the
    reason, and so is a kind of repository that would go; else raise as `refusals.refuse_state`.
    """
    found = site.found()
    current = site.orders(orders or {}, found)
    left: dict[str, str] = {}
    steps = _plan_states(site, states, found, left, skip=skip, by_moodle=by_moodle)
    for step in steps:
        kind, name = split(step.component)
        if kind in current:
            current[kind] = after_state(kind, current[kind], name, step.new)
    moved = _plan_orders(site, orders or {}, current, found, left, skip=skip)
    return PluginPlan(tuple(steps), tuple(moved), left)


def _plan_states(
    site: SitePlugins,
    states: Mapping[str, PluginState],
    found: Mapping[str, SitePlugin],
    left: dict[str, str],
    *,
    skip: bool,
    by_moodle: bool,
) -> list[StateStep]:
    """Return the steps to the states; what is left goes into `left`, with the reason."""
    steps = []
    for component, new in states.items():
        try:
            old = refuse_state(
                site.connection, component, new, found,
                forced=site.forced, code=site.paths.get(component), by_moodle=by_moodle,
            )  # fmt: skip
        except VMoodleError as error:
            if not skip or error.code not in REFUSALS:
                raise
            left[component] = error.message
            continue
        step = _step(site, component, old, new)
        if skip and step.removes_repository:
            left[component] = (
                "Its instances and settings would be deleted: vmoodle plugin set "
                f"{component}={new}."
            )
        elif old != new:
            steps.append(step)
    return steps


def _plan_orders(
    site: SitePlugins,
    orders: Mapping[str, Order],
    current: Mapping[str, Order],
    found: Mapping[str, SitePlugin],
    left: dict[str, str],
    *,
    skip: bool,
) -> list[OrderStep]:
    """Return the steps from the current orders; what is left goes into `left`."""
    moved = []
    for kind, wanted in orders.items():
        if kind not in current:
            continue
        more = () if follows_states(kind) else _installed(kind, found)
        order = OrderStep(kind, current[kind], arranged(current[kind], wanted, more))
        if order.old == order.new:
            continue
        if forced := _forced_order(site, order):
            if not skip:
                raise forced
            left[f"order of {kind}"] = forced.message
            continue
        moved.append(order)
    return moved


def apply_changes(site: SitePlugins, plan: PluginPlan) -> Applied:
    """Make the changes of a plan; drop the caches of what is stale after the commit.

    Raise Refused `plugin.state.api` for a plan that takes Moodle, Conflict `plugin.changed` where
    somebody else was first; nothing is changed then.
    """
    lock_plugins(
        site.connection,
        [step.component for step in plan.states],
        {step.kind: step.new for step in plan.orders},
    )
    found = site.found()
    states = [step for step in plan.states if not _is_done(step, found)]
    kinds = {split(step.component)[0] for step in plan.states} | {o.kind for o in plan.orders}
    before = site.orders(sorted(kinds), found)
    stale: frozenset[Change] = frozenset()
    settings: tuple[SettingChange, ...] = ()
    for step in states:
        change = set_state(
            site.connection, step.component, step.new,
            forced=site.forced, code=site.paths.get(step.component),
        )  # fmt: skip
        stale |= change.stale
        settings += change.settings
    for order in plan.orders:
        if site.orders([order.kind], found)[order.kind] not in (order.old, order.new):
            raise plugins_changed([f"the order of {order.kind}"])
        stale |= set_order(site.connection, order.kind, order.new, site.forced)
    after = site.orders(before, found)
    undo = PluginUndo(
        {step.component: (step.old, step.new) for step in states},
        {kind: (old, after[kind]) for kind, old in before.items() if old != after[kind]},
        together(settings),
    )
    return Applied(undo, stale)


def _is_done(step: StateStep, found: Mapping[str, SitePlugin]) -> bool:
    """Tell whether a plugin has its state by now; raise Conflict where it has a third one."""
    plugin = found.get(step.component)
    if plugin is None or plugin.state not in (step.old, step.new):
        raise plugins_changed([step.component])
    return plugin.state == step.new


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
        raise plugins_changed(what)
    plan = plan_changes(
        site,
        {name: old for name, (old, _new) in reversed(list(undo.states.items()))},
        {kind: old for kind, (old, _new) in undo.orders.items()},
        by_moodle=True,
    )
    kept = {f"repository_{one.name}": len(one.instances) for one in undo.repositories}
    steps = [
        replace(step, note=f"{step.note}; its instances ({kept[step.component]}) and settings too")
        if step.component in kept
        else step
        for step in plan.states
    ]
    return replace(plan, states=tuple(steps))


def apply_undo(site: SitePlugins, undo: PluginUndo) -> tuple[PluginPlan, Applied]:
    """Take a change back; settings that somebody else has changed since stay as they are."""
    lock_plugins(
        site.connection,
        undo.states,
        {kind: old for kind, (old, _new) in undo.orders.items()},
        [one.setting for one in undo.settings],
    )
    plan = plan_undo(site, undo)
    back = settings_back(site, undo)
    applied = apply_changes(site, plan)
    return plan, with_settings(site, applied, back)


def settings_back(site: SitePlugins, undo: PluginUndo) -> dict[SettingName, str | None]:
    """Return the settings to take back: those that nobody has changed since."""
    now = read_settings(site.connection, [one.setting for one in undo.settings], site.forced)
    return {
        one.setting: one.old
        for one in undo.settings
        if now[one.setting].stored == one.new and not now[one.setting].is_forced
    }


def with_settings(
    site: SitePlugins, applied: Applied, back: Mapping[SettingName, str | None]
) -> Applied:
    """Set settings, and return what was applied with them."""
    changed = set_settings(site.connection, back, create=True) if back else ()
    settings = together(applied.undo.settings + changed)
    return Applied(
        replace(applied.undo, settings=settings),
        applied.stale | ({Change.SETTINGS} if changed else frozenset()),
    )


def _step(site: SitePlugins, component: str, old: PluginState, new: PluginState) -> StateStep:
    if old == new or not runs_code(component, old, new, site.paths.get(component)):
        return StateStep(component, old, new)
    step = StateStep(component, old, new, by_moodle=True, note="by Moodle's own code")
    if not step.removes_repository:
        return step
    count = count_instances(site.connection, split(component)[1])
    return replace(step, note=f"{step.note}; its instances ({count}) and settings are deleted")


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
    return None if setting is None else forced_error(setting)


def together(changes: Iterable[SettingChange]) -> tuple[SettingChange, ...]:
    """Return one change for each setting, from its first value to its last."""
    found: dict[SettingName, SettingChange] = {}
    for one in changes:
        first = found.get(one.setting, one)
        found[one.setting] = SettingChange(one.setting, first.old, one.new)
    return tuple(one for one in found.values() if one.old != one.new)
