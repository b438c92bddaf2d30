"""`vmoodle exec`: stock Moodle scripts on one site, on all, or on those an expression means."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer

from vmoodle.cli.output import Json, print_json, print_table, print_text, say
from vmoodle.cli.run_start import Confirm, Detach, DryRun, Timeout, Yes, order_and_carry_out

if TYPE_CHECKING:
    from vmoodle.lifecycle.script import ScriptResult


def execute(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="SITE -- SCRIPT [ARGUMENTS]",
            help="As in: vmoodle exec school1 -- admin/cli/cron.php --keep-alive=0",
        ),
    ],
    every: Annotated[
        bool, typer.Option("--all", help="On every site (then no SITE): vmoodle exec --all -- …")
    ] = False,
    at_once: Annotated[
        int,
        typer.Option(min=0, max=64, help="With --all: sites at the same time; 0: one a core."),
    ] = 0,
    on: Annotated[
        str,
        typer.Option(
            "--on", help="On the sites an expression means (then no SITE), tried out and confirmed."
        ),
    ] = "",
    dry_run: DryRun = False,
    yes: Yes = False,
    confirm: Confirm = None,
    timeout: Timeout = None,
    detach: Detach = False,
    json: Json = False,
) -> None:
    """Run one of Moodle's scripts for a site, as the web account; its exit status is ours.

    With --all the exit status is the highest of all sites; a site on which the script cannot be
    started has failed, and the others go on. With --json the script's output is in the document.
    With either of them a script may take php.script_timeout seconds; without, it has no limit.

    With --on it is a run as of any command for many sites: kept, with what each site answered, and
    at most --timeout seconds (600) on each. The status is 1 where it failed on any.
    """
    from vmoodle.errors import InvalidInput
    from vmoodle.installation import open_installation

    of_runs = dry_run or yes or detach or confirm is not None or timeout is not None
    if (on and (every or at_once)) or (of_runs and not on):
        raise InvalidInput(
            "exec.usage",
            "--on goes without --all and --at-once, and what is asked of a run goes with --on.",
            "vmoodle exec --on 'north*' -- admin/cli/cron.php",
        )
    if on:
        order_and_carry_out(
            "exec", {"script": words[0], "argument": words[1:]}, on,
            timeout=timeout, yes=yes, confirm=confirm, dry=dry_run, detach=detach, json=json,
        )  # fmt: skip
        return
    if len(words) < (1 if every else 2):
        raise InvalidInput(
            "exec.usage",
            "A site and a script are needed." if not every else "A script is needed.",
            "vmoodle exec SITE -- admin/cli/cron.php, or vmoodle exec --all -- admin/cli/cron.php",
        )
    installation = open_installation()
    from vmoodle.lifecycle import script

    if not every and not json:
        script.replace_process(installation, words[0], words[1:])
    if not every:
        result = script.run_on_one(installation, words[0], words[1:])
        print_json(vars(result))
        raise typer.Exit(abs(result.exit_status))
    results = script.run_on_all(
        installation,
        words,
        at_once=at_once or os.cpu_count() or 1,
        watch=lambda result: None if json else _show(result),
    )
    if json:
        print_json([vars(result) for result in results])
    else:
        say("")
        print_table(
            ("SITE", "STATUS", "FAULT"),
            [(r.site, r.exit_status, r.error) for r in results],
            "No sites.",
        )
    raise typer.Exit(max((abs(result.exit_status) for result in results), default=0))


def _show(result: ScriptResult) -> None:
    for line in result.output.splitlines():
        print_text(f"{result.site}: {line}")
