"""Plans in which Moodle itself sets the states: what is read before it does, and done after.

Moodle sets all states of a plan in one transaction of its own (`api`). What it does on the way is
found by what is there before and after; orders, settings and repositories follow by SQL.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from vmoodle.errors import Failed
from vmoodle.moodle.caches.invalidation import Change
from vmoodle.moodle.config.names import SettingName
from vmoodle.moodle.config.settings import SettingChange, read_settings
from vmoodle.moodle.plugins import api
from vmoodle.moodle.plugins.locks import lock_plugins, plugins_changed
from vmoodle.moodle.plugins.order import Order, arranged, follows_states, set_order
from vmoodle.moodle.plugins.plan import (
    Applied,
    PluginPlan,
    PluginUndo,
    SitePlugins,
    settings_back,
    with_settings,
)
from vmoodle.moodle.plugins.repositories import KeptRepository, gone, put_back, read_repository
from vmoodle.moodle.plugins.rules import SET_WITH_STATES, PluginState, split
from vmoodle.moodle.plugins.states import SitePlugin


@dataclass(frozen=True)
class Before:
    """What a site has before Moodle sets states, and what is put back after it has."""

    orders: Mapping[str, Order]
    settings: Mapping[SettingName, str | None]
    repositories: tuple[KeptRepository, ...]
    """Of the kinds of repositories that go."""
    back: Mapping[SettingName, str | None]
    kept: tuple[KeptRepository, ...]
    """For the kinds of repositories that come back."""


def read_before(site: SitePlugins, plan: PluginPlan, undo: PluginUndo | None = None) -> Before:
    """Return what `finish` takes; `undo` is what the plan takes back."""
    kinds = {split(step.component)[0] for step in plan.states} | {o.kind for o in plan.orders}
    repositories = [split(s.component)[1] for s in plan.states if s.removes_repository]
    made = {
        step.component
        for step in plan.states
        if split(step.component)[0] == "repository" and step.old == PluginState.DISABLED
    }
    return Before(
        site.orders(sorted(kinds), site.found()),
        _settings(site),
        tuple(read_repository(site.connection, name) for name in repositories),
        settings_back(site, undo) if undo else {},
        tuple(
            one
            for one in (undo.repositories if undo else ())
            if f"repository_{one.name}" in made
        ),
    )  # fmt: skip


def states_for_moodle(plan: PluginPlan) -> list[tuple[str, PluginState]]:
    """Return what Moodle is to set; first where a plugin may say no, for not all is taken back."""
    steps = sorted(plan.states, key=lambda step: not step.by_moodle)
    return [(step.component, step.new) for step in steps]


def finish(site: SitePlugins, plan: PluginPlan, before: Before) -> Applied:
    """Do what is left once Moodle has set the states; return what takes all of it back.

    It must be the first of its transaction. Raise Failed `plugin.state.unset` where a plugin has
    another state than Moodle was given, Conflict `plugin.changed` for an order that is another.
    """
    lock_plugins(
        site.connection,
        [step.component for step in plan.states],
        {step.kind: step.new for step in plan.orders},
        before.back,
    )
    found = site.found()
    _refuse_unset(plan, found)
    repositories = tuple(gone(site.connection, one) for one in before.repositories)
    for one in before.kept:
        put_back(site.connection, one)
    stale: frozenset[Change] = api.STALE
    for step in plan.orders:
        now = site.orders([step.kind], found)[step.kind]
        if not follows_states(step.kind) and now != before.orders[step.kind]:
            raise plugins_changed([f"the order of {step.kind}"])
        names = arranged(now, step.new) if follows_states(step.kind) else step.new
        stale |= set_order(site.connection, step.kind, names, site.forced)
    after, settings = site.orders(before.orders, found), _settings(site)
    undo = PluginUndo(
        {step.component: (step.old, step.new) for step in plan.states},
        {kind: (old, after[kind]) for kind, old in before.orders.items() if old != after[kind]},
        tuple(
            SettingChange(name, old, settings[name])
            for name, old in before.settings.items()
            if old != settings[name]
        ),
        repositories,
    )
    return with_settings(site, Applied(undo, stale), before.back)


def restore(site: SitePlugins, before: Before) -> None:
    """Give the kinds of repositories that Moodle has made anew what they had."""
    found = site.found()
    for one in before.repositories:
        if found[f"repository_{one.name}"].state != PluginState.DISABLED:
            put_back(site.connection, one)


def taken_back(site: SitePlugins, plan: PluginPlan) -> PluginPlan:
    """Return the plan that gives those states back that are as the plan has made them."""
    found = site.found()
    steps = [
        replace(step, old=step.new, new=step.old)
        for step in reversed(plan.states)
        if step.component in found and found[step.component].state == step.new
    ]
    return replace(plan, states=tuple(steps))


def _settings(site: SitePlugins) -> dict[SettingName, str | None]:
    found = read_settings(site.connection, SET_WITH_STATES, site.forced)
    return {name: value.stored for name, value in found.items()}


def _refuse_unset(plan: PluginPlan, found: Mapping[str, SitePlugin]) -> None:
    unset = [
        f"{step.component} {step.new}"
        for step in plan.states
        if step.component not in found or found[step.component].state != step.new
    ]
    if unset:
        raise Failed(
            "plugin.state.unset",
            f"Moodle did not make {', '.join(unset)}.",
            "Try it in the site's own administration: that tells what is missing.",
        )
