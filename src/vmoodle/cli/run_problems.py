"""Show what went wrong on the sites of a run, equal errors once, and the sum."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

from vmoodle.cli.option_words import with_options
from vmoodle.cli.output import names, say

if TYPE_CHECKING:
    from vmoodle.fleet.problems import Fault, Problem
    from vmoodle.registry.fleet_models import Run

_MOST = 20


def show_problems(run: Run, told: Collection[str] = ()) -> None:
    """Print what went wrong, then the sum; of the sites `told` it was said before."""
    from vmoodle.fleet.runs.view import faults, summary

    show_faults(fault for fault in faults(run) if fault.site not in told)
    if left := [fault.site for fault in faults(run) if fault.site in told] if told else []:
        say(f"left out, as told: {names(left)}")
    counted = summary(run)
    seconds = counted.pop("seconds")
    said = [f"{count} {word}" for word, count in counted.items() if count and word != "sites"]
    took = f" in {seconds:.1f} s" if seconds is not None else ""
    say(f"{counted['sites']} site(s){took}: {', '.join(said)}; vmoodle run show {run.id}")


def show_faults(faults: Iterable[Fault]) -> None:
    """Print a line for each different error, that of the most sites first."""
    from vmoodle.fleet.problems import problem_groups

    groups, others = problem_groups(faults, _MOST)
    for problem in groups:
        say(_words(problem))
    if others:
        say(f"{len(others)} site(s) with other errors: {names(others)}")


def _words(problem: Problem) -> str:
    """Return a problem as a line: who, the state, and the error."""
    count = len(problem.sites)
    who = problem.sites[0] if count == 1 else f"{count} sites ({names(problem.sites)})"
    hint = with_options(problem.code, problem.hint)
    told = f". {problem.message} [{problem.code}] {hint}" if problem.code else ""
    return f"{who}: {problem.state}{told}".rstrip()
