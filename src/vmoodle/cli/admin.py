"""`vmoodle admin`: who administers sites, and those who are locked out."""

from __future__ import annotations

from typing import Annotated

import typer

from vmoodle.cli.output import Json
from vmoodle.cli.run_start import Confirm, Detach, DryRun, On, Timeout, Yes, order_and_carry_out
from vmoodle.cli.secrets_in import read_secret

app = typer.Typer(help="Administrators of sites.", no_args_is_help=True)

Username = Annotated[str, typer.Argument(metavar="USERNAME", help="The same on every site.")]


@app.command("list")
def list_admins(on: On, timeout: Timeout = None, json: Json = False) -> None:
    """List who administers each site, the main administrator first."""
    order_and_carry_out("admin.list", {}, on, timeout=timeout, json=json)


@app.command()
def add(
    username: Username,
    on: On,
    dry_run: DryRun = False,
    yes: Yes = False,
    confirm: Confirm = None,
    timeout: Timeout = None,
    detach: Detach = False,
    json: Json = False,
) -> None:
    """Let a user who is there administer the sites."""
    order_and_carry_out(
        "admin.add", {"username": username}, on, timeout=timeout,
        yes=yes, confirm=confirm, dry=dry_run, detach=detach, json=json,
    )  # fmt: skip


@app.command()
def remove(
    username: Username,
    on: On,
    dry_run: DryRun = False,
    yes: Yes = False,
    confirm: Confirm = None,
    timeout: Timeout = None,
    detach: Detach = False,
    json: Json = False,
) -> None:
    """Let a user no longer administer the sites; the account stays, and so does the last one."""
    order_and_carry_out(
        "admin.remove", {"username": username}, on, timeout=timeout,
        yes=yes, confirm=confirm, dry=dry_run, detach=detach, json=json,
    )  # fmt: skip


@app.command()
def reset(
    username: Username,
    on: On,
    password_file: Annotated[
        str, typer.Option(help="The first line is the password for all sites; - is standard input.")
    ] = "",
    password_out: Annotated[
        str, typer.Option(metavar="DIRECTORY", help="Write a new password for each site there.")
    ] = "",
    dry_run: DryRun = False,
    yes: Yes = False,
    confirm: Confirm = None,
    timeout: Timeout = None,
    detach: Detach = False,
    json: Json = False,
) -> None:
    """Give an administrator a password to begin with, and let in who was locked out.

    It is to be changed at the next login. The account is confirmed, no longer suspended or locked,
    and logs in by Moodle's own password. Sessions go on: see `vmoodle session kill`.
    """
    values: dict[str, object] = {"username": username, "password_out": password_out}
    if password_file:
        values["password"] = read_secret(password_file)
    order_and_carry_out(
        "admin.reset", values, on, timeout=timeout,
        yes=yes, confirm=confirm, dry=dry_run, detach=detach, json=json,
    )  # fmt: skip
