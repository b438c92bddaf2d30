"""Order a command on the sites that an expression means: checked first, then written down."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from vmoodle.errors import Conflict, Failed, InvalidInput, NotFound, Refused, VMoodleError
from vmoodle.fleet.command import (
    AnyCommand,
    Command,
    Effect,
    has_dry_run,
    has_undo,
    nothing_to_undo,
)
from vmoodle.fleet.parameters import Parameters, has_secrets, masked, restored, revealed, secrets_of
from vmoodle.fleet.runs.view import all_well, answers, kept_rows, problems
from vmoodle.fleet.target_sites import target_site, wrong_state
from vmoodle.fleet.targets.choice import Choice
from vmoodle.fleet.targets.choose import choose_expression
from vmoodle.fleet.unforeseen import contained
from vmoodle.process import this_process
from vmoodle.registry import operations, runs
from vmoodle.registry.fleet_models import Run, RunSiteState
from vmoodle.registry.models import Operation, Site
from vmoodle.registry.text import kept_error
from vmoodle.secret import Secret, without_secrets

if TYPE_CHECKING:
    from vmoodle.installation import Installation


@dataclass(frozen=True)
class Order:
    """A command with its parameters, and the sites it is for. Nothing is written down yet."""

    command: type[AnyCommand]
    given: Parameters
    target: str
    sites: tuple[tuple[int, str], ...]
    left_out: Mapping[str, VMoodleError]
    timeout: float
    again_of: str = ""
    undo_of: str = ""

    @property
    def names(self) -> list[str]:
        """The shortnames of the sites."""
        return [name for _id, name in self.sites]

    @property
    def notes(self) -> Sequence[str]:
        """What the command has to say of the order as a whole; of an undo nothing."""
        if self.undo_of:
            return ()
        with contained(f"{self.command.name}, when it was ordered"):
            return tuple(self.command.notes(self.given))


def prepare(
    installation: Installation,
    command: type[AnyCommand],
    given: Parameters,
    target: str,
    *,
    timeout: float | None = None,
    again_of: str = "",
    settle: bool = True,
) -> Order:
    """Return the order of a command on the sites that an expression means.

    Parameters of an earlier run are settled already.

    Sites that are named but in a state the command is not for, and those that could not be asked,
    are left out with the reason. Raise as `targets.choose_expression`.
    """
    choice = choose_expression(installation, target, command.states)
    hide = partial(without_secrets, secrets=secrets_of(given))
    with contained(f"{command.name}, when it was ordered", hide):
        given = command.settle(given, installation) if settle else given
        sources = command.leaves_out(given)
    sites, left_out = _fit(command, choice)
    sites = _without(sites, sources)
    limit = timeout or command.timeout or installation.settings.fleet.timeout
    return Order(command, given, target, sites, left_out, float(limit), again_of)


def write_down(
    installation: Installation, order: Order, *, dry: bool = False, durable: bool = False
) -> Run:
    """Write a run down; with `durable` it is an operation, which any executor carries out.

    Raise Refused for a trial of a command that has none.
    """
    if dry and not has_dry_run(order.command):
        raise Refused(
            "command.dry_run",
            f"The command {order.command.name} cannot tell beforehand what it would do.",
            "Run it on one site first.",
        )
    secret = ""
    if has_secrets(order.given):
        secret = installation.encrypt(Secret(json.dumps(revealed(order.given))))
    return runs.create(
        {
            "command": order.command.name,
            "effect": str(order.command.effect),
            "dry": dry,
            "parameters": masked(order.given),
            "secret_encrypted": secret,
            "target": order.target,
            "timeout": order.timeout,
            "again_of": order.again_of,
            "undo_of": order.undo_of,
            "node": installation.node,
            "process": "" if durable else this_process().text,
        },
        order.sites,
        order.left_out,
        as_operation=durable,
    )


def again(
    installation: Installation,
    run: Run,
    command: type[AnyCommand],
    *,
    failed: bool,
    timeout: float | None = None,
) -> Order:
    """Return the order of a run's command on its sites again, on those not done with `failed`.

    Raise Refused `run.secret` where the parameters held a secret, which is not kept, NotFound
    `run.failed` where no site failed.
    """
    if run.undo_of:
        raise Refused(
            "run.undo",
            f"Run {run.id} took run {run.undo_of} back; that is not done again.",
            f"vmoodle run undo {run.undo_of}, for the sites that are left",
        )
    given = restored(command.model, run.parameters)
    if has_secrets(given):
        raise Refused(
            "run.secret",
            f"The parameters of run {run.id} hold a secret, which is not kept.",
            f"Order it anew on the same sites: {'failed' if failed else 'run'}:{run.id}",
        )
    if failed and not runs.failed_names(run):
        raise _none_failed(run)
    target = f"{'failed' if failed else 'run'}:{run.id}"
    return prepare(installation, command, given, target, timeout=timeout or run.timeout,
                   again_of=run.id, settle=False)  # fmt: skip


def _none_failed(run: Run) -> NotFound:
    unknown = runs.unknown_names(run)
    message = f"No site of run {run.id} failed."
    if not unknown:
        return NotFound("run.failed", message, f"vmoodle run show {run.id}")
    are = "site is" if len(unknown) == 1 else "sites are"
    return NotFound(
        "run.failed",
        f"{message} {len(unknown)} {are} unknown, and not repeated: {', '.join(unknown)}.",
        f"Look there first; then order it anew where it is missing: on unknown:{run.id}.",
    )


def undo(installation: Installation, run: Run, command: type[AnyCommand]) -> Order:
    """Return the order that takes a run back, on the sites where it can be and was not yet.

    A site whose undo was lost in a crash is left out with that reason. Raise Refused `run.read` for
    one that changed nothing, `command.undo` where nothing was kept, Conflict `run.undone` where all
    was taken back already.
    """
    if run.dry or run.effect == Effect.READS:
        raise Refused(
            "run.read",
            f"Run {run.id} only {'tried' if run.dry else 'read'}; there is nothing to take back.",
            "`vmoodle run list` shows the runs that changed sites.",
        )
    whole = prepare(installation, command, _shown(run, command), f"run:{run.id}",
                    timeout=run.timeout, settle=False)  # fmt: skip
    left = set(runs.undoable(run.id))
    sites = tuple((site_id, name) for site_id, name in whole.sites if name in left)
    lost = _undo_lost(run, command, whole.names)
    if not sites:
        raise _undone(run) or (_lost(run, lost) if lost else nothing_to_undo(command.name))
    left_out = {name: error for name, error in whole.left_out.items() if name in left}
    left_out |= {name: _lost(run, [name]) for name in lost}
    return replace(whole, sites=sites, left_out=left_out, undo_of=run.id)


def _undone(run: Run) -> Conflict | None:
    """Return the error for a run that another one has taken back, None where none has."""
    back = runs.taken_back_by(run.id)
    if not back:
        return None
    again = f"undo {back}" if runs.undoable(back) else f"again {run.id}"
    return Conflict(
        "run.undone",
        f"Run {run.id} was taken back already by run {back}.",
        f"To have again what it changed: vmoodle run {again}",
    )


def _undo_lost(run: Run, command: type[AnyCommand], names: Collection[str]) -> list[str]:
    """Return which of these sites the run may have changed without keeping the undo."""
    lost = [name for name in runs.undo_lost(run.id) if name in names]
    if not lost or not has_undo(command):
        return []
    trial = runs.trial_of(run)
    with contained(f"{command.name}, when its trial was judged"):
        unchanged = {
            site
            for site, answer in (answers(trial) if trial else ())
            if site in lost and command.changes_nothing(answer)
        }
    return [name for name in lost if name not in unchanged]


def _lost(run: Run, sites: Sequence[str]) -> Refused:
    trial = runs.trial_of(run)
    return Refused(
        "command.undo",
        f"What run {run.id} changed on {', '.join(sites)} cannot be taken back: what was there "
        "before was not kept, for the process was killed, or the end of the change not heard.",
        f"The values from before stand in its trial: vmoodle run show {trial.id}"
        if trial
        else "Restore a snapshot, or change it by another command.",
    )


def _shown(run: Run, command: type[AnyCommand]) -> Parameters:
    """Return a run's parameters, a secret as `***`: an undo goes by what was kept."""
    return restored(command.model, run.parameters)


