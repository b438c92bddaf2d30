"""Which sites of a selection are upgraded in a run: what the plan says of each decides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vmoodle.errors import Conflict, NotFound, Refused, VMoodleError
from vmoodle.fleet.command_sets import load
from vmoodle.fleet.commands.upgrade_plan import BLOCKED, NEEDLESS, verdict_of
from vmoodle.fleet.parameter_words import called
from vmoodle.fleet.parameters import given
from vmoodle.fleet.result import Table
from vmoodle.fleet.runs import runner
from vmoodle.fleet.runs.order import prepare, write_down
from vmoodle.fleet.runs.view import answers
from vmoodle.fleet.upgrade.estimate import OF_REHEARSALS
from vmoodle.progress import Tell, tell_nobody
from vmoodle.registry import sites
from vmoodle.registry.fleet_models import Run
from vmoodle.registry.text import kept_error

if TYPE_CHECKING:
    from vmoodle.installation import Installation


@dataclass(frozen=True)
class Planned:
    """The sites to be upgraded, in the order in which they are, and why the others are not."""

    run: Run
    chosen: list[str]
    skipped: dict[str, VMoodleError]
    expected: dict[str, int] = field(default_factory=dict)
    """The milliseconds that rehearsals let expect of a site's upgrade, where there are any."""


def plan(
    installation: Installation,
    to: str,
    on: str,
    *,
    accept: Sequence[str] = (),
    first: Sequence[str] = (),
    tell: Tell = tell_nobody,
) -> Planned:
    """Plan the upgrade of the sites that `on` means to a codebase; those named `first` lead.

    Raise as `vmoodle upgrade plan` does, NotFound `upgrade.first` for a name that is none of them.
    """
    command = load().find("upgrade.plan")
    order = prepare(
        installation, command, given(command.model, {"to": to, "accept": list(accept)}), on
    )
    run = runner.run_here(installation, write_down(installation, order), command, tell)
    chosen: list[str] = []
    skipped: dict[str, VMoodleError] = {}
    expected: dict[str, int] = {}
    for shortname, answer in answers(run):
        reason = _reason(shortname, to, verdict_of(answer), answer)
        if reason is None:
            chosen.append(shortname)
            if (taken := _rehearsed(answer)) is not None:
                expected[shortname] = taken
        else:
            skipped[shortname] = reason
    for row in run.sites.exclude(error_code=""):
        skipped[row.shortname] = kept_error(row)
    unknown = [name for name in first if name not in {*chosen, *skipped}]
    if unknown:
        raise NotFound(
            "upgrade.first",
            f"{', '.join(unknown)} is not among the sites that are to be upgraded.",
            f"{called('first')} names sites that {called('on')} means.",
        )
    rank = {name: number for number, name in enumerate(first)}
    chosen.sort(key=lambda name: rank.get(name, len(rank)))
    return Planned(run, chosen, skipped, expected)


def _rehearsed(answer: object) -> int | None:
    rows = answer.rows if isinstance(answer, Table) else ()
    return next((int(str(row[2])) for row in rows if row[1] in OF_REHEARSALS), None)


def _reason(shortname: str, to: str, verdict: str, answer: object) -> VMoodleError | None:
    """Return why a site is left out, None for one that is upgraded."""
    if verdict == BLOCKED and isinstance(answer, Table):
        codes = sorted({str(row[1]) for row in answer.rows if row[0] == "blocker"})
        return Refused(
            "upgrade.blocked",
            f"The plan has blockers: {', '.join(codes)}.",
            f"vmoodle upgrade plan --to {to} --on {shortname}",
        )
    # One that has the versions already, and another tree, is moved to this one.
    if verdict == NEEDLESS and sites.find(shortname).codebase.name == to:
        return Conflict(
            "upgrade.needless",
            "The site is on this codebase and has its versions.",
            "There is nothing to be done.",
        )
    return None
