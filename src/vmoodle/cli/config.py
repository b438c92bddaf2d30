"""`vmoodle config`: settings of Moodle and its plugins over many sites."""

from __future__ import annotations

from typing import Annotated

import typer

from vmoodle.cli.output import Json
from vmoodle.cli.run_start import (
    Confirm,
    Detach,
    DryRun,
    From,
    Keep,
    On,
    Timeout,
    Yes,
    order_and_carry_out,
)

app = typer.Typer(help="Settings of Moodle and its plugins over many sites.", no_args_is_help=True)

Names = Annotated[
    list[str], typer.Argument(metavar="SETTING...", help="name, or component/name; * and ? too.")
]


@app.command()
def get(setting: Names, on: On, timeout: Timeout = None, json: Json = False) -> None:
    """Tell settings as Moodle goes by them; forced ones are shown as such."""
    order_and_carry_out("config.get", {"setting": setting}, on, timeout=timeout, json=json)


@app.command()
def compare(
    setting: Names,
    on: On,
    everything: Annotated[
        bool, typer.Option("--all", help="Versions too, and what differs by its nature.")
    ] = False,
    timeout: Timeout = None,
    json: Json = False,
) -> None:
    """Show where sites differ: what most have, and who has something else."""
    values = {"setting": setting, "all": everything}
    order_and_carry_out("config.compare", values, on, timeout=timeout, json=json)


@app.command("set")
def set_settings(
    on: On,
    setting: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME=VALUE...]", help="component/name=value of a plugin's."),
    ] = None,
    value_file: Annotated[
        list[str] | None,
        typer.Option(help="NAME=FILE: the value is the file's content; for secrets. Repeatable."),
    ] = None,
    new: Annotated[
        bool, typer.Option("--new", help="Make a setting that a site has not yet.")
    ] = False,
    dry_run: DryRun = False,
    yes: Yes = False,
    confirm: Confirm = None,
    timeout: Timeout = None,
    detach: Detach = False,
    json: Json = False,
) -> None:
    """Set settings on sites: shown beforehand, seen by the next request, and undone by `run undo`.

    A secret is given by --value-file, for others can see the arguments of a call.
    """
    from vmoodle.cli.value_files import read_value_files

    clear, hidden = read_value_files(value_file or [])
    values = {"setting": [*(setting or []), *clear], "secrets": hidden, "new": new}
    order_and_carry_out(
        "config.set", values, on, timeout=timeout, dry=dry_run, yes=yes, confirm=confirm,
        detach=detach, json=json,
    )  # fmt: skip


@app.command("unset")
def unset_settings(
    setting: Annotated[
        list[str], typer.Argument(metavar="SETTING...", help="name, or component/name.")
    ],
    on: On,
    dry_run: DryRun = False,
    yes: Yes = False,
    confirm: Confirm = None,
    timeout: Timeout = None,
    detach: Detach = False,
    json: Json = False,
) -> None:
    """Unset settings on sites: Moodle goes by its default; undone by `run undo`."""
    order_and_carry_out(
        "config.unset", {"setting": setting}, on, timeout=timeout, dry=dry_run, yes=yes,
        confirm=confirm, detach=detach, json=json,
    )  # fmt: skip


@app.command("copy")
def copy_settings(
    what: Annotated[
        list[str],
        typer.Argument(metavar="COMPONENT|SETTING...", help="auth_ldap, or settings by name."),
    ],
    source: From,
    on: On,
    keep: Keep = False,
    with_secrets: Annotated[
        bool, typer.Option("--with-secrets", help="Copy passwords and keys too.")
    ] = False,
    dry_run: DryRun = False,
    yes: Yes = False,
    confirm: Confirm = None,
    timeout: Timeout = None,
    detach: Detach = False,
    json: Json = False,
) -> None:
    """Copy a plugin's whole configuration, or settings by name, from one site to others.

    The version, and what marks one site, is never copied.
    """
    values = {"source": source, "what": what, "keep": keep, "with_secrets": with_secrets}
    order_and_carry_out(
        "config.copy", values, on, timeout=timeout, dry=dry_run, yes=yes, confirm=confirm,
        detach=detach, json=json,
    )  # fmt: skip
