"""Plugins of many sites: versions and states told and compared, states set and synced."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from vmoodle.errors import InvalidInput, NotFound
from vmoodle.fleet.changes.plugins import PluginChanges
from vmoodle.fleet.code_trees import CodeTrees
from vmoodle.fleet.command import Command, Comparison, Effect
from vmoodle.fleet.copy_source import FromSite, open_source
from vmoodle.fleet.parameters import Constant, Parameters
from vmoodle.fleet.result import Cell, Changed, Matrix, Result, Table
from vmoodle.fleet.target_site import TargetSite
from vmoodle.moodle.plugins.code import read_plugin_code
from vmoodle.moodle.plugins.order import read_orders
from vmoodle.moodle.plugins.refusals import refuse_impossible
from vmoodle.moodle.plugins.rules import RULES, PluginState, split, states_of
from vmoodle.moodle.plugins.states import (
    CodeState,
    SitePlugin,
    compare_versions,
    read_core_version,
    read_plugins,
)

if TYPE_CHECKING:
    from vmoodle.installation import Installation

_COMPONENT = re.compile(r"[a-z][a-z0-9]*_[a-z0-9_]+")
_KINDS_WITH_STATES = tuple(kind for kind in RULES if states_of(kind))


class Kinds(Parameters):
    """Kinds of plugins."""

    type: list[str] = Field(
        default_factory=list, description="Only plugins of this kind, as mod; repeatable."
    )

    def of(self, found: Mapping[str, SitePlugin]) -> list[SitePlugin]:
        """Return the plugins that are meant; raise NotFound `plugin.type` for no kind at all."""
        kinds = {split(name)[0] for name in found} | set(RULES)
        for kind in self.type:
            if kind not in kinds:
                raise NotFound(
                    "plugin.type",
                    f"There are no plugins of the kind {kind!r}.",
                    "Name a kind as Moodle does: mod, block, auth, enrol, filter, tool.",
                )
        return [
            one for one in found.values() if not self.type or split(one.component)[0] in self.type
        ]


class Which(Kinds):
    """Plugins to be told."""

    not_standard: bool = Field(
        default=False, description="Only those that Moodle itself does not bring."
    )


class Listing(Command[Which]):
    """Tell what is there."""

    name = "plugin.list"
    title = "Tell plugins: version installed, version on disk, state."
    effect = Effect.READS
    model = Which
    comparison = Comparison.BY_ROW

    def __init__(self, given: Which) -> None:
        super().__init__(given)
        self._trees = CodeTrees(read_plugin_code)

    def run(self, site: TargetSite) -> Result:
        """Return a row for each plugin that is installed or on disk."""
        code = self._trees.of(site)
        with site.connect() as connection:
            found = read_plugins(connection, code.versions, site.forced)
        rows = tuple(
            (one.component, one.installed, one.disk, one.state)
            for one in self.given.of(found)
            if not (self.given.not_standard and one.component in code.standard)
        )
        return Table(("plugin", "installed", "on_disk", "state"), rows)


class Missing(Command[Kinds]):
    """Tell where the code and the database are not at one."""

    name = "plugin.missing"
    title = "Tell plugins on disk that are not installed, the reverse, and other versions."
    effect = Effect.READS
    model = Kinds
    comparison = Comparison.BY_ROW
    silence = "no differences"

    def __init__(self, given: Kinds) -> None:
        super().__init__(given)
        self._trees = CodeTrees(read_plugin_code)

    def run(self, site: TargetSite) -> Result:
        """Return a row for each plugin whose version on disk is not the installed one."""
        code = self._trees.of(site)
        with site.connect() as connection:
            found = read_plugins(connection, code.versions, site.forced)
            core = read_core_version(connection)
        rows: list[tuple[Cell, ...]] = [
            (one.component, one.installed, one.disk, one.code)
            for one in self.given.of(found)
            if one.code != CodeState.SAME
        ]
        state = compare_versions(core, code.core)
        if state != CodeState.SAME and not self.given.type:
            rows.insert(0, ("core", core, code.core, state))
        return Table(("plugin", "installed", "on_disk", "what"), tuple(rows))


class What(Kinds):
    """Plugins, and what of them is compared."""

    what: Literal["enabled", "version", "installed"] = Field(
        default="enabled", description="The state, the installed version, or only whether it is."
    )


class Compare(Command[What]):
    """Put the plugins of many sites side by side."""

    name = "plugin.compare"
    title = "Compare plugins over sites: what most have, and who differs."
    effect = Effect.READS
    model = What
    comparison = Comparison.MATRIX

    def run(self, site: TargetSite) -> Result:
        """Return what is compared of each installed plugin."""
        with site.connect() as connection:
            found = read_plugins(connection, forced=site.forced)
        return Matrix({one.component: self._cell(one) for one in self.given.of(found)})

    def _cell(self, plugin: SitePlugin) -> Cell:
        if self.given.what == "version":
            return plugin.installed
        if self.given.what == "enabled" and plugin.state is not None:
            return plugin.state
        return "installed"


class States(Parameters):
    """States of plugins."""

    plugin: list[str] = Field(
        min_length=1,
        description="TYPE_NAME=STATE: enabled or disabled; a filter also available, a repository "
        "also hidden. Repeatable.",
    )

    @property
    def states(self) -> dict[str, PluginState]:
        """The states by plugin."""
        return dict(_parse(word) for word in self.plugin)

    @model_validator(mode="after")
    def _can_be(self) -> Self:
        seen: dict[str, PluginState] = {}
        for word in self.plugin:
            component, state = _parse(word)
            refuse_impossible(component, state)
            if seen.setdefault(component, state) != state:
                raise InvalidInput(
                    "plugin.word", f"{component} is given two states.", "Give each plugin one."
                )
        return self


class Set(Command[States]):
    """Give plugins their states."""

    name = "plugin.set"
    title = "Enable or disable plugins, as Moodle's own pages do."
    effect = Effect.WRITES
    model = States
    idempotent = True
    comparison = Comparison.BY_ROW
    changes_nothing = PluginChanges.changes_nothing

    def __init__(self, given: States) -> None:
        super().__init__(given)
        self._changes = PluginChanges()

    def run(self, site: TargetSite) -> Changed:
        """Set all states, or none; return those that were others."""
        return self._changes.change(site, self.given.states, {}, skip=False)

    def dry_run(self, site: TargetSite) -> Result:
        """Return what would change."""
        return self._changes.plan(site, self.given.states, {}, skip=False)

    def undo(self, site: TargetSite, kept: Any, *, dry: bool) -> Result | Changed:
        """Give the plugins the states back that they had."""
        return self._changes.undo(site, kept, dry=dry)


class Source(FromSite):
    """The site whose states are taken over."""

    type: list[str] = Field(
        default_factory=list, description="Only plugins of this kind, as filter; repeatable."
    )
    keep_order: bool = Field(
        default=False, description="Set states only, and leave the order of plugins as it is."
    )
    states: Annotated[dict[str, str], Constant(dict)] = Field(default_factory=dict)
    """What the source has, read when it is ordered."""
    orders: Annotated[dict[str, list[str]], Constant(dict)] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _have_states(self) -> Self:
        for kind in self.type:
            if kind not in _KINDS_WITH_STATES:
                raise InvalidInput(
                    "plugin.state",
                    f"There is no state for plugins of the kind {kind!r}.",
                    f"There is one for {', '.join(_KINDS_WITH_STATES)}.",
                )
        return self


class Sync(Command[Source]):
    """Give sites the states and orders that a source has."""

    name = "plugin.sync"
    title = "Give plugins the states and the order that they have on another site."
    effect = Effect.WRITES
    model = Source
    idempotent = True
    comparison = Comparison.BY_ROW
    changes_nothing = PluginChanges.changes_nothing

    def __init__(self, given: Source) -> None:
        super().__init__(given)
        self._changes = PluginChanges()
        self._states = {name: PluginState(state) for name, state in given.states.items()}
        self._orders = {kind: tuple(names) for kind, names in given.orders.items()}

    @classmethod
    def settle(cls, given: Source, installation: Installation) -> Source:
        """Read the states and orders of the source."""
        site = open_source(installation, given.source)
        kinds = given.type or _KINDS_WITH_STATES
        with site.connect() as connection:
            found = read_plugins(connection, forced=site.forced)
            orders = {} if given.keep_order else read_orders(connection, kinds, found, site.forced)
        states = {
            name: str(one.state)
            for name, one in found.items()
            if one.state is not None and split(name)[0] in kinds
        }
        if not states:
            raise NotFound(
                "plugin.source",
                f"{given.source} has no plugins of the kind {', '.join(given.type)}.",
                f"vmoodle plugin list --on {given.source}",
            )
        # A kind that was never put in order has the one Moodle finds, on every site.
        kept = {kind: list(names) for kind, names in orders.items() if names}
        return given.model_copy(update={"states": states, "orders": kept})

    def run(self, site: TargetSite) -> Changed:
        """Set what differs and can be set; return it, and what is left and why."""
        return self._changes.change(site, self._states, self._orders, skip=True)

    def dry_run(self, site: TargetSite) -> Result:
        """Return what would change, and what is left and why."""
        return self._changes.plan(site, self._states, self._orders, skip=True)

    def undo(self, site: TargetSite, kept: Any, *, dry: bool) -> Result | Changed:
        """Give the plugins the states and orders back that they had."""
        return self._changes.undo(site, kept, dry=dry)


def _parse(word: str) -> tuple[str, PluginState]:
    component, _equals, state = word.partition("=")
    if not _COMPONENT.fullmatch(component) or state not in set(PluginState):
        raise InvalidInput(
            "plugin.word",
            f"{word!r} is no plugin with its state.",
            f"Write TYPE_NAME=STATE, as filter_tex=available; states: {', '.join(PluginState)}.",
        )
    return component, PluginState(state)
