"""`vmoodle cache`: purge caches of sites."""

from __future__ import annotations

from typing import Annotated

import typer

from vmoodle.cli.output import Json
from vmoodle.cli.run_start import Confirm, Detach, DryRun, On, Timeout, Yes, order_and_carry_out

app = typer.Typer(help="Caches of sites.", no_args_is_help=True)


@app.callback()
def _caches() -> None:
    """Caches of sites."""


@app.command()
def purge(
    on: On,
    part: Annotated[
        list[str] | None,
        typer.Option(help="muc, courses, theme, lang, js, filter, template or other; repeatable."),
    ] = None,
    definition: Annotated[
        list[str] | None,
        typer.Option(help="One of Moodle's caches, as core/config: at once, without PHP."),
    ] = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    confirm: Confirm = None,
    timeout: Timeout = None,
    detach: Detach = False,
    json: Json = False,
) -> None:
    """Purge all caches of sites, or parts; pages are slower until they are filled again."""
    order_and_carry_out(
        "cache.purge", {"part": part or [], "definition": definition or []}, on, timeout=timeout,
        yes=yes, confirm=confirm, dry=dry_run, detach=detach, json=json,
    )  # fmt: skip
