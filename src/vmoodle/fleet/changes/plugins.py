"""Changes of a site's plugins as commands make them: planned, made, told, taken back."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from threading import BoundedSemaphore
from typing import Any

from vmoodle.errors import NeedsAttention, VMoodleError
from vmoodle.fleet.change_rows import LEFT, all_stay
from vmoodle.fleet.code_trees import CodeTrees
from vmoodle.fleet.result import Cell, Changed, Result, Table
from vmoodle.fleet.target_site import TargetSite, unheard
from vmoodle.moodle.caches.invalidation import Change
from vmoodle.moodle.plugins import api
from vmoodle.moodle.plugins.code import read_plugin_code
from vmoodle.moodle.plugins.plan import (
    Applied,
    PluginPlan,
    PluginUndo,
    SitePlugins,
    apply_changes,
    apply_undo,
    plan_changes,
    plan_undo,
)
from vmoodle.moodle.plugins.rules import PluginState
from vmoodle.moodle.plugins.with_moodle import (
    Before,
    finish,
    read_before,
    restore,
    states_for_moodle,
    taken_back,
)

_COLUMNS = ("plugin", "old", "new", "note")
_Orders = Mapping[str, tuple[str, ...]]


class PluginChanges:
    """What the commands that change have in common; one for all sites of a run."""

    def __init__(self) -> None:
        self._trees = CodeTrees(read_plugin_code)
        # Moodle's own code keeps a core busy for a second a site.
        self._cores = BoundedSemaphore(os.cpu_count() or 1)

    @staticmethod
    def changes_nothing(answer: Result) -> bool:
        """Tell whether what `plan` told is only what is left as it is."""
        return all_stay(answer, LEFT)

    def plan(
        self, site: TargetSite, states: Mapping[str, PluginState], orders: _Orders, *, skip: bool
    ) -> Result:
        """Tell what `change` would do."""
        with self._plugins(site, read_only=True) as plugins:
            return _answer(plan_changes(plugins, states, orders, skip=skip, by_moodle=True))

    def change(
        self, site: TargetSite, states: Mapping[str, PluginState], orders: _Orders, *, skip: bool
    ) -> Changed:
        """Plan and make a change, all or nothing.

        With `skip` what cannot be is left and told; else raise what it cannot be for, as Refused
        `plugin.state.refused` where a plugin itself says no.
        """
        refused: dict[str, str] = {}
        while True:
            wanted = {name: state for name, state in states.items() if name not in refused}
            made = self._make(
                site,
                lambda plugins, wanted=wanted: plan_changes(  # type: ignore[misc]
                    plugins, wanted, orders, skip=skip, by_moodle=True
                ),
                apply_changes,
            )
            if not isinstance(made, api.Refusal):
                break
            if not skip or made.component in refused:
                raise made.error()
            refused[made.component] = made.error().message
        plan, applied = made
        undo = applied.undo.as_data() if plan.states or plan.orders else None
        plan = replace(plan, left={**plan.left, **refused})
        return Changed(_answer(plan, site.drop_caches(applied.stale)), undo)

    def undo(self, site: TargetSite, kept: Any, *, dry: bool) -> Result | Changed:
        """Take a change back, or tell what that would do."""
        undo = PluginUndo.from_data(kept)
        if dry:
            with self._plugins(site, read_only=True) as plugins:
                return _answer(plan_undo(plugins, undo))
        made = self._make(
            site,
            lambda plugins: plan_undo(plugins, undo),
            lambda plugins, _plan: apply_undo(plugins, undo)[1],
            undo,
        )
        if isinstance(made, api.Refusal):
            raise made.error()
        plan, applied = made
        return Changed(_answer(plan, site.drop_caches(applied.stale)), applied.undo.as_data())

    def _make(
        self,
        site: TargetSite,
        planned: Callable[[SitePlugins], PluginPlan],
        apply: Callable[[SitePlugins, PluginPlan], Applied],
        undo: PluginUndo | None = None,
    ) -> tuple[PluginPlan, Applied] | api.Refusal:
        """Make a change by SQL in one transaction, or have Moodle set the states where it must.

        Then Moodle has a transaction of its own, and where the rest fails takes it back.
        """
        with self._plugins(site, read_only=False) as plugins:
            plan = planned(plugins)
            if not plan.by_moodle:
                return plan, apply(plugins, plan)
            before = read_before(plugins, plan, undo)
        try:
            refusal = self._by_moodle(site, plan)
        except VMoodleError as error:
            self._after_error(site, plan, before, error)
            refusal = None
        if refusal:
            return refusal
        try:
            with self._plugins(site, read_only=False) as plugins:
                return plan, finish(plugins, plan, before)
        except BaseException as error:
            # Where the rest may be there, nothing is taken from under it.
            if not (isinstance(error, VMoodleError) and error.code == "run.outcome"):
                self._take_back(site, plan, before)
            raise

    def _after_error(
        self, site: TargetSite, plan: PluginPlan, before: Before, error: VMoodleError
    ) -> None:
        """Look what is set where Moodle did not say it; raise the error where that is not all.

        It may have ended after its commit, by a limit or in what a plugin does at the very end.
        """
        try:
            with self._plugins(site, read_only=True) as plugins:
                is_set = taken_back(plugins, plan).states
        except VMoodleError as unread:
            raise unheard(f"{error.message} The states cannot be read: {unread.message}") from error
        if len(is_set) == len(plan.states):
            return
        if is_set:
            self._take_back(site, plan, before)
        raise error

    def _by_moodle(self, site: TargetSite, plan: PluginPlan) -> api.Refusal | None:
        """Have Moodle set the states; what it has cached is dropped where it did not."""
        is_set = False
        try:
            with self._cores:
                given = api.as_input(states_for_moodle(plan))
                output = site.run_code(api.SET_STATES, what=api.WHAT, given=given)
            refusal = api.read_output(output)
            is_set = refusal is None
            return refusal
        finally:
            if not is_set:
                # The plugin's code may have filled any of them with what is rolled back.
                site.drop_caches(Change)

    def _take_back(self, site: TargetSite, plan: PluginPlan, before: Before) -> None:
        """Have Moodle take back what it has set; raise NeedsAttention where it cannot."""
        try:
            with self._plugins(site, read_only=True) as plugins:
                back = taken_back(plugins, plan)
            refusal = self._by_moodle(site, back) if back.states else None
            if refusal is None:
                with self._plugins(site, read_only=False) as plugins:
                    restore(plugins, before)
                return
            why = refusal.error().message
        except VMoodleError as error:
            why = error.message
        finally:
            site.drop_caches(Change)
        names = ", ".join(f"{step.component}={step.new}" for step in plan.states)
        raise NeedsAttention(
            "plugin.state.half",
            f"Moodle has set {names}; the rest failed, and that could not be taken back: {why}",
            "Set by `vmoodle plugin set` what the plugins are to be.",
        )

    @contextmanager
    def _plugins(self, site: TargetSite, *, read_only: bool) -> Iterator[SitePlugins]:
        """Open a site's plugins, in one transaction."""
        paths = self._trees.of(site).paths
        with site.connect() if read_only else site.change() as connection:
            yield SitePlugins(connection, site.forced, paths)


def _answer(plan: PluginPlan, stale: list[str] | None = None) -> Result:
    rows: list[tuple[Cell, ...]] = [
        (step.component, step.old, step.new, step.note) for step in plan.states
    ]
    rows += [
        (f"order of {step.kind}", ", ".join(step.old), ", ".join(step.new), "")
        for step in plan.orders
    ]
    rows += [(name, None, None, f"{LEFT}{why}") for name, why in plan.left.items()]
    rows += [("caches", None, None, sentence) for sentence in stale or ()]
    return Table(_COLUMNS, tuple(rows))
