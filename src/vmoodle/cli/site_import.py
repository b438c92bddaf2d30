"""`vmoodle site import`: many sites at once from a CSV file."""

from __future__ import annotations

import csv
import io
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vmoodle.cli.outcomes import carry_out_each, show_outcomes
from vmoodle.cli.output import Json, say
from vmoodle.cli.progress import showing
from vmoodle.cli.site_words import Detach

if TYPE_CHECKING:
    from vmoodle.fleet.bulk.outcome import Outcome
    from vmoodle.fleet.bulk.site_list import ListedSite
    from vmoodle.installation import Installation
    from vmoodle.registry.models import Operation

_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def import_sites(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="The list, a CSV file.")],
    action: Annotated[
        str,
        typer.Option(
            "--as",
            help="create, adopt or snapshot; by default what the columns say the list is for.",
        ),
    ] = "",
    lint: Annotated[
        bool, typer.Option("--lint", help="Only check how the list is written.")
    ] = False,
    simulate: Annotated[
        bool, typer.Option("--simulate", help="Check everything, and change nothing.")
    ] = False,
    separator: Annotated[
        str, typer.Option(help="What separates columns; found out when not given.")
    ] = "",
    encoding: Annotated[
        str, typer.Option(help="utf-8 or iso-8859-1; found out when not given.")
    ] = "",
    passwords_out: Annotated[
        Path | None,
        typer.Option(help="New file (0600) that generated passwords go to, one site a line."),
    ] = None,
    detach: Detach = False,
    json: Json = False,
) -> None:
    """Create, adopt or snapshot the sites of a CSV file; a bad line stops no other."""
    from vmoodle.cli.passwords import new_file
    from vmoodle.errors import InvalidInput
    from vmoodle.fleet.bulk.site_list import read_list
    from vmoodle.installation import open_installation

    if detach and passwords_out is not None:
        raise InvalidInput(
            "site.password.out",
            "With --detach there is no password to write yet.",
            "Leave one of the two out; with --detach: vmoodle operation follow OPERATION "
            "--password-out FILE",
        )
    installation = open_installation()
    from vmoodle.fleet.bulk import site_import
    from vmoodle.registry import operations

    listed = read_list(path, separator=separator, encoding=encoding, action=action)
    for note in listed.notes:
        say(f"note: {path}: {note}")
    if listed.holds_passwords and path.stat().st_mode & _OTHERS:
        say(f"warning: {path} may hold passwords and others can read it: chmod 600 {path}")
    if lint or simulate:
        with showing("reading the list") as tell:
            found = (
                site_import.simulate(installation, listed, tell)
                if simulate
                else site_import.lint(listed)
            )
        show_outcomes(found, json=json)
        return
    with new_file(passwords_out) as out:
        with showing("reading the list") as tell:
            ordered = site_import.order(installation, listed, tell)
        if detach:
            show_outcomes([outcome for outcome, _row in ordered], json=json)
            return
        work = [
            (outcome, operations.find(outcome.operation) if outcome.operation else None)
            for outcome, _row in ordered
        ]
        rows = [row for _outcome, row in ordered]

        def done(place: int, operation: Operation) -> Outcome:
            outcome = site_import.ended(rows[place], operation)
            return _with_password(installation, rows[place], outcome, operation, out)

        outcomes = carry_out_each(installation, work, done)
    show_outcomes(outcomes, json=json)


def _with_password(
    installation: Installation,
    row: ListedSite,
    outcome: Outcome,
    operation: Operation,
    out: int | None,
) -> Outcome:
    """Write a generated password to the file, else say how to get it."""
    from dataclasses import replace

    from vmoodle.cli.passwords import how_to_get, waits, write
    from vmoodle.operations.handover import handing_over
    from vmoodle.registry import sites

    if row.action != "create" or not waits(operation):
        return outcome
    if out is None:
        return replace(outcome, notes=(*outcome.notes, f"its password: {how_to_get(operation)}"))
    with handing_over(installation, operation.id) as password:
        if password is not None:
            user = sites.find(row.get("shortname")).admin_user
            line = io.StringIO(newline="")
            words = (row.get("shortname"), user, password.reveal())
            csv.writer(line, delimiter=";").writerow(words)
            write(out, line.getvalue(), operation)
    return outcome
