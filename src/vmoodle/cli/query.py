"""`vmoodle query`: the library of saved SQL."""

from __future__ import annotations

from typing import Annotated

import typer

from vmoodle.cli.output import Json, moment, print_json, print_table, print_text, say

app = typer.Typer(help="Saved SQL for `vmoodle sql --query`.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="The query's name.")]


@app.command()
def save(
    name: Name,
    sql: Annotated[str, typer.Argument(metavar="[SQL]", help="The SQL.")] = "",
    file: Annotated[str, typer.Option(help="Take it from a file; - is standard input.")] = "",
    dialect: Annotated[str, typer.Option(help="Whose SQL it is: mariadb or postgresql.")] = "",
    note: Annotated[str, typer.Option(help="What it is for; shown in lists.")] = "",
    json: Json = False,
) -> None:
    """Keep SQL under a name, instead of what was there."""
    from vmoodle.installation import open_installation

    open_installation()
    from vmoodle.fleet.sql import saved_queries

    text, _dialect = saved_queries.the_sql(sql, file, "")
    why = saved_queries.save(name, text, dialect, note)
    if json:
        print_json({"query": name} | ({"warning": why} if why else {}))
        return
    print_text(f"saved {name}")
    if why:
        say(f"{dialect or 'the engines'} may not understand it: {why}")


@app.command("list")
def list_queries(
    match: Annotated[str, typer.Argument(help="A text in the name, the note or the SQL.")] = "",
    json: Json = False,
) -> None:
    """List the saved SQL."""
    from vmoodle.installation import open_installation

    open_installation()
    from vmoodle.registry import saved_queries

    rows = saved_queries.every(match)
    if json:
        print_json(
            [
                {
                    "query": r.name, "sql": r.sql, "dialect": r.dialect, "note": r.note,
                    "actor": r.actor, "changed_at": r.changed_at,
                }
                for r in rows
            ]
        )  # fmt: skip
        return
    print_table(
        ("QUERY", "NOTE", "DIALECT", "ACTOR", "CHANGED"),
        [(r.name, r.note, r.dialect, r.actor, moment(r.changed_at)) for r in rows],
        "No saved queries.",
    )


@app.command()
def show(name: Name, json: Json = False) -> None:
    """Print the SQL of a saved query."""
    from vmoodle.installation import open_installation

    open_installation()
    from vmoodle.registry import saved_queries

    row = saved_queries.find(name)
    if json:
        print_json({"query": row.name, "sql": row.sql, "dialect": row.dialect, "note": row.note})
    else:
        print_text(row.sql)


@app.command()
def delete(name: Name, json: Json = False) -> None:
    """Forget a saved query."""
    from vmoodle.installation import open_installation

    open_installation()
    from vmoodle.registry import saved_queries

    saved_queries.delete(name)
    if json:
        print_json({"query": name, "deleted": True})
    else:
        print_text(f"deleted {name}")
