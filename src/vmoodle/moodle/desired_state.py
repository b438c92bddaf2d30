"""What a site is to be: settings, roles and states of plugins, planned, made so and taken back.

All three are one transaction of the caller: when one part fails, nothing of the site is changed.
What is to be written is locked before anything is read: what was read earlier may be old by then,
and MariaDB goes on showing it. After the commit drop the caches of `Made.stale`
(`caches/invalidation.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path

from vmoodle.engines.protocol import SiteConnection
from vmoodle.moodle.caches.invalidation import Change
from vmoodle.moodle.config.names import CORE, SettingName
from vmoodle.moodle.config.settings import (
    Forced,
    SettingChange,
    components,
    left_by,
    read_component,
    read_settings,
    set_settings,
    undo_of,
    without_mod,
)
from vmoodle.moodle.plugins.locks import lock_plugins
from vmoodle.moodle.plugins.order import Order
from vmoodle.moodle.plugins.plan import Applied as AppliedStates
from vmoodle.moodle.plugins.plan import (
    PluginPlan,
    PluginUndo,
    SitePlugins,
    apply_changes,
    apply_undo,
    plan_changes,
)
from vmoodle.moodle.plugins.rules import PluginState, split
from vmoodle.moodle.roles.changes import Applied, apply_plan, lock_roles
from vmoodle.moodle.roles.definitions import RoleDefinition, SiteRoles, read_roles
from vmoodle.moodle.roles.plan import (
    ALL_PARTS,
    FIELDS,
    Part,
    RolePlan,
    key_words,
    plan_role,
)
from vmoodle.moodle.setting_effects import entail
from vmoodle.near import near

_NO_STATES = PluginUndo({}, {})


@dataclass(frozen=True)
class DesiredRole:
    """A role as it is to be, in the parts that are stated.

    With `keep` what the site's role has beyond the definition stays, but for permissions of the
    capabilities that are to `inherit`.
    """

    definition: RoleDefinition
    parts: frozenset[Part] = ALL_PARTS
    keep: bool = False
    inherit: frozenset[str] = frozenset()


@dataclass(frozen=True)
class DesiredState:
    """What a site is to be; of what is not named nothing is said. None is a setting not set."""

    settings: Mapping[SettingName, str | None] = field(default_factory=dict)
    roles: tuple[DesiredRole, ...] = ()
    plugins: Mapping[str, PluginState] = field(default_factory=dict)


class Verdict(StrEnum):
    """Say what becomes of a cell that is not as it is to be."""

    CHANGE = "change"
    STUCK = "stays"
    """It differs, and cannot be made so by VMoodle."""
    ABSENT = "skipped"
    """The site knows no such plugin, capability or role."""


@dataclass(frozen=True)
class DesiredCell:
    """One cell that differs: a setting, a plugin, or something of a role. None is not set."""

    part: str
    name: str
    old: str | None = field(repr=False)
    new: str | None = field(repr=False)
    verdict: Verdict = Verdict.CHANGE
    reason: str = ""


@dataclass(frozen=True)
class DesiredPlan:
    """What differs on a site, and what is to be done about it."""

    cells: tuple[DesiredCell, ...]
    settings: Mapping[SettingName, str | None] = field(repr=False)
    roles: tuple[RolePlan, ...]
    plugins: PluginPlan


@dataclass(frozen=True)
class Made:
    """What was changed, with what takes it back, and which kinds of change Moodle has cached."""

    settings: tuple[SettingChange, ...] = ()
    roles: tuple[RolePlan, ...] = ()
    plugins: PluginUndo = _NO_STATES
    stale: frozenset[Change] = frozenset()


@dataclass(frozen=True)
class SiteConfiguration:
    """What is to be known of a site beside its database: what is forced, where activities lie."""

    forced: Forced = field(default_factory=dict, repr=False)
    activities: Path | None = None

    def plugins(self, connection: SiteConnection, components: Iterable[str]) -> SitePlugins:
        """Return the site's plugins, with the directories of those of these that are activities."""
        words = [(component, *split(component)) for component in components]
        paths = {
            component: self.activities / name
            for component, kind, name in words
            if kind == "mod" and self.activities
        }
        return SitePlugins(connection, self.forced, paths)


