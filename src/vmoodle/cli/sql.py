"""`vmoodle sql`: ask or change many sites by SQL."""

from __future__ import annotations

from typing import Annotated

import typer

from vmoodle.cli.output import Json
from vmoodle.cli.run_start import Confirm, Detach, DryRun, On, Timeout, Yes, carry_out, order_of


def sql(
    on: On,
    sql: Annotated[
        str, typer.Argument(metavar="[SQL]", help="{user} is the site's table mdl_user.")
    ] = "",
    file: Annotated[str, typer.Option(help="Take the SQL from a file; - is standard input.")] = "",
    query: Annotated[str, typer.Option(help="Take the SQL from a saved query.")] = "",
    param: Annotated[
        list[str] | None, typer.Option(help="name=value for :name in the SQL; repeatable.")
    ] = None,
    param_file: Annotated[
        list[str] | None,
        typer.Option(
            help="NAME=FILE: the value of :NAME is the file's content, - standard input; for "
            "secrets. Repeatable."
        ),
    ] = None,
    dialect: Annotated[
        str,
        typer.Option(help="Whose SQL it is, mariadb or postgresql; the other gets a translation."),
    ] = "",
    write: Annotated[
        bool, typer.Option("--write", help="Change sites, after a trial that is taken back.")
    ] = False,
    dry_run: DryRun = False,
    yes: Yes = False,
    confirm: Confirm = None,
    timeout: Timeout = None,
    detach: Detach = False,
    json: Json = False,
) -> None:
    """Run SQL on sites as their own accounts; without --write nothing can be changed.

    A secret is given by --param-file, for others can see the arguments of a call.
    """
    from vmoodle.cli.value_files import read_secret_files
    from vmoodle.installation import open_installation

    installation = open_installation()
    from vmoodle.fleet.commands.sql import ReadBySql, WriteBySql
    from vmoodle.fleet.sql.saved_queries import the_sql

    text, own_dialect = the_sql(sql, file, query)
    command = WriteBySql if write else ReadBySql
    asked = {
        "sql": text,
        "param": param or [],
        "secrets": read_secret_files(param_file or []),
        "dialect": dialect or own_dialect,
    }
    order = order_of(installation, command, asked, on, timeout)
    carry_out(
        installation, order, yes=yes, confirm=confirm, dry=dry_run and write, detach=detach,
        json=json,
    )  # fmt: skip
