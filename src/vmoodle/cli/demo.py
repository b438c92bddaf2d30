"""`vmoodle demo`: three sites in two commands."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vmoodle.cli.output import Json, print_json, print_table, print_text, say
from vmoodle.cli.progress import showing

if TYPE_CHECKING:
    from vmoodle.demo.run import DemoSite


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
    json: Json = False,
) -> None:
    """Run three sites on one code tree; status 0 only if each answers with its own name.

    The passwords are shown without --json only.
    """
    from vmoodle.demo.place import demo_home

    if action is not Action.START:
        from vmoodle.demo.remove import remove_demo
        from vmoodle.lifecycle.stop import stop_all

        act = stop_all if action is Action.STOP else remove_demo
        with showing("stopping"):
            said = act(demo_home())
        print_json({"done": said}) if json else print_text("\n".join(said))
        return
    from vmoodle.demo.run import run_demo

    visited = run_demo(moodle, say)
    if json:
        print_json({"home": str(demo_home().path), "sites": [v.as_facts() for v in visited]})
    else:
        _show(visited, str(demo_home().path))
    if not all(visit.ok for visit in visited):
        raise typer.Exit(1)


def _show(visited: list[DemoSite], home: str) -> None:
    print_text("")
    print_table(
        ("SITE", "OK", "EXPECTED", "SEEN", "URL"),
        [(v.shortname, "yes" if v.ok else "NO", v.expected, v.seen, v.url) for v in visited],
        "",
    )
    print_text("")
    print_table(
        ("SITE", "USER", "PASSWORD"),
        [
            (v.shortname, v.admin_user, v.password.reveal() if v.password else "(shown before)")
            for v in visited
        ],
        "",
    )
    print_text(f"\nThe sites keep running. To work on them: export VMOODLE_HOME={home}")
    print_text("To stop them: script/demo stop   (script/demo remove deletes them)")
