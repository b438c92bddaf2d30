"""`vmoodle copy`: files, wording and tables of one site on others."""

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

app = typer.Typer(
    help="Files, wording and tables of one site on others; `site clone` copies a whole site.",
    no_args_is_help=True,
)


@app.command()
def files(
    area: Annotated[
        str, typer.Argument(metavar="AREA", help="component/area, as core_admin/logo.")
    ],
    source: From,
    on: On,
    dry_run: DryRun = False,
    yes: Yes = False,
    confirm: Confirm = None,
    timeout: Timeout = None,
    detach: Detach = False,
    json: Json = False,
) -> None:
    """Replace a file area of the whole site, as its logo, and the setting that names the file."""
    order_and_carry_out(
        "copy.files", {"source": source, "area": area}, on, timeout=timeout, dry=dry_run, yes=yes,
        confirm=confirm, detach=detach, json=json,
    )  # fmt: skip


@app.command()
def language(
    source: From,
    on: On,
    lang: Annotated[
        list[str] | None, typer.Option("--lang", help="Only this language; repeatable.")
    ] = None,
    component: Annotated[
        str, typer.Option(help="Only the strings of this component, as mod_quiz.")
    ] = "",
    keep: Keep = True,
    dry_run: DryRun = False,
    yes: Yes = False,
    confirm: Confirm = None,
    timeout: Timeout = None,
    detach: Detach = False,
    json: Json = False,
) -> None:
    """Copy a site's own wording (language customisation)."""
    values = {"source": source, "lang": lang or [], "component": component, "remove": not keep}
    order_and_carry_out(
        "copy.language", values, on, timeout=timeout, dry=dry_run, yes=yes, confirm=confirm,
        detach=detach, json=json,
    )  # fmt: skip


@app.command()
def table(
    name: Annotated[str, typer.Argument(metavar="TABLE", help="The table, without prefix.")],
    source: From,
    on: On,
    replace: Annotated[
        bool, typer.Option("--replace", help="Put the rows in the place of the target's.")
    ] = False,
    add_missing: Annotated[
        str,
        typer.Option(metavar="COLUMN", help="Add rows whose value here the target has not."),
    ] = "",
    where: Annotated[
        list[str] | None, typer.Option(help="column=value: only such rows; repeatable.")
    ] = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    confirm: Confirm = None,
    timeout: Timeout = None,
    detach: Detach = False,
    json: Json = False,
) -> None:
    """Copy a table's rows, on either engine, in one transaction on each site."""
    values = {
        "source": source, "table": name, "where": where or [], "replace": replace,
        "add_missing": add_missing,
    }  # fmt: skip
    order_and_carry_out(
        "copy.table", values, on, timeout=timeout, dry=dry_run, yes=yes, confirm=confirm,
        detach=detach, json=json,
    )  # fmt: skip
