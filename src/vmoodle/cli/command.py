"""`vmoodle command`: what can be run on many sites."""

from __future__ import annotations

from typing import Annotated

import typer

from vmoodle.cli.option_words import words_of_options
from vmoodle.cli.output import Json, print_block, print_json, print_table, print_text
from vmoodle.cli.run_start import Confirm, Detach, DryRun, On, Timeout, Yes, carry_out, order_of
from vmoodle.cli.secrets_in import read_secret
from vmoodle.cli.visible import in_a_line

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
            print_text(f"  {usage(one)}  {one.help}{needed}")


@app.command("run", context_settings={"ignore_unknown_options": True, "allow_extra_args": True})
def run_command(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="The command.")],
    on: On,
    dry_run: DryRun = False,
    yes: Yes = False,
    confirm: Confirm = None,
    timeout: Timeout = None,
    detach: Detach = False,
    json: Json = False,
) -> None:
    """Run a command on sites; its own options are those that `command show` lists."""
    from vmoodle.installation import open_installation

    installation = open_installation()
    from vmoodle.fleet.command_sets import load
    from vmoodle.fleet.options import read_options
    from vmoodle.fleet.parameter_words import calling

    command = load().find(name)
    values = read_options(command.model, context.args, read_secret)
    with calling(words_of_options(command.model)):
        order = order_of(installation, command, values, on, timeout)
    carry_out(installation, order, yes=yes, confirm=confirm, dry=dry_run, detach=detach, json=json)


@app.command()
def values(
    name: Annotated[str, typer.Argument(help="The command.")],
    parameter: Annotated[str, typer.Argument(help="One of its parameters.")],
    site: Annotated[str, typer.Argument(help="The site whose list it is.")],
    json: Json = False,
) -> None:
    """List what a site offers for a parameter."""
    from vmoodle.installation import open_installation

    installation = open_installation()
    from vmoodle.fleet.command_sets import load
    from vmoodle.fleet.target_sites import offered

    found = offered(installation, load().find(name), parameter, site)
    if json:
        print_json(found)
    else:
        print_text("\n".join(map(in_a_line, found)))
