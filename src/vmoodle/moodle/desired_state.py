"""What a site is to be: settings, roles and states of plugins, planned, made so and taken back.

All three are one transaction of the caller: when one part fails, nothing of the site is changed.
After the commit drop the caches of `Made.stale` (`cache_invalidation`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from enum import StrEnum
from pathlib import Path

from vmoodle.engines.protocol import SiteConnection
from vmoodle.errors import Conflict, VMoodleError
from vmoodle.moodle.caches.invalidation import Change
from vmoodle.moodle.config.effects import entail
from vmoodle.moodle.config.names import CORE, SettingName
from vmoodle.moodle.config.settings import (
    Forced,
    SettingChange,
    SettingValue,
    components,
    left_by,
    read_component,
    read_settings,
    set_settings,
    undo_of,
)
from vmoodle.moodle.plugins.changes import StateChange, set_state
from vmoodle.moodle.plugins.refusals import refuse_state
from vmoodle.moodle.plugins.rules import RULES, PluginState, StateList, split
from vmoodle.moodle.plugins.states import read_plugins
from vmoodle.moodle.roles.changes import Applied, apply_plan
from vmoodle.moodle.roles.definitions import RoleDefinition, SiteRoles, read_roles
from vmoodle.moodle.roles.documents import cell_words
from vmoodle.moodle.roles.plan import (
    ALL_PARTS,
    FIELDS,
    CellChange,
    Part,
    RolePlan,
    plan_role,
)

_REGISTRATION = SettingName(CORE, "registerauth")


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
    plugins: Mapping[str, PluginState]


@dataclass(frozen=True)
class Made:
    """What was changed, with what takes it back, and which kinds of change Moodle has cached."""

    settings: tuple[SettingChange, ...] = ()
    roles: tuple[RolePlan, ...] = ()
    plugins: tuple[StateChange, ...] = ()
    lists: tuple[SettingChange, ...] = ()
    """The settings that list plugins, as the states changed them: their order matters too."""
    stale: frozenset[Change] = frozenset()


@dataclass(frozen=True)
class SiteConfiguration:
    """What is to be known of a site beside its database: what is forced, where activities lie."""

    forced: Forced = field(default_factory=dict, repr=False)
    activities: Path | None = None

    def code_of(self, component: str) -> Path | None:
        """Return the directory of an activity, None for other plugins."""
        kind, name = split(component)
        return self.activities / name if kind == "mod" and self.activities else None


def plan_state(
    connection: SiteConnection,
    desired: DesiredState,
    site: SiteConfiguration,
    *,
    create: bool = False,
) -> DesiredPlan:
    """Return what differs on the site; with `create` settings that it has not are made.

    Raise InvalidInput `role.definition`.
    """
    settings = [*_setting_cells(connection, desired.settings, site.forced, create)]
    plans = _role_plans(connection, desired.roles)
    plugins = [*_plugin_cells(connection, desired.plugins, site)]
    changes = {cell.name for cell in [*settings, *plugins] if cell.verdict == Verdict.CHANGE}
    return DesiredPlan(
        (*settings, *(cell for plan in plans for cell in _role_cells(plan)), *plugins),
        {name: v for name, v in desired.settings.items() if str(name) in changes},
        tuple(plan for plan in plans if plan.changes),
        {name: state for name, state in desired.plugins.items() if name in changes},
    )


def make_so(connection: SiteConnection, plan: DesiredPlan, site: SiteConfiguration) -> Made:
    """Do what was planned in the same transaction; raise as its parts do."""
    lists = read_settings(connection, _lists(plan.plugins))
    states = _set_states(connection, plan.plugins.items(), site)
    roles = [apply_plan(connection, one) for one in _made_first(plan.roles)]
    settings = set_settings(connection, plan.settings, forced=site.forced, create=True)
    return _made(connection, settings, roles, states, lists)


def take_back(connection: SiteConnection, made: Made, site: SiteConfiguration) -> Made:
    """Take back what was made, last first; return what was changed by that.

    Raise Conflict `setting.changed`, `role.changed`, `plugin.changed` for what somebody has changed
    since, Refused as the parts do.
    """
    _refuse_moved(connection, made.plugins, site)
    before = {change.component: change.old for change in reversed(made.plugins)}
    lists = read_settings(connection, _lists(before))
    # What is forced by now has no effect, and goes back all the same.
    settings = set_settings(
        connection, undo_of(made.settings), create=True, seen=left_by(made.settings)
    )
    roles = [apply_plan(connection, plan.reversed()) for plan in reversed(made.roles)]
    states = _set_states(connection, before.items(), site)
    # A list to which somebody has added others since keeps them.
    exact = {
        one.setting: one.old
        for one in made.lists
        if one.setting in lists and lists[one.setting].stored == one.new
    }
    set_settings(connection, exact, create=True, log=False)
    return _made(connection, settings, roles, states, lists)


def _made(
    connection: SiteConnection,
    settings: tuple[SettingChange, ...],
    roles: list[Applied],
    states: list[StateChange],
    lists: Mapping[SettingName, SettingValue],
) -> Made:
    """Return what was changed; `lists` are as they were before."""
    now = read_settings(connection, lists)
    stale = [entail(connection, settings), *(one.stale for one in roles)]
    stale += [one.stale for one in states]
    return Made(
        settings,
        tuple(one.done for one in roles if one.done.changes),
        tuple(one for one in states if one.old != one.new),
        tuple(
            SettingChange(setting, value.stored, now[setting].stored)
            for setting, value in lists.items()
            if value.stored != now[setting].stored
        ),
        frozenset().union(*stale),
    )


def _set_states(
    connection: SiteConnection, states: Iterable[tuple[str, PluginState]], site: SiteConfiguration
) -> list[StateChange]:
    return [
        set_state(connection, name, state, forced=site.forced, code=site.code_of(name))
        for name, state in states
    ]


def _lists(plugins: Iterable[str]) -> list[SettingName]:
    """Return the settings that list plugins of these kinds, and what goes with them."""
    rules = [RULES.get(split(component)[0]) for component in plugins]
    found = dict.fromkeys(rule.setting for rule in rules if isinstance(rule, StateList))
    also = [_REGISTRATION] if SettingName(CORE, "auth") in found else []
    return [*found, *also]


def _refuse_moved(
    connection: SiteConnection, changes: Iterable[StateChange], site: SiteConfiguration
) -> None:
    found = read_plugins(connection, forced=site.forced) if changes else {}
    for change in changes:
        plugin = found.get(change.component)
        if plugin is None or plugin.state not in (change.old, change.new):
            now = plugin.state if plugin else "not installed"
            raise Conflict(
                "plugin.changed",
                f"{change.component} is {now} by now, not {change.new}.",
                "Somebody else has changed it; set its state by hand.",
            )


def cells_of(made: Made) -> list[DesiredCell]:
    """Return what was changed, cell by cell."""
    settings = [
        DesiredCell("setting", str(change.setting), change.old, change.new)
        for change in made.settings
    ]
    roles = [cell for plan in made.roles for cell in _role_cells(replace(plan, skipped=()))]
    plugins = [
        DesiredCell("plugin", change.component, change.old, change.new) for change in made.plugins
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
        if value.is_forced:
            reason = "it is forced: `vmoodle forced list`"
            yield replace(cell, verdict=Verdict.STUCK, reason=reason)
        elif setting.component not in there:
            reason = f"no {setting.component} there"
            yield replace(cell, verdict=Verdict.ABSENT, reason=reason)
        elif value.stored is None and not create:
            names = known.setdefault(
                setting.component,
                [name.name for name in read_component(connection, setting.component)],
            )
            near = get_close_matches(setting.name, names, n=2)
            alike = f"; there is {' and '.join(near)}" if near else ""
            reason = f"no such setting{alike}; --new makes it"
            yield replace(cell, verdict=Verdict.STUCK, reason=reason)
        else:
            yield cell


def _plugin_cells(
    connection: SiteConnection, wanted: Mapping[str, PluginState], site: SiteConfiguration
) -> Iterator[DesiredCell]:
    found = read_plugins(connection, forced=site.forced) if wanted else {}
    for component, state in wanted.items():
        plugin = found.get(component)
        old = plugin.state if plugin else None
        # One that is not there is as good as disabled.
        if old == state or (plugin is None and state == PluginState.DISABLED):
            continue
        cell = DesiredCell("plugin", component, old, state)
        if plugin is None:
            yield replace(cell, verdict=Verdict.ABSENT, reason="it is not installed")
            continue
        try:
            code = site.code_of(component)
            refuse_state(connection, component, state, found, forced=site.forced, code=code)
        except VMoodleError as error:
            reason = f"{error.message} {error.hint}"
            yield replace(cell, verdict=Verdict.STUCK, reason=reason)
        else:
            yield cell


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
        name, old, new = cell_words(change)
        yield DesiredCell("role", f"{plan.role}: {name}", old, new)
    for skipped in plan.skipped:
        name, _old, _new = cell_words(CellChange(skipped.part, skipped.key, None, None))
        yield DesiredCell(
            "role", f"{plan.role}: {name}", None, None, Verdict.ABSENT, skipped.reason
        )
