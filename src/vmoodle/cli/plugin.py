"""`vmoodle plugin`: plugins of many sites, their versions and states."""

from __future__ import annotations

from typing import Annotated

import typer

from vmoodle.cli.output import Json
from vmoodle.cli.run_start import (
    Confirm,
    Detach,
    DryRun,
    From,
    On,
    Timeout,
    Yes,
    order_and_carry_out,
)

app = typer.Typer(help="Plugins of many sites: versions and states.", no_args_is_help=True)

Types = Annotated[
    list[str] | None,
    typer.Option("--type", help="Only plugins of this kind, as mod; repeatable."),
]


@app.command("list")
def list_(
    on: On,
    type: Types = None,
    not_standard: Annotated[
        bool, typer.Option("--not-standard", help="Only those that Moodle itself does not bring.")
    ] = False,
    timeout: Timeout = None,
    json: Json = False,
) -> None:
    """Tell plugins with the version installed, the version on disk, and the state."""
    values = {"type": type or [], "not_standard": not_standard}
    order_and_carry_out("plugin.list", values, on, timeout=timeout, json=json)


@app.command()
def compare(
    on: On,
    type: Types = None,
    what: Annotated[
        str, typer.Option(help="enabled, version, or installed for only whether it is there.")
    ] = "enabled",
    timeout: Timeout = None,
    json: Json = False,
) -> None:
    """Show where sites differ: what most have, and who has something else."""
    values = {"type": type or [], "what": what}
    order_and_carry_out("plugin.compare", values, on, timeout=timeout, json=json)


@app.command()
def missing(on: On, type: Types = None, timeout: Timeout = None, json: Json = False) -> None:
    """Tell what is on disk and not installed, the reverse, and versions that are not the same."""
    order_and_carry_out("plugin.missing", {"type": type or []}, on, timeout=timeout, json=json)


@app.command("set")
def set_(
    plugin: Annotated[
        list[str],
        typer.Argument(
            metavar="TYPE_NAME=STATE...",
            help="enabled or disabled; a filter also available, a repository also hidden.",
        ),
    ],
    on: On,
    dry_run: DryRun = False,
    yes: Yes = False,
    confirm: Confirm = None,
    timeout: Timeout = None,
    detach: Detach = False,
    json: Json = False,
) -> None:
    """Enable or disable plugins as Moodle's own pages do; it shows on the next request."""
    order_and_carry_out(
        "plugin.set", {"plugin": plugin}, on, timeout=timeout, yes=yes, confirm=confirm,
        dry=dry_run, detach=detach, json=json,
    )  # fmt: skip


@app.command()
def sync(
    source: From,
    on: On,
    type: Types = None,
    keep_order: Annotated[
        bool, typer.Option("--keep-order", help="Set states only; leave the order as it is.")
    ] = False,
    dry_run: DryRun = False,
    yes: Yes = False,
    confirm: Confirm = None,
    timeout: Timeout = None,
    detach: Detach = False,
    json: Json = False,
) -> None:
    """Give plugins the states, and the order, that they have on another site."""
    values = {"source": source, "type": type or [], "keep_order": keep_order}
    order_and_carry_out(
        "plugin.sync", values, on, timeout=timeout, yes=yes, confirm=confirm,
        dry=dry_run, detach=detach, json=json,
    )  # fmt: skip