def judge_trial(order: Order, trial: Run) -> None:
    """Raise what `Command.judge` finds wrong with the parameters by all answers together."""
    if order.command.judge.__func__ is Command.judge.__func__:  # type: ignore[attr-defined]
        return  # it would read all answers for nothing
    failures = [kept_error(row) for row in problems(trial)]
    hide = partial(without_secrets, secrets=secrets_of(order.given))
    with contained(f"{order.command.name}, when its trial was judged", hide):
        order.command.judge(order.given, dict(answers(trial)), failures)


def judge_reading(installation: Installation, order: Order, run: Run) -> None:
    """Raise what `Command.judge_reading` finds wrong, where each site answered in full."""
    if order.command.judge_reading.__func__ is Command.judge_reading.__func__:  # type: ignore[attr-defined]
        return  # it would read all answers for nothing
    if not all_well(run):
        return
    told = dict(answers(run))
    if not told or any(kept_rows(answer) for answer in told.values()):
        return
    hide = partial(without_secrets, secrets=secrets_of(order.given))
    with contained(f"{order.command.name}, when its answers were judged", hide):
        order.command.judge_reading(
            order.given, told, lambda: target_site(installation, next(iter(told)))
        )


def after_trial(order: Order, trial: Run) -> Order:
    """Return the order without the sites on which a trial did not go well; they are left out.

    Raise Refused `run.trial` when it went well nowhere.
    """
    good = set(runs.names(trial.id, {RunSiteState.OK}))
    sites = tuple((site_id, name) for site_id, name in order.sites if name in good)
    if not sites:
        raise Refused(
            "run.trial",
            f"The trial went well on no site; nothing was changed (run {trial.id}).",
            f"vmoodle run show {trial.id}",
        )
    left_out = dict(order.left_out)
    for row in runs.rows(trial.id):
        if row.state != RunSiteState.OK:
            left_out[row.shortname] = kept_error(row)
    return replace(order, sites=sites, left_out=left_out)


