"""`vmoodle checks`: Moodle's own checks over the fleet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from vmoodle.cli.output import Json, names, print_table, print_text, say
from vmoodle.cli.run_problems import show_problems
from vmoodle.cli.run_start import On, Timeout, order_and_carry_out

if TYPE_CHECKING:
    from vmoodle.fleet.commands.checks import Health
    from vmoodle.registry.fleet_models import Run


def checks(
    on: On,
    filter: Annotated[str, typer.Option(help="Only checks with this in their name, as cron.")] = "",
    type: Annotated[str, typer.Option(help="status, security or performance.")] = "status",
    why: Annotated[
        bool, typer.Option("--why", help="List what is not well on each site, with the reason.")
    ] = False,
    nagios: Annotated[
        bool,
        typer.Option(
            "--nagios", help="Print one line, and end with 0, 1, 2 or 3 as Nagios has it."
        ),
    ] = False,
    timeout: Timeout = None,
    json: Json = False,
) -> None:
    """Run Moodle's own checks on sites: what is not well, on how many, and who differs."""
    order_and_carry_out(
        "checks.problems" if why else "checks.compare", {"filter": filter, "type": type}, on,
        timeout=timeout, json=json, show=None if why else (_nagios if nagios else _compared),
    )  # fmt: skip


def _compared(run: Run) -> None:
    """Print the checks that are not well anywhere, or not the same everywhere; then the sum."""
    from vmoodle.fleet.result import compared
    from vmoodle.fleet.runs.view import answers
    from vmoodle.moodle.scripts.health_checks import Status

    told = compared(answers(run))
    rows = []
    well = 0
    for row in told:
        others = [f"{site}: {row.cells.get(site, '(not there)')}" for site in row.differing]
        if not row.differing and not Status(str(row.majority)).is_bad:
            well += 1
            continue
        most = "(no majority)" if row.is_split else str(row.majority)
        rows.append((row.name, most, names(others)))
    if told:
        print_table(("CHECK", "MOST SAY", "OTHERS"), rows, "All checks are well on all of them.")
    if well and rows:
        say(f"{well} more are well on all of them")
    show_problems(run)
    say(_health(run).line)


def _nagios(run: Run) -> None:
    health = _health(run)
    print_text(health.line)
    raise typer.Exit(health.exit_status)


def _health(run: Run) -> Health:
    from vmoodle.fleet.commands.checks import Health
    from vmoodle.fleet.runs.view import answers, problems

    return Health(answers(run), [row.shortname for row in problems(run)])
