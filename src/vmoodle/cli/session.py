"""`vmoodle session`: log people out of sites."""

from __future__ import annotations

from typing import Annotated

import typer

from vmoodle.cli.output import Json
from vmoodle.cli.run_start import Confirm, Detach, DryRun, On, Timeout, Yes, order_and_carry_out

app = typer.Typer(help="Sessions of people on sites.", no_args_is_help=True)


@app.callback()
def _sessions() -> None:
    """Sessions of people on sites."""


@app.command()
def kill(
    on: On,
    user: Annotated[str, typer.Option(metavar="USERNAME", help="Only this user's.")] = "",
    but_admins: Annotated[
        bool, typer.Option("--but-admins", help="Leave administrators logged in.")
    ] = False,
    dry_run: DryRun = False,
    yes: Yes = False,
    confirm: Confirm = None,
    timeout: Timeout = None,
    detach: Detach = False,
    json: Json = False,
) -> None:
    """End sessions: whoever is logged in has to log in again, on the next request."""
    order_and_carry_out(
        "session.kill", {"user": user, "but_admins": but_admins}, on, timeout=timeout,
        yes=yes, confirm=confirm, dry=dry_run, detach=detach, json=json,
    )  # fmt: skip
