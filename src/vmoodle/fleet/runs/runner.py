"""Carry out a run: its command on every site that waits, and what came of each written down.

A change is marked as begun on a site before it is made there. Whoever goes on with a run after a
crash so finds which sites wait, which are done, and of which nobody knows: a change is never made
twice by itself.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, cast

from vmoodle.engines.protocol import CONNECT_TIMEOUT, GRACE
from vmoodle.errors import Conflict, Failed, VMoodleError
from vmoodle.fleet import command_sets
from vmoodle.fleet.command import AnyCommand, has_undo, nothing_to_undo
from vmoodle.fleet.fan_out import Bounds, Ended, Job, fan_out
from vmoodle.fleet.parameters import Parameters, restored, secrets_of
from vmoodle.fleet.result import Changed, Result, Table, capped, to_json
from vmoodle.fleet.runs.order import operation_of, unknown_outcome
from vmoodle.fleet.runs.view import state_of
from vmoodle.fleet.target_site import TargetSite
from vmoodle.fleet.target_sites import TargetSites, by_server
from vmoodle.fleet.unforeseen import contained
from vmoodle.moodle.caches.invalidation import Change
from vmoodle.operations.node import left_alone
from vmoodle.process import this_process
from vmoodle.progress import Tell, tell_nobody
from vmoodle.registry import runs
from vmoodle.registry.fleet_models import Run, RunSiteState
from vmoodle.registry.runs import Outcome
from vmoodle.registry.text import storable
from vmoodle.secret import Secret, without_secrets

if TYPE_CHECKING:
    from vmoodle.installation import Installation

Answer = Result | Changed
# Answers that only were read wait so long, or until there are so many, to be written together.
_KEEP_SECONDS = 0.3
_KEEP_COUNT = 200
_TELL_SECONDS = 0.5
_STATES = {
    "run.timeout": RunSiteState.TIMEOUT,
    "engine.timeout": RunSiteState.TIMEOUT,
    "php.timeout": RunSiteState.TIMEOUT,
    "run.outcome": RunSiteState.UNKNOWN,
    "sql.partial": RunSiteState.UNKNOWN,
    "plugin.state.half": RunSiteState.UNKNOWN,
}
# What raises these may have changed the site before.
_MAYBE_CHANGED = frozenset(
    {
        "php.timeout", "exec.status", "script.failed", "task.failed",
        "command.internal", "command.result",
    }
)  # fmt: skip


def run_here(
    installation: Installation,
    run: Run,
    command: type[AnyCommand] | None = None,
    tell: Tell = tell_nobody,
) -> Run:
    """Carry out a run in this process, to its end; an interrupt (Ctrl-C) cancels what is left."""
    try:
        _Execution(installation, run, command, tell).go()
    finally:
        run = runs.finish(run.id, unknown_outcome(run.id))
    return run


def go_on(installation: Installation, run: Run, tell: Tell = tell_nobody) -> Run:
    """Go on with a run that is no operation; return it as it is then.

    Raise as `refuse_to_go_on`.
    """
    refuse_to_go_on(installation, run)
    runs.continued(run.id, this_process().text)
    return run_here(installation, run, None, tell)


def refuse_to_go_on(installation: Installation, run: Run) -> None:
    """Raise Conflict `run.state` for a run that has ended, or that a process carries out."""
    if state_of(run) == "interrupted":
        return
    under_way = run.operation_id and runs.is_under_way(run)
    if under_way and left_alone(installation, [operation_of(run)]):
        return
    raise Conflict(
        "run.state",
        f"Run {run.id} is {state_of(run)}; only one that was interrupted can go on.",
        f"vmoodle operation follow {run.operation_id}"
        if under_way
        else f"vmoodle run again {run.id} --failed",
    )


def carry_out(
    installation: Installation,
    run_id: str,
    tell: Tell,
    stopped: Callable[[], bool],
) -> None:
    """Carry out what is left of a run as a step of its operation; it is not ended here."""
    runs.continued(run_id, this_process().text)
    _Execution(installation, runs.find(run_id), None, tell, stopped).go()


class _Execution:
    """One attempt at what is left of a run. Only the thread that made it speaks to the registry."""

    def __init__(
        self,
        installation: Installation,
        run: Run,
        command: type[AnyCommand] | None,
        tell: Tell,
        stopped: Callable[[], bool] | None = None,
    ) -> None:
        self._installation = installation
        self._run = run
        self._tell = tell
        self._stopped = stopped
        self._class = command or command_sets.find(run.command)
        given = self._parameters()
        self._secrets = secrets_of(given)
        with contained(f"{run.command} of run {run.id}", self._without_secrets):
            self._command = self._class(given)
        self._sites = TargetSites(installation, run.timeout, self._class.states)
        self._given_up: dict[str, Ended[Answer]] = {}
        self._changes = self._class.effect.changes and not run.dry
        self._pending: list[Outcome] = []
        self._repeated: dict[int, str] = {}
        self._keep_at = 0.0
        self._tell_at = 0.0
        self._failed = 0
        self._done = 0

    def go(self) -> None:
        """Run the command on every site that waits, and keep what came of each."""
        # An undo finds by what it kept whether it was done: that is none that does no harm twice.
        self._repeated = runs.taken_up(
            self._run.id,
            repeat=not self._changes or self._harmless,
            unknown=unknown_outcome(self._run.id),
        )
        waiting = runs.waiting(self._run.id)
        settings = self._installation.settings.fleet
        together = settings.together
        if self._class.scripts:
            together = min(together, os.cpu_count() or 1)
        seconds = self._run.timeout + GRACE + CONNECT_TIMEOUT
        try:
            for ended in fan_out(
                self._lanes(by_server(waiting)),
                Bounds(together, settings.per_server, seconds),
                begin=self._begin,
                stopped=self._stopped or (lambda: False),
                leave=not self._changes,
                late=self._changes,
            ):
                self._take(ended, len(waiting))
        finally:
            self._pending += [self._outcome(one) for one in self._given_up.values()]
            self._keep()

    @property
    def _harmless(self) -> bool:
        """Whether to do it twice does no harm."""
        return self._class.idempotent and not self._run.undo_of

    def _lanes(self, servers: Mapping[int, Iterable[int]]) -> Mapping[int, Iterable[Job[Answer]]]:
        if self._changes:  # what is changed is looked at when it is held (`_begin`)
            return {server: map(_to_be_begun, ids) for server, ids in servers.items()}
        return self._sites.lanes(servers, self._act)

    def _act(self, site: TargetSite) -> Answer:
        try:
            if self._changes and site.shortname in self._repeated.values():
                # It may be done there, and killed before what was cached was dropped.
                site.drop_caches(Change)
            with contained(f"on {site.shortname}", self._without_secrets):
                if self._run.undo_of:
                    return self._undo(site)
                return (self._command.dry_run if self._run.dry else self._command.run)(site)
        finally:
            _close_registry_of_thread()

    def _undo(self, site: TargetSite) -> Answer:
        token = runs.undo_of(self._run.undo_of, site.shortname)
        if not token:
            raise nothing_to_undo(self._run.command)
        kept = json.loads(self._installation.keyring.decrypt(token).reveal())
        return self._command.undo(site, kept, dry=self._run.dry)

    def _begin(self, jobs: list[Job[Answer]]) -> list[Job[Answer]]:
        """Mark sites as begun; one that another operation or run holds is not.

        What is changed is read anew once it is held: an operation may have ended just before.
        """
        if not self._changes:
            return jobs
        refused = runs.begun(self._run.id, [int(job.key) for job in jobs])
        self._pending += [
            Outcome(site_id, RunSiteState.FAILED, 0, error=error)
            for site_id, error in refused.items()
        ]
        self._keep()
        begun = [int(job.key) for job in jobs if int(job.key) not in refused]
        return list(self._sites.jobs(begun, self._act))

    def _take(self, ended: list[Ended[Answer]], total: int) -> None:
        if self._changes:
            ended = self._without_late(ended)
        self._pending += [self._outcome(one) for one in ended]
        now = time.monotonic()
        if self._changes or now >= self._keep_at or len(self._pending) >= _KEEP_COUNT:
            self._keep()
            self._keep_at = now + _KEEP_SECONDS
        self._done += len(ended)
        self._failed += sum(one.error is not None for one in ended)
        if now >= self._tell_at:
            self._tell_at = now + _TELL_SECONDS
            self._tell(f"{self._done} of {total} sites, {self._failed} failed")

    def _without_late(self, ended: list[Ended[Answer]]) -> list[Ended[Answer]]:
        """Return what has ended; a change that is late still holds its site and may end."""
        for one in ended:
            self._given_up.pop(one.key, None)
        self._given_up |= {one.key: one for one in ended if one.given_up}
        return [one for one in ended if not one.given_up]

    def _keep(self) -> None:
        if self._pending:
            runs.keep(self._run.id, self._pending)
            self._pending = []

    def _outcome(self, ended: Ended[Answer]) -> Outcome:
        milliseconds = round(ended.seconds * 1000)
        problem = ended.error
        if problem is None:
            try:
                again = int(ended.key) in self._repeated
                text, undo = self._kept(cast("Answer", ended.value), again=again)
                return Outcome(int(ended.key), RunSiteState.OK, milliseconds, text, undo=undo)
            except Exception as error:  # noqa: BLE001 - a stranger's answer
                problem = _no_result(error)
        if ended.given_up and self._changes:
            problem = unknown_outcome(self._run.id)
        state = _STATES.get(problem.code, RunSiteState.FAILED)
        if self._changes and not self._harmless and problem.code in _MAYBE_CHANGED:
            state = RunSiteState.UNKNOWN
        return Outcome(int(ended.key), state, milliseconds, error=self._to_be_kept(problem))

    def _to_be_kept(self, problem: VMoodleError) -> VMoodleError:
        """Return an error as everybody may read it; a stranger's may have no texts."""
        told = (self._without_secrets(str(one)) for one in (problem.message, problem.hint))
        return VMoodleError(str(problem.code), *told)

    def _without_secrets(self, text: str) -> str:
        return without_secrets(text, self._secrets) if self._secrets else text

    def _kept(self, answer: Answer, *, again: bool) -> tuple[str, str]:
        """Return the answer as JSON, and what takes the change back, encrypted."""
        undo = ""
        if isinstance(answer, Changed):
            if answer.undo is not None and self._changes:
                undo = self._installation.encrypt(Secret(json.dumps(answer.undo)))
            elif again and self._changes and has_undo(self._class):
                undo = runs.UNDO_LOST
            answer = answer.answer
        text = to_json(capped(answer, self._installation.settings.fleet.most_bytes))
        if isinstance(answer, Table) and any(len(r) != len(answer.columns) for r in answer.rows):
            raise ValueError("a row has not one cell for each column")
        return storable(text), undo

    def _parameters(self) -> Parameters:
        given = self._run.parameters
        if self._run.secret_encrypted:
            token = self._run.secret_encrypted
            given = json.loads(self._installation.keyring.decrypt(token).reveal())
        return restored(self._class.model, given)


def _to_be_begun(site_id: int) -> Job[Answer]:
    def never() -> Answer:
        raise AssertionError("it was not begun")

    return Job(str(site_id), never)


def _no_result(error: Exception) -> VMoodleError:
    return Failed(
        "command.result",
        f"The command answered with what is no result: {error}.",
        "Tell whoever made the command.",
    )


def _close_registry_of_thread() -> None:
    """Close what a command opened of the registry in its own thread."""
    from django.db import connections

    connections.close_all()
