"""Arguments and options that several commands on sites have."""

from __future__ import annotations

from typing import Annotated

import typer

Shortname = Annotated[str, typer.Argument(help="The site's shortname.")]
Targets = Annotated[
    list[str] | None,
    typer.Argument(metavar="[SITE]...", help="Shortnames, and globs in quotes, as 'school*'."),
]
AllSites = Annotated[bool, typer.Option("--all", help="Every site the command is for.")]
Labels = Annotated[list[str] | None, typer.Option("--label", help="key=value; repeatable.")]
Detach = Annotated[
    bool, typer.Option("--detach", help="Only queue it; `operation follow` waits for it.")
]
Confirm = Annotated[str | None, typer.Option(help="The name again; asked for when not given.")]
