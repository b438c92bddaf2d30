"""Run a command on many sites: try it out and have it confirmed where it changes them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, TypedDict, Unpack

import typer

from vmoodle.cli.option_words import with_options
from vmoodle.cli.output import print_json, say
from vmoodle.cli.progress import carry_out_all, showing
from vmoodle.cli.question import ask_to_change
from vmoodle.cli.run_show import show_answers, show_run

if TYPE_CHECKING:
    from vmoodle.fleet.command import AnyCommand
    from vmoodle.fleet.runs.order import Order
    from vmoodle.installation import Installation
    from vmoodle.registry.fleet_models import Run

On = Annotated[
    str, typer.Option("--on", help="Which sites, as 'north* & !version:4.5*'; * is every site.")
]
From = Annotated[str, typer.Option("--from", metavar="SITE", help="The site it comes from.")]
Keep = Annotated[
    bool,
    typer.Option("--keep/--remove", help="Keep or remove what a site has beyond the source."),
]
Timeout = Annotated[float | None, typer.Option(min=0.1, help="Seconds it may take on a site.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask before sites are changed.")]
Confirm = Annotated[
    str | None, typer.Option(help="What confirms a change on many sites; a refusal tells it.")
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Only show what would be done on each site.")
]
Detach = Annotated[
    bool, typer.Option("--detach", help="Only queue it; `operation follow` waits for it.")
]


class Options(TypedDict, total=False):
    """What `carry_out` is told besides the order."""

    yes: bool
    confirm: str | None
    dry: bool
    detach: bool
    json: bool
    show: Callable[[Run], None] | None


def carry_out(
    installation: Installation,
    order: Order,
    *,
    yes: bool = False,
    confirm: str | None = None,
    dry: bool = False,
    detach: bool = False,
    json: bool = False,
    show: Callable[[Run], None] | None = None,
) -> None:
    """Carry an order out and show what came of it; what changes sites is tried and confirmed first.

    With `dry` only what would come of it. `show` prints what was only read, and not as JSON.
    """
    from vmoodle.fleet.runs import order as orders

    command = order.command
    for note in () if json else order.notes:
        say(note)
    if command.effect.changes and not dry:
        _change(installation, order, yes=yes, confirm=confirm, detach=detach, json=json)
        return
    if detach:
        run = orders.write_down(installation, order, dry=dry, durable=True)
        _show_queued(run.id, run.operation_id, json=json)
        return
    run = ask(installation, order, dry=dry)
    if dry and not order.undo_of:
        with _told_all_the_same(run, json=json):
            orders.judge_trial(order, run)
    if not command.effect.changes:
        with _told_all_the_same(run, json=json):
            orders.judge_reading(installation, order, run)
    show_run(run, command.comparison, json=json, show=show)


def ask(installation: Installation, order: Order, *, dry: bool = False) -> Run:
    """Carry out here what changes no site, and return the run."""
    from vmoodle.fleet.runs import order as orders
    from vmoodle.fleet.runs import runner

    run = orders.write_down(installation, order, dry=dry)
    try:
        with showing("asking the sites") as tell:
            return runner.run_here(installation, run, order.command, tell)
    except KeyboardInterrupt:
        say(f"cancelled; vmoodle run show {run.id}, or vmoodle run again {run.id} --failed")
        raise


def order_and_carry_out(
    name: str,
    values: Mapping[str, object],
    on: str,
    *,
    timeout: float | None = None,
    **options: Unpack[Options],
) -> None:
    """Order a command by its name on the sites that `on` means, and carry it out."""
    carry_out(*ordered(name, values, on, timeout), **options)


def ordered(
    name: str, values: Mapping[str, object], on: str, timeout: float | None
) -> tuple[Installation, Order]:
    """Order a command by its name on the sites that `on` means."""
    from vmoodle.installation import open_installation

    installation = open_installation()
    from vmoodle.fleet.command_sets import find

    return installation, order_of(installation, find(name), values, on, timeout)


def order_of(
    installation: Installation,
    command: type[AnyCommand],
    values: Mapping[str, object],
    on: str,
    timeout: float | None,
) -> Order:
    """Order a command on the sites that `on` means."""
    from vmoodle.fleet.parameters import given
    from vmoodle.fleet.runs.order import prepare

    return prepare(installation, command, given(command.model, values), on, timeout=timeout)


def _change(
    installation: Installation,
    order: Order,
    *,
    yes: bool,
    confirm: str | None,
    detach: bool,
    json: bool,
) -> None:
    """Try it out, show what would come of it, have it confirmed, and do it where the trial went."""
    from vmoodle.fleet.bulk.confirmation import refuse_unconfirmed_change
    from vmoodle.fleet.change_rows import NOTHING
    from vmoodle.fleet.runs import order as orders
    from vmoodle.fleet.runs import runner
    from vmoodle.fleet.runs.view import summary
    from vmoodle.registry import runs

    share = installation.settings.fleet.confirm_share
    size = orders.fleet_size(order.command)
    asks = sys.stdin.isatty() and not yes and confirm is None
    if not asks:
        refuse_unconfirmed_change(order.names, size, share, yes=yes, typed=confirm or "")
    trial = orders.write_down(installation, order, dry=True)
    with showing("trying it out") as tell:
        trial = runner.run_here(installation, trial, order.command, tell)
    with _told_all_the_same(trial, json=json):
        if not order.undo_of:
            orders.judge_trial(order, trial)
        if not json:
            if summary(trial)["ok"]:
                say("what would be done:")
            show_answers(trial, order.command.comparison)
        order = orders.after_trial(order, trial)
    if orders.changes_nothing(order, trial):
        if not json:
            say(f"{NOTHING}; no site was touched")
        show_run(trial, json=json, show=lambda _trial: None)
        return
    if asks:
        typed = ask_to_change(len(order.names))
        refuse_unconfirmed_change(order.names, size, share, yes=False, typed=typed, shown=True)
    run = orders.write_down(installation, order, durable=True)
    if detach:
        _show_queued(run.id, run.operation_id, json=json)
        return
    carry_out_all(installation, [orders.operation_of(run)])
    show_run(runs.find(run.id), order.command.comparison, json=json, told=order.left_out)


@contextmanager
def _told_all_the_same(trial: Run, *, json: bool) -> Iterator[None]:
    """Print a trial's document before what ends the call by an error: a program reads only that."""
    from vmoodle.errors import VMoodleError
    from vmoodle.fleet.runs.export import write_json

    try:
        yield
    except VMoodleError:
        if json:
            write_json(trial, sys.stdout, with_options)
        raise


def _show_queued(run_id: str, operation_id: str, *, json: bool) -> None:
    if json:
        print_json({"run": run_id, "operation": operation_id})
    else:
        say(f"vmoodle operation follow {operation_id}, then vmoodle run show {run_id}")
