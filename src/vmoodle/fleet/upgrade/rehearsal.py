"""Which sites an upgrade is rehearsed on: the largest, the oldest, some at random."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vmoodle.errors import Refused, VMoodleError
from vmoodle.fleet.commands.upgrade_plan import PLAN, READY, verdict_of
from vmoodle.fleet.result import Result, Table
from vmoodle.fleet.runs.view import answers
from vmoodle.fleet.upgrade.rehearsal_choice import Amounts, Candidate, pick
from vmoodle.fleet.upgrade.run import plan
from vmoodle.progress import Tell, tell_nobody

if TYPE_CHECKING:
    from vmoodle.installation import Installation


@dataclass(frozen=True)
class Chosen:
    """The sites to rehearse on, each with why; and why others cannot be."""

    sites: dict[str, tuple[Candidate, list[str]]]
    left_out: dict[str, VMoodleError]


def choose(
    installation: Installation,
    to: str,
    on: str,
    amounts: Amounts,
    *,
    accept: Sequence[str] = (),
    tell: Tell = tell_nobody,
) -> Chosen:
    """Choose of the sites that `on` means, by what the plan of their upgrade says of them.

    Raise as `vmoodle upgrade plan` does, Refused `upgrade.rehearsal.none` where none can be.
    """
    # To rehearse again is what a failed rehearsal asks for.
    planned = plan(installation, to, on, accept=[*accept, "rehearsal.failed"], tell=tell)
    found = [
        _candidate(shortname, answer)
        for shortname, answer in answers(planned.run)
        if verdict_of(answer) == READY
    ]
    if not found:
        raise Refused("upgrade.rehearsal.none", _why_none(planned.skipped), _plan_of(to, on))
    return Chosen(pick(found, amounts), planned.skipped)


def _candidate(shortname: str, answer: Result) -> Candidate:
    rows = answer.rows if isinstance(answer, Table) else ()
    told = {str(row[1]): str(row[2]) for row in rows if row[0] == PLAN}
    return Candidate(shortname, int(told.get("bytes", 0)), int(told.get("installed", 0)))


def _why_none(skipped: dict[str, VMoodleError]) -> str:
    reasons = list(dict.fromkeys(f"{error.message} [{error.code}]" for error in skipped.values()))
    said = " ".join(reasons[:5]) or "They have the codebase's versions already."
    return f"The upgrade can be rehearsed on none of these sites. {said}"


def _plan_of(to: str, on: str) -> str:
    return f"vmoodle upgrade plan --to {to} --on '{on}'"
