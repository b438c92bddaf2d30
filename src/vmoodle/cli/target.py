"""`vmoodle target`: which sites an expression means, and saved ones."""

from __future__ import annotations

from typing import Annotated

import typer

from vmoodle.cli.output import Json, moment, print_json, print_table, print_text, say
from vmoodle.cli.progress import showing
from vmoodle.cli.run_problems import show_faults

app = typer.Typer(help="Selections of sites for --on, and saved ones.", no_args_is_help=True)

GroupName = Annotated[str, typer.Argument(help="The group's name, without the @.")]
Expression = Annotated[str, typer.Argument(help="As 'north* & !version:4.5*'; quote it.")]


@app.command()
def show(
    expression: Expression,
    any_state: Annotated[
        bool, typer.Option("--any-state", help="Sites that no command runs on too.")
    ] = False,
    json: Json = False,
) -> None:
    """Show which sites an expression means; queries in it are asked."""
    from vmoodle.installation import open_installation

    installation = open_installation()
    from vmoodle.fleet.command import FOR_STATES
    from vmoodle.fleet.problems import Fault
    from vmoodle.fleet.targets.choose import choose_expression

    with showing("asking the sites"):
        choice = choose_expression(installation, expression, None if any_state else FOR_STATES)
    if json:
        print_json(
            {
                "expression": expression,
                "count": len(choice.sites),
                "sites": [
                    {
                        "shortname": site.shortname,
                        "state": site.state,
                        "url": site.wwwroot,
                        "release": site.release,
                        "codebase": site.codebase,
                        "server": site.server,
                    }
                    for site in choice.sites
                ],
                "undecided": [
                    {
                        "site": name,
                        "code": error.code,
                        "detail": error.message,
                        "hint": error.hint,
                    }
                    for name, error in choice.undecided.items()
                ],
            }
        )
    else:
        print_table(
            ("SITE", "STATE", "URL", "RELEASE", "SERVER"),
            [(s.shortname, s.state, s.wwwroot, s.release, s.server) for s in choice.sites],
            "No sites.",
        )
        show_faults(
            Fault(name, "could not be asked", error.code, error.message, error.hint)
            for name, error in choice.undecided.items()
        )
        say(f"{len(choice.sites)} site(s)")
    if choice.undecided:
        raise typer.Exit(1)


@app.command()
def save(
    name: GroupName,
    expression: Expression,
    note: Annotated[str, typer.Option(help="What it is for; shown in lists.")] = "",
    json: Json = False,
) -> None:
    """Keep an expression under a name; --on takes it as @name."""
    from vmoodle.installation import open_installation

    open_installation()
    from vmoodle.fleet.targets import choose as targets

    targets.save_group(name, expression, note)
    if json:
        print_json({"group": name, "expression": expression})
    else:
        print_text(f"saved @{name}: {expression}")


@app.command("list")
def list_groups(json: Json = False) -> None:
    """List the saved expressions."""
    from vmoodle.installation import open_installation

    open_installation()
    from vmoodle.registry import target_groups

    rows = target_groups.every()
    if json:
        print_json(
            [
                {"group": r.name, "expression": r.expression, "note": r.note, "actor": r.actor}
                for r in rows
            ]
        )
        return
    print_table(
        ("GROUP", "EXPRESSION", "NOTE", "CHANGED"),
        [(f"@{r.name}", r.expression, r.note, moment(r.changed_at)) for r in rows],
        "No groups.",
    )


@app.command()
def delete(name: GroupName, json: Json = False) -> None:
    """Forget a saved expression; refused when another one needs it."""
    from vmoodle.installation import open_installation

    open_installation()
    from vmoodle.fleet.targets import choose as targets

    targets.delete_group(name)
    if json:
        print_json({"group": name, "deleted": True})
    else:
        print_text(f"deleted @{name}")