def changes_nothing(order: Order, trial: Run) -> bool:
    """Tell whether no site on which a trial went well would be another afterwards.

    An undo is made all the same: only so it is known that a run was taken back.
    """
    if order.undo_of:
        return False
    with contained(f"{order.command.name}, when its trial was judged"):
        return all(order.command.changes_nothing(answer) for _site, answer in answers(trial))


def operation_of(run: Run) -> Operation:
    """Return the operation of a run that is one."""
    return operations.find(run.operation_id)


def fleet_size(command: type[AnyCommand]) -> int:
    """Return how many sites there are that a command could run on."""
    return Site.objects.filter(state__in=command.states).count()


def unknown_outcome(run_id: str) -> VMoodleError:
    """Return the error of a site of which nobody knows whether the change was made."""
    return Failed(
        "run.outcome",
        "Whether the change was made is not known: it was begun, and how it ended was not heard.",
        f"Look at the site; then order it anew where it is missing (of unknown:{run_id}).",
    )


def _without(
    sites: tuple[tuple[int, str], ...], sources: Collection[str]
) -> tuple[tuple[int, str], ...]:
    """Return the sites that are no sources; raise InvalidInput where none is left."""
    left = tuple((site_id, name) for site_id, name in sites if name not in sources)
    if sites and not left:
        raise InvalidInput(
            "target.source",
            f"The only site that is meant is {', '.join(sources)}, which is the source.",
            "Say which other sites are meant.",
        )
    return left


def _fit(
    command: type[AnyCommand], choice: Choice
) -> tuple[tuple[tuple[int, str], ...], dict[str, VMoodleError]]:
    left_out: dict[str, VMoodleError] = dict(choice.undecided)
    sites = []
    for site in choice.sites:
        if site.state in command.states:
            sites.append((site.id, site.shortname))
        else:
            left_out[site.shortname] = wrong_state(site.shortname, site.state, command.states)
    return tuple(sites), left_out
