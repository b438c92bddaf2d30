"""`vmoodle baseline`: what sites are to be, applied to them, and what has drifted since."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vmoodle.cli.output import Json, names, print_json, print_text, say
from vmoodle.cli.run_show import show_run
from vmoodle.cli.run_start import (
    Confirm,
    Detach,
    DryRun,
    From,
    On,
    Timeout,
    Yes,
    ask,
    carry_out,
    order_and_carry_out,
    order_of,
)

if TYPE_CHECKING:
    from vmoodle.registry.fleet_models import Run

DRIFTED = 8
"""The exit status that tells that something has drifted."""

app = typer.Typer(
    help="What sites are to be: applied to them, and what has drifted since.",
    no_args_is_help=True,
)

File = Annotated[str, typer.Argument(help="The baseline, a YAML file; - is standard input.")]
New = Annotated[bool, typer.Option("--new", help="Make settings that a site has not yet.")]


@app.command()
def plan(file: File, on: On, new: New = False, timeout: Timeout = None, json: Json = False) -> None:
    """Show what would be changed on each site, and what would stay and why."""
    order_and_carry_out(
        "baseline.apply", _given(file, new), on, timeout=timeout, dry=True, json=json
    )


@app.command()
def apply(
    file: File,
    on: On,
    new: New = False,
    dry_run: DryRun = False,
    yes: Yes = False,
    confirm: Confirm = None,
    timeout: Timeout = None,
    detach: Detach = False,
    json: Json = False,
) -> None:
    """Make sites what the baseline says: all of it on a site, or nothing."""
    order_and_carry_out(
        "baseline.apply", _given(file, new), on, timeout=timeout, dry=dry_run, yes=yes,
        confirm=confirm, detach=detach, json=json,
    )  # fmt: skip


@app.command()
def undo(
    file: File,
    on: On,
    dry_run: DryRun = False,
    yes: Yes = False,
    confirm: Confirm = None,
    json: Json = False,
) -> None:
    """Take back what the newest apply of the baseline changed on the sites."""
    from vmoodle.installation import open_installation

    installation = open_installation()
    from vmoodle.fleet.baseline.document import read_baseline
    from vmoodle.fleet.baseline.sites import APPLY, undo_order
    from vmoodle.fleet.command_sets import find
    from vmoodle.fleet.options import read_text

    name = read_baseline(read_text(file)).name
    order = undo_order(installation, find(APPLY), name, on)
    carry_out(installation, order, yes=yes, confirm=confirm, dry=dry_run, json=json)


@app.command()
def drift(
    file: File,
    on: On,
    strict: Annotated[
        bool, typer.Option("--strict", help="What a site does not know counts as drift too.")
    ] = False,
    timeout: Timeout = None,
    json: Json = False,
) -> None:
    """Show what is not as the baseline says; status 8 when something is not, for cron."""
    from vmoodle.installation import open_installation

    installation = open_installation()
    from vmoodle.fleet.command_sets import find

    command = find("baseline.drift")
    run = ask(installation, order_of(installation, command, _given(file, False), on, timeout))
    drifted = _drifted(run, strict=strict)
    if drifted:
        with suppress(typer.Exit):
            show_run(run, command.comparison, json=json)
        if not json:
            say(f"{len(drifted)} site(s) have drifted: {names(drifted)}")
        raise typer.Exit(DRIFTED)
    show_run(run, command.comparison, json=json)


@app.command()
def capture(
    source: From,
    file: Annotated[Path, typer.Argument(help="A new file.")],
    role: Annotated[
        list[str] | None, typer.Option(help="A role by shortname; * and ? too. Repeatable.")
    ] = None,
    setting: Annotated[
        list[str] | None,
        typer.Option(help="name, or component/name; * and ? too. Repeatable."),
    ] = None,
    plugin: Annotated[
        list[str] | None, typer.Option(help="A plugin, as mod_chat; * and ? too. Repeatable.")
    ] = None,
    name: Annotated[str, typer.Option(help="The baseline's name; the file's otherwise.")] = "",
    json: Json = False,
) -> None:
    """Write a baseline of what one site is; secrets and what marks the site are left out."""
    from vmoodle.installation import open_installation

    installation = open_installation()
    from vmoodle.fleet.baseline import capture as capturing
    from vmoodle.fleet.target_sites import target_site

    what = capturing.What(setting or [], role or [], plugin or [])
    made = capturing.capture(
        target_site(installation, source), what, name or capturing.name_of(file)
    )
    capturing.write(file, made.document)
    if json:
        print_json({"file": str(file), **made.counts, "left": made.left})
        return
    for left, why in made.left.items():
        say(f"left out: {left}, {why}")
    said = ", ".join(f"{count} {part}" for part, count in made.counts.items() if count)
    print_text(f"{file}: {said or 'nothing'}")


def _given(file: str, new: bool) -> dict[str, object]:
    from vmoodle.fleet.options import read_text

    return {"document": read_text(file), "new": new}


def _drifted(run: Run, *, strict: bool) -> list[str]:
    """Return the sites on which something is not as it should be."""
    from vmoodle.fleet.commands.baseline import has_drifted
    from vmoodle.fleet.runs.view import answers

    return [site for site, answer in answers(run) if has_drifted(answer, strict=strict)]