def plan_state(
    connection: SiteConnection,
    desired: DesiredState,
    site: SiteConfiguration,
    *,
    create: bool = False,
    lock: bool = False,
) -> DesiredPlan:
    """Return what differs on the site; with `create` settings that it has not are made.

    With `lock` nobody else changes it before the transaction has ended; it must be the first of
    that. Raise InvalidInput `role.definition`.
    """
    if lock:
        roles = [role.definition.shortname for role in desired.roles]
        _lock(connection, desired.settings, roles, desired.plugins)
    settings = [*_setting_cells(connection, desired.settings, site.forced, create)]
    plans = _role_plans(connection, desired.roles)
    plugins, states = _plan_plugins(site.plugins(connection, desired.plugins), desired.plugins)
    changes = {cell.name for cell in settings if cell.verdict == Verdict.CHANGE}
    return DesiredPlan(
        (*settings, *(cell for plan in plans for cell in _role_cells(plan)), *plugins),
        {name: v for name, v in desired.settings.items() if str(name) in changes},
        tuple(plan for plan in plans if plan.changes),
        states,
    )


def make_so(connection: SiteConnection, plan: DesiredPlan, site: SiteConfiguration) -> Made:
    """Do what was planned in the same transaction; raise as its parts do."""
    states = AppliedStates(_NO_STATES, frozenset())
    if steps := plan.plugins.states:
        ours = site.plugins(connection, [step.component for step in steps])
        states = apply_changes(ours, plan.plugins)
    roles = [apply_plan(connection, one) for one in _made_first(plan.roles)]
    settings = set_settings(connection, plan.settings, forced=site.forced, create=True)
    return _made(connection, settings, roles, states)


def take_back(connection: SiteConnection, made: Made, site: SiteConfiguration) -> Made:
    """Take back what was made, last first; return what was changed by that.

    It must be the first of its transaction. Raise Conflict `setting.changed`, `role.changed`,
    `plugin.changed` for what somebody has changed since, Refused as the parts do.
    """
    names = [change.setting for change in (*made.settings, *made.plugins.settings)]
    orders = {kind: old for kind, (old, _new) in made.plugins.orders.items()}
    _lock(connection, names, [plan.role for plan in made.roles], made.plugins.states, orders)
    # What is forced by now has no effect, and goes back all the same.
    settings = set_settings(
        connection, undo_of(made.settings), create=True, seen=left_by(made.settings)
    )
    roles = [apply_plan(connection, plan.reversed()) for plan in reversed(made.roles)]
    states = AppliedStates(_NO_STATES, frozenset())
    if made.plugins != _NO_STATES:
        ours = site.plugins(connection, made.plugins.states)
        _plan, states = apply_undo(ours, made.plugins)
    return _made(connection, settings, roles, states)


def _lock(
    connection: SiteConnection,
    settings: Iterable[SettingName],
    roles: Iterable[str],
    plugins: Iterable[str],
    orders: Mapping[str, Order] | None = None,
) -> None:
    """Let nobody else change these; everybody locks settings first, then roles."""
    lock_plugins(connection, plugins, orders, settings)
    lock_roles(connection, roles)


def _made(
    connection: SiteConnection,
    settings: tuple[SettingChange, ...],
    roles: list[Applied],
    states: AppliedStates,
) -> Made:
    stale = [entail(connection, settings), *(one.stale for one in roles), states.stale]
    return Made(
        settings,
        tuple(one.done for one in roles if one.done.changes),
        states.undo,
        frozenset().union(*stale),
    )


def cells_of(made: Made) -> list[DesiredCell]:
    """Return what was changed, cell by cell."""
    settings = [
        DesiredCell("setting", str(change.setting), change.old, change.new)
        for change in made.settings
    ]
    roles = [cell for plan in made.roles for cell in _role_cells(replace(plan, skipped=()))]
    plugins = [
        DesiredCell("plugin", name, old, new) for name, (old, new) in made.plugins.states.items()
    ]
    return [*settings, *roles, *plugins]


