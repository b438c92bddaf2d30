"""`vmoodle upgrade`: whether sites are to be upgraded, and what stands in the way."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from vmoodle.cli.output import Json, say
from vmoodle.cli.run_show import names, show_run
from vmoodle.cli.run_start import On, Timeout, ask

if TYPE_CHECKING:
    from vmoodle.fleet.result import Result
    from vmoodle.registry.fleet_models import Run

app = typer.Typer(help="Upgrades of many sites: pending, planned.", no_args_is_help=True)

TO_BE_DONE = 8
"""Exit status: a site is pending, or blocked."""


@app.command()
def pending(
    on: On,
    to: Annotated[
        str, typer.Option(help="A codebase to compare with; each site's own without it.")
    ] = "",
    every: Annotated[
        bool, typer.Option("--every", help="Tell each plugin of Moodle's own too.")
    ] = False,
    timeout: Timeout = None,
    json: Json = False,
) -> None:
    """Tell which sites are to be upgraded, why, and which plugins differ; status 8 when one is."""
    from vmoodle.fleet.commands.upgrade_pending import is_pending

    run = _ask("upgrade.pending", {"to": to, "every": every}, on, timeout)
    _finish(run, is_pending, "pending", json=json)


def _ask(name: str, values: Mapping[str, object], on: str, timeout: float | None) -> Run:
    from vmoodle.installation import open_installation

    installation = open_installation()
    from vmoodle.fleet.command_sets import load
    from vmoodle.fleet.order import prepare
    from vmoodle.fleet.parameters import given

    command = load().find(name)
    order = prepare(installation, command, given(command.model, values), on, timeout=timeout)
    return ask(installation, order)


def _finish(
    run: Run,
    counts: Callable[[Result], bool],
    word: str,
    *,
    json: bool,
    show: Callable[[Run], None] | None = None,
) -> None:
    """Show the run; a site that did not answer ends it with 1, one that counts with 8."""
    from vmoodle.fleet.command import Comparison
    from vmoodle.fleet.run_view import all_well, answers

    with suppress(typer.Exit):
        show_run(run, Comparison.BY_ROW, json=json, show=show)
    found = [site for site, answer in answers(run) if counts(answer)]
    if found and not json:
        say(f"{len(found)} site(s) {word}: {names(found)}")
    if not all_well(run):
        raise typer.Exit(1)
    if found:
        raise typer.Exit(TO_BE_DONE)
