"""`vmoodle site adopt`: make an existing Moodle a site, as it is."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vmoodle.cli.output import Json, print_block, print_json, print_text, say, show_queued
from vmoodle.cli.question import ask
from vmoodle.cli.site_words import Confirm, Detach, Labels, Shortname

if TYPE_CHECKING:
    from vmoodle.lifecycle.adopt.checks import Adoptable


def adopt(
    shortname: Shortname,
    config: Annotated[
        Path | None,
        typer.Option(help="The Moodle's own config.php; it is read, and never executed."),
    ] = None,
    url: Annotated[str, typer.Option(help="Its wwwroot, where config.php does not say it.")] = "",
    database: Annotated[str, typer.Option(help="Name of its database.")] = "",
    account: Annotated[str, typer.Option(help="Its database account.")] = "",
    password_file: Annotated[
        str | None,
        typer.Option(help="File with that account's password, - for standard input."),
    ] = None,
    dataroot: Annotated[str, typer.Option(help="Its moodledata.")] = "",
    prefix: Annotated[str, typer.Option(help="Prefix of its tables; mdl_ when not said.")] = "",
    codebase: Annotated[
        str, typer.Option(help="Codebase; the one of its versions when not given.")
    ] = "",
    server: Annotated[
        str, typer.Option(help="Database server; the one at config.php's host when not given.")
    ] = "",
    label: Labels = None,
    take_ownership: Annotated[
        bool,
        typer.Option(
            "--take-ownership",
            help="Let VMoodle drop its database and moodledata when it is purged or restored; "
            "also for a site that is adopted already.",
        ),
    ] = False,
    confirm: Confirm = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only look whether it can be adopted.")
    ] = False,
    detach: Detach = False,
    json: Json = False,
) -> None:
    """Make an existing Moodle a site: its database and moodledata stay where and as they are."""
    from vmoodle.cli.progress import carry_out
    from vmoodle.cli.secrets_in import read_secret
    from vmoodle.cli.site_facts import site_facts
    from vmoodle.installation import open_installation

    password = read_secret(password_file) if password_file else None
    installation = open_installation()
    from vmoodle.lifecycle.adopt import adopt as adoption
    from vmoodle.lifecycle.adopt.request import AdoptRequest
    from vmoodle.registry import sites

    request = AdoptRequest(
        shortname=shortname,
        url=url,
        database=database,
        account=account,
        password=password,
        dataroot=dataroot,
        table_prefix=prefix,
        codebase=codebase,
        server=server,
        labels=label or [],
    )
    if dry_run:
        _show_plan(adoption.plan(installation, request, config), json=json)
        return
    typed = _typed(shortname, confirm) if take_ownership else ""
    if take_ownership and config is None and not (url or database):
        operation = adoption.take_ownership(installation, shortname, typed=typed)
    else:
        operation = adoption.submit(
            installation, request, config, take_ownership=take_ownership, typed=typed
        )
    if detach:
        show_queued(operation.id, {"site": shortname}, json=json)
        return
    ended = carry_out(installation, operation)
    shown = site_facts(sites.find(shortname))
    if json:
        print_json(shown | {"operation": ended.id, "notes": ended.result.get("notes", [])})
        return
    print_block(shown)
    for note in ended.result.get("notes", []):
        print_text(f"note: {note}")


def _typed(shortname: str, confirm: str | None) -> str:
    if confirm is None and sys.stdin.isatty():
        say(f"VMoodle will drop the database and the moodledata of {shortname} when it is purged.")
        return ask("Type the shortname to go on")
    return confirm or ""


def _show_plan(found: Adoptable, *, json: bool) -> None:
    values = found.values
    facts = {
        "shortname": values["shortname"],
        "name": values["name"],
        "url": values["wwwroot"],
        "codebase": values["codebase"].name,
        "server": values["server"].name,
        "database": values["database"],
        "account": values["account"],
        "prefix": values["table_prefix"],
        "dataroot": values["dataroot"],
        "admin_user": values["admin_user"],
        "notes": list(found.notes),
    }
    if json:
        print_json(facts)
        return
    print_block({key: value for key, value in facts.items() if key != "notes"})
    for note in found.notes:
        print_text(f"note: {note}")
    say("it can be adopted; nothing was changed")
