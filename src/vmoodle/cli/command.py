"""`vmoodle command`: what can be run on many sites."""

from __future__ import annotations

from typing import Annotated

import typer

from vmoodle.cli.output import Json, print_block, print_json, print_table

app = typer.Typer(help="Commands for many sites at once.", no_args_is_help=True)


@app.command("list")
def list_commands(json: Json = False) -> None:
    """List the commands, and the command sets that cannot be used."""
    from vmoodle.fleet.command_sets import load

    loaded = load()
    if json:
        print_json(
            [
                {
                    "set": one.name,
                    "package": one.package,
                    "ok": not one.fault,
                    "error": one.fault,
                    "commands": [
                        {"name": c.name, "title": c.title, "effect": str(c.effect)}
                        for c in one.commands
                    ],
                }
                for one in loaded.sets
            ]
        )
        return
    rows: list[tuple[str, str, str, str]] = []
    for one in loaded.sets:
        rows += [(c.name, str(c.effect), one.package, c.title) for c in one.commands]
        if one.fault:
            rows.append((f"({one.name})", "failed", one.package, one.fault))
    print_table(("COMMAND", "EFFECT", "PACKAGE", "TITLE"), rows, "No commands.")


@app.command()
def show(name: Annotated[str, typer.Argument(help="The command.")], json: Json = False) -> None:
    """Show what a command does and takes; with --json its JSON schema too."""
    from vmoodle.fleet import command as contract
    from vmoodle.fleet.command_sets import load
    from vmoodle.fleet.options import usage
    from vmoodle.fleet.parameters import Kind, parameters

    found = load().find(name)
    facts = contract.facts(found)
    if json:
        print_json(facts)
        return
    print_block({key: facts[key] for key in ("name", "title", "effect", "dry_run")})
    for one in parameters(found.model):
        if one.kind is not Kind.CONSTANT:
            needed = " (needed)" if one.required else ""
            typer.echo(f"  {usage(one)}  {one.help}{needed}")
