"""`vmoodle maintenance`: close sites to visitors, open them, show which are closed."""

from __future__ import annotations

from textwrap import shorten
from typing import TYPE_CHECKING, Annotated

import typer

from vmoodle.cli.output import Json, names, print_table
from vmoodle.cli.run_problems import show_problems
from vmoodle.cli.run_start import Confirm, Detach, DryRun, On, Timeout, Yes, order_and_carry_out

if TYPE_CHECKING:
    from vmoodle.registry.fleet_models import Run

_LONGEST = 60

app = typer.Typer(help="Close sites to visitors, and open them.", no_args_is_help=True)


@app.command("on")
def close(
    on: On,
    message: Annotated[
        str | None,
        typer.Option(
            help="HTML for the visitors; '' is Moodle's own text. Without it each site's own stays."
        ),
    ] = None,
    message_file: Annotated[
        str, typer.Option(help="Take the message from a file; - is standard input.")
    ] = "",
    at: Annotated[str, typer.Option(help="Close then: '2026-12-24 22:00' or 22:00, in UTC.")] = "",
    minutes: Annotated[
        int | None, typer.Option("--in", metavar="MINUTES", help="Close in so many minutes.")
    ] = None,
    but_admins: Annotated[
        bool, typer.Option("--but-admins", help="Let administrators in.")
    ] = False,
    dry_run: DryRun = False,
    yes: Yes = False,
    confirm: Confirm = None,
    timeout: Timeout = None,
    detach: Detach = False,
    json: Json = False,
) -> None:
    """Close sites to visitors; `vmoodle run undo` brings back what was before.

    The message is HTML and is shown as it is: text, links, pictures, lists and tables.
    """
    from vmoodle.errors import InvalidInput
    from vmoodle.fleet.options import read_text

    if message_file:
        if message is not None:
            raise InvalidInput(
                "command.option", "--message and --message-file exclude each other.", "Give one."
            )
        message = read_text(message_file).strip()
    values = {"message": message, "at": at, "minutes": minutes, "but_admins": but_admins}
    order_and_carry_out(
        "maintenance.on", values, on, timeout=timeout,
        yes=yes, confirm=confirm, dry=dry_run, detach=detach, json=json,
    )  # fmt: skip


@app.command("off")
def open_again(
    on: On,
    dry_run: DryRun = False,
    yes: Yes = False,
    confirm: Confirm = None,
    timeout: Timeout = None,
    detach: Detach = False,
    json: Json = False,
) -> None:
    """Open sites that are closed, or that are to close; their message stays for the next time."""
    order_and_carry_out(
        "maintenance.off", {}, on, timeout=timeout,
        yes=yes, confirm=confirm, dry=dry_run, detach=detach, json=json,
    )  # fmt: skip


@app.command()
def show(on: On, timeout: Timeout = None, json: Json = False) -> None:
    """Show which sites are closed, when others will be, and what visitors read."""
    order_and_carry_out("maintenance.show", {}, on, timeout=timeout, json=json, show=_grouped)


def _grouped(run: Run) -> None:
    """Print a line for each state and message, then the sum."""
    from vmoodle.fleet.result import Table, grouped
    from vmoodle.fleet.runs.view import answers

    rows = []
    for group in grouped(answers(run)):
        if isinstance(group.answer, Table) and group.answer.rows:
            state, closes_at, message = group.answer.rows[0]
            shown = shorten(str(message or ""), _LONGEST, placeholder=" …")
            rows.append((str(len(group.sites)), state, closes_at, shown, names(group.sites)))
    if rows:
        print_table(("SITES", "STATE", "CLOSES", "MESSAGE", "WHICH"), rows, "")
    show_problems(run)
