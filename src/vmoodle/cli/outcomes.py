"""Show what came of each of many sites, and end the call by it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import typer

from vmoodle.cli.output import print_json, print_table, say

if TYPE_CHECKING:
    from vmoodle.errors import VMoodleError
    from vmoodle.fleet.bulk.outcome import Outcome
    from vmoodle.installation import Installation
    from vmoodle.registry.models import Operation


def show_outcomes(outcomes: Sequence[Outcome], *, json: bool) -> None:
    """Print them as a table with a summary, or as one document; exit with 1 when any failed."""
    if json:
        print_json([outcome.as_facts() for outcome in outcomes])
    else:
        with_lines = any(outcome.line is not None for outcome in outcomes)
        print_table(
            (*(("LINE",) if with_lines else ()), "SITE", "OUTCOME", "DETAIL"),
            [
                (*((str(one.line),) if with_lines else ()), one.site, one.outcome, _detail(one))
                for one in outcomes
            ],
            "No sites.",
        )
        counted = Counter(outcome.outcome for outcome in outcomes)
        say(", ".join(f"{count} {word}" for word, count in counted.items()))
    if not all(outcome.ok for outcome in outcomes):
        raise typer.Exit(1)


def ordered_each(
    ordered: Mapping[str, Operation | VMoodleError],
) -> list[tuple[Outcome, Operation | None]]:
    """Return what came so far of each site of which an operation was ordered, or was not."""
    from vmoodle.errors import VMoodleError
    from vmoodle.fleet.bulk.outcome import QUEUED, Outcome, failed

    return [
        (failed(site, what), None)
        if isinstance(what, VMoodleError)
        else (Outcome(site, QUEUED, what.id), what)
        for site, what in ordered.items()
    ]


def carry_out_each(
    installation: Installation,
    ordered: Sequence[tuple[Outcome, Operation | None]],
    done: Callable[[int, Operation], Outcome],
) -> list[Outcome]:
    """Carry out or follow all operations at once, whatever comes of each.

    `done` gives the outcome of one that is done, by its place among those ordered; what it raises
    is that one's failure alone. Where there is no operation the outcome stays as it is. Ctrl-C
    asks for the cancellation of all.
    """
    from vmoodle.cli.progress import carry_out_all
    from vmoodle.errors import VMoodleError
    from vmoodle.fleet.bulk.outcome import failed
    from vmoodle.fleet.kinds import KINDS
    from vmoodle.operations.outcome import raise_its_error

    under_way = [operation for _outcome, operation in ordered if operation is not None]
    ended = iter(carry_out_all(installation, under_way) if under_way else [])
    outcomes = []
    for place, (outcome, operation) in enumerate(ordered):
        if operation is None:
            outcomes.append(outcome)
            continue
        last = next(ended)
        try:
            raise_its_error(last, KINDS)
            outcomes.append(done(place, last))
        except VMoodleError as error:
            outcomes.append(failed(outcome.site, error, line=outcome.line, operation=last.id))
    return outcomes


def _detail(outcome: Outcome) -> str:
    if outcome.code:
        return f"{outcome.message} [{outcome.code}] {outcome.hint}".rstrip()
    said = "; ".join((outcome.message, *outcome.notes)).strip("; ")
    queued = outcome.outcome == "queued"
    return said or (f"vmoodle operation follow {outcome.operation}" if queued else "")
