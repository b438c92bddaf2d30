"""`vmoodle demo`: three sites in two commands."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from vmoodle.cli.output import print_table, say


class Action(StrEnum):
    """What to do with the demo."""

    START = "start"
    STOP = "stop"
    REMOVE = "remove"


def demo(
    action: Annotated[
        Action, typer.Argument(help="start, stop, or remove for good.")
    ] = Action.START,
    moodle: Annotated[
        Path | None, typer.Option(help="A real Moodle code tree; it is copied, not changed.")
    ] = None,
) -> None:
    """Run three sites on one code tree; status 0 only if each answers with its own name."""
    from vmoodle.demo.place import demo_home
    from vmoodle.demo.stop import remove_demo, stop_all

    if action is not Action.START:
        act = stop_all if action is Action.STOP else remove_demo
        for line in act(demo_home()):
            typer.echo(line)
        return
    from vmoodle.demo.run import run_demo

    visited = run_demo(moodle, say)
    typer.echo("")
    print_table(
        ("SITE", "OK", "EXPECTED", "SEEN", "URL"),
        [(v.shortname, "yes" if v.ok else "NO", v.expected, v.seen, v.url) for v in visited],
        "",
    )
    typer.echo("")
    print_table(
        ("SITE", "USER", "PASSWORD"),
        [
            (v.shortname, v.admin_user, v.password.reveal() if v.password else "(shown before)")
            for v in visited
        ],
        "",
    )
    typer.echo(f"\nThe sites keep running. To work on them: export VMOODLE_HOME={demo_home().path}")
    typer.echo("To stop them: script/demo stop   (script/demo remove deletes them)")
    if not all(visit.ok for visit in visited):
        raise typer.Exit(1)
