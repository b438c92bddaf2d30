"""What came of a run: its sites one by one, summed up, and compared."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from vmoodle.errors import NotFound
from vmoodle.fleet import command_sets
from vmoodle.fleet.change_rows import NOTHING
from vmoodle.fleet.command import Comparison, Effect
from vmoodle.fleet.parameters import restored
from vmoodle.fleet.problems import Fault
from vmoodle.fleet.result import Compared, Result, Table, from_json
from vmoodle.fleet.unforeseen import contained
from vmoodle.registry import runs
from vmoodle.registry.fleet_models import Run, RunSite, RunSiteState

GOOD = frozenset({RunSiteState.OK})


def state_of(run: Run) -> str:
    """Return a run's state; `interrupted` when the process that did it has ended."""
    return "interrupted" if runs.is_interrupted(run) else run.state


def facts(run: Run, counts: dict[str, int] | None = None) -> dict[str, Any]:
    """Return what is to be known of a run beside its results, for JSON."""
    return {
        "run": run.id,
        "command": run.command,
        "effect": run.effect,
        "dry_run": run.dry,
        "state": state_of(run),
        "target": run.target,
        "parameters": run.parameters,
        "actor": run.actor,
        "operation": run.operation_id,
        "again_of": run.again_of,
        "undo_of": run.undo_of,
        "created_at": run.created_at,
        "finished_at": run.finished_at,
        "summary": summary(run, counts),
    }


def summary(run: Run, counts: dict[str, int] | None = None) -> dict[str, Any]:
    """Return how many sites a run was for and what became of them, and the seconds it took."""
    counted = runs.counts([run.id])[run.id] if counts is None else counts
    taken = (run.finished_at - run.created_at).total_seconds() if run.finished_at else None
    whole = {str(state): counted.get(state, 0) for state in RunSiteState}
    return {"sites": sum(counted.values()), **whole, "seconds": taken}


def all_well(run: Run) -> bool:
    """Tell whether the command did what it should on every site."""
    return runs.counts([run.id])[run.id].keys() <= GOOD


def entries(run: Run) -> Iterator[dict[str, Any]]:
    """Give what came of each site, for JSON, a few at a time."""
    for row in runs.rows(run.id):
        yield entry(row)


def entry(row: RunSite) -> dict[str, Any]:
    """Return what came of one site, for JSON."""
    members: dict[str, Any] = {
        "site": row.shortname, "status": row.state, "duration_ms": row.duration_ms
    }  # fmt: skip
    if row.error_code:
        members["error"] = {
            "code": row.error_code, "detail": row.error_message, "hint": row.error_hint
        }  # fmt: skip
    result = result_of(row)
    return members | (result.as_facts() if result is not None else {})


def answers(run: Run) -> Iterator[tuple[str, Result]]:
    """Give the answers of the sites that gave one."""
    for row in runs.rows(run.id):
        result = result_of(row)
        if result is not None:
            yield row.shortname, result


def kept_rows(answer: Result) -> int:
    """Return how many rows were kept of an answer that was cut; 0 for a whole one."""
    return len(answer.rows) if isinstance(answer, Table) and answer.truncated else 0


def cuts(run: Run) -> dict[int, list[str]]:
    """Return the sites of which only the first rows were kept, by how many."""
    found: dict[int, list[str]] = {}
    for site, answer in answers(run):
        if count := kept_rows(answer):
            found.setdefault(count, []).append(site)
    return found


def matrix(run: Run) -> list[Compared] | None:
    """Return the matrix of a run's answers as its command compares them; None for another run.

    Raise as `Command.compare`; Failed `command.internal` where a stranger's does not end well.
    """
    try:
        command = command_sets.find(run.command)
    except NotFound:  # its package is gone by now
        return None
    if command.comparison is not Comparison.MATRIX:
        return None
    with contained(f"{run.command}, when the answers of run {run.id} were compared"):
        found = list(command.compare(restored(command.model, run.parameters), answers(run)))
        for one in found:  # what cannot be shown is found here
            one.as_facts()
    return found


def silence(run: Run) -> str:
    """Return what is said of a site whose table has no row."""
    with suppress(NotFound):  # its package is gone by now
        if said := command_sets.find(run.command).silence:
            return said
    return "no rows" if run.effect == Effect.READS else NOTHING


def faults(run: Run) -> Iterator[Fault]:
    """Give what went wrong on each of those sites."""
    for row in problems(run):
        yield Fault(row.shortname, row.state, row.error_code, row.error_message, row.error_hint)


def problems(run: Run) -> Iterator[RunSite]:
    """Give the sites on which the command did not do what it should."""
    return runs.rows(run.id, besides=GOOD)


def result_of(row: RunSite) -> Result | None:
    """Return the answer that is kept of a site."""
    text = runs.result_of(row)
    return None if text is None else from_json(text)
