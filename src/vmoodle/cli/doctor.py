"""`vmoodle doctor`: is everything as it should be?"""

from __future__ import annotations

import typer

from vmoodle.cli.output import Json, print_json
from vmoodle.cli.progress import showing


def doctor(json: Json = False) -> None:
    """Run all checks; status 0 when clean, 1 with findings."""
    from vmoodle.installation import open_installation

    installation = open_installation()
    from vmoodle.doctor.examination import CHECKS, examine

    with showing("examining") as tell:
        findings = examine(installation, tell)
    if json:
        print_json([vars(finding) for finding in findings])
    else:
        for check in CHECKS:
            mine = [finding for finding in findings if finding.check == check.number]
            typer.echo(f"{check.number}  {'ok' if not mine else 'FINDING':<8}{check.title}")
            for finding in mine:
                typer.echo(f"      {finding.message}\n      hint: {finding.hint}")
    if findings:
        raise typer.Exit(1)
