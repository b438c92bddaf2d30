"""`vmoodle doctor`: is everything as it should be, and what of the rest can be mended?"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vmoodle.cli.output import Json, print_json, print_text, say
from vmoodle.cli.progress import showing
from vmoodle.cli.question import ask_whether

if TYPE_CHECKING:
    from vmoodle.doctor.finding import Finding, Mend
    from vmoodle.doctor.mends import Mended
    from vmoodle.installation import Installation


def doctor(
    mend: Annotated[
        bool, typer.Option("--mend", help="Offer to do what VMoodle can do about the findings.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="With --mend: do it without asking.")] = False,
    json: Json = False,
) -> None:
    """Run all checks; status 0 when clean, 1 with findings that are left."""
    from vmoodle.installation import open_installation

    installation = open_installation(exposed_too=True)
    from vmoodle.doctor import mends
    from vmoodle.doctor.examination import examine

    with showing("examining") as tell:
        findings = examine(installation, tell)
    offered = mends.of(findings)
    done: list[Mended] = []
    if mend and offered:
        if not json:
            _show(findings)
        if _agreed(offered, yes=yes):
            done, findings = _mend(installation, offered)
    if json:
        listed = [_facts(finding) for finding in findings]
        print_json({"mended": [_came_of(one) for one in done], "findings": listed}
                   if mend else listed)  # fmt: skip
    elif done or not (mend and offered):
        _show(findings)
        if offered and not mend:
            say(f"{len(offered)} of this can be mended: vmoodle doctor --mend")
    if findings:
        raise typer.Exit(1)


def _mend(
    installation: Installation, offered: Sequence[Mend]
) -> tuple[list[Mended], list[Finding]]:
    """Do what was offered; return what came of it, and what is found then."""
    from vmoodle.doctor import mends
    from vmoodle.doctor.examination import examine

    with showing("mending") as tell:
        done = mends.carry_out(installation, offered, tell)
    for one in done:
        say(f"mended: {one.title}" if one.error is None else f"{one.title}: {one.error.message}")
    with showing("examining again") as tell:
        return done, examine(installation, tell)


def _agreed(offered: Sequence[Mend], *, yes: bool) -> bool:
    from vmoodle.errors import Refused

    for one in offered:
        say(f"can be mended: {one.title}")
    if yes:
        return True
    if not sys.stdin.isatty():
        raise Refused(
            "doctor.unconfirmed",
            "Nobody is there to be asked; nothing was mended.",
            "vmoodle doctor --mend --yes",
        )
    return ask_whether(f"Mend these {len(offered)}?")


def _show(findings: Sequence[Finding]) -> None:
    from vmoodle.doctor.examination import CHECKS

    for check in CHECKS:
        mine = [finding for finding in findings if finding.check == check.number]
        print_text(f"{check.number}  {'ok' if not mine else 'FINDING':<8}{check.title}")
        for finding in mine:
            print_text(f"      {finding.message}\n      hint: {finding.hint}")


def _facts(finding: Finding) -> dict[str, Any]:
    return {
        "check": finding.check,
        "message": finding.message,
        "hint": finding.hint,
        "mend": finding.mend.title if finding.mend else "",
    }


def _came_of(one: Mended) -> dict[str, Any]:
    error = one.error
    return {
        "mend": one.title,
        "ok": error is None,
        "code": error.code if error else "",
        "detail": error.message if error else "",
    }