def _setting_cells(
    connection: SiteConnection,
    wanted: Mapping[SettingName, str | None],
    forced: Forced,
    create: bool,
) -> Iterator[DesiredCell]:
    if not wanted:
        return
    known: dict[str, list[str]] = {}
    there = {CORE, *components(connection)}
    for setting, value in read_settings(connection, wanted, forced).items():
        new = wanted[setting]
        if value.effective == new and (value.is_text or new is None):
            continue
        cell = DesiredCell("setting", str(setting), value.effective, new)
        if value.why_not_set:
            yield replace(cell, verdict=Verdict.STUCK, reason=value.why_not_set)
        elif setting.component not in there:
            reason = f"no {setting.component} there"
            yield replace(cell, verdict=Verdict.ABSENT, reason=reason)
        elif value.stored is None and not create:
            names = known.setdefault(
                setting.component,
                [name.name for name in read_component(connection, setting.component)],
            )
            meant = without_mod(connection, setting) or near(setting.name, names)
            reason = f"no such setting, and none is to be made. {meant}"
            reason = reason.removesuffix(". ")
            yield replace(cell, verdict=Verdict.STUCK, reason=reason)
        else:
            yield cell


def _plan_plugins(
    site: SitePlugins, wanted: Mapping[str, PluginState]
) -> tuple[list[DesiredCell], PluginPlan]:
    """Return the plugins that differ, and what gives their states to those that can have them."""
    if not wanted:
        return [], PluginPlan((), (), {})
    plan = plan_changes(site, wanted, skip=True)
    steps = {step.component: step for step in plan.states}
    found = site.found() if plan.left else {}
    cells = []
    for component, state in wanted.items():
        if step := steps.get(component):
            cells.append(DesiredCell("plugin", component, step.old, step.new))
        if component not in plan.left:
            continue
        plugin = found.get(component)
        is_there = plugin is not None and plugin.installed is not None
        old = plugin.state if plugin is not None else None
        verdict, reason = Verdict.STUCK, plan.left[component]
        if not is_there:
            # One that is not there is as good as disabled.
            if state == PluginState.DISABLED:
                continue
            verdict, reason = Verdict.ABSENT, "it is not installed"
        cells.append(DesiredCell("plugin", component, old, state, verdict, reason))
    return cells, plan


def _role_plans(connection: SiteConnection, wanted: Iterable[DesiredRole]) -> list[RolePlan]:
    roles = list(wanted)
    if not roles:
        return []
    site = read_roles(connection, [role.definition.shortname for role in roles])
    # A role that another one of them names may be made in the same go.
    made = [role.definition.shortname for role in roles]
    site = replace(site, shortnames=tuple(dict.fromkeys([*site.shortnames, *made])))
    return [_role_plan(role, site) for role in roles]


def _made_first(plans: Iterable[RolePlan]) -> list[RolePlan]:
    """Return the plans with all roles that are made first: they may name each other."""
    of_role = {Part.ROLE, *FIELDS}
    made, rest = [], []
    for plan in plans:
        if any(change.part == Part.ROLE for change in plan.changes):
            first = tuple(change for change in plan.changes if change.part in of_role)
            made.append(RolePlan(plan.role, first))
            plan = replace(  # noqa: PLW2901 - what is left of it
                plan, changes=tuple(one for one in plan.changes if one.part not in of_role)
            )
        rest.append(plan)
    return [*made, *rest]


def _role_plan(role: DesiredRole, site: SiteRoles) -> RolePlan:
    plan = plan_role(role.definition, site, parts=role.parts | {Part.ROLE})
    if not role.keep:
        return plan
    kept = [
        change
        for change in plan.changes
        if change.new not in (None, False)
        or (change.part == Part.PERMISSION and change.key in role.inherit)
    ]
    return replace(plan, changes=tuple(kept))


def _role_cells(plan: RolePlan) -> Iterator[DesiredCell]:
    for change in plan.changes:
        key, old, new = change.words
        yield DesiredCell("role", _cell_name(plan.role, change.part, key), old, new)
    for skipped in plan.skipped:
        name = _cell_name(plan.role, skipped.part, key_words(skipped.part, skipped.key))
        yield DesiredCell("role", name, None, None, Verdict.ABSENT, skipped.reason)


def _cell_name(role: str, part: Part, key: str) -> str:
    return f"{role}: {part} {key}".rstrip()
