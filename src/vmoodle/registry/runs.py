"""Runs of commands on many sites in the registry: every change of their state is made here."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import zstandard
from django.db import connection, transaction
from django.db.models import Count
from django.db.models.functions import Collate
from django.utils import timezone

from vmoodle.errors import Conflict, NotFound, VMoodleError
from vmoodle.process import is_gone
from vmoodle.registry import operations
from vmoodle.registry.audit import current_actor, record
from vmoodle.registry.changing import changed_by, changing, one_at_a_time
from vmoodle.registry.fleet_models import Run, RunSite, RunSiteState, RunState
from vmoodle.registry.models import HOLDING_STATES, Operation, OperationState
from vmoodle.registry.text import error_columns

KIND = "fleet.run"
_NOT_DONE = (RunSiteState.FAILED, RunSiteState.TIMEOUT, RunSiteState.CANCELLED)
_CHUNK = 500
UNDO_LOST = "lost"
"""Kept as the undo of a site whose change was made again after a crash, and found itself made."""
# What is shorter is kept as it is. It begins with a brace, what zstd made with a mark of its own.
_COMPRESSED_FROM = 200
_ENTER = f"""
    INSERT INTO {RunSite._meta.db_table} (run_id, site_id, shortname, state,
           undo_encrypted, error_code, error_message, error_hint)
    VALUES (%s, %s, %s, %s, '', '', '', '')
"""  # noqa: S608 - the table is our own
_KEEP = f"""
    UPDATE {RunSite._meta.db_table}
       SET state = %s, duration_ms = %s, result = %s, undo_encrypted = %s,
           error_code = %s, error_message = %s, error_hint = %s
     WHERE run_id = %s AND site_id = %s
"""  # noqa: S608 - the table is our own


@dataclass(frozen=True)
class Outcome:
    """What came of one site of a run; `result` is JSON, `undo` encrypted JSON."""

    site_id: int
    state: RunSiteState
    duration_ms: int | None = None
    result: str | None = None
    error: VMoodleError | None = None
    undo: str = field(default="", repr=False)


def create(
    values: Mapping[str, Any],
    sites: Iterable[tuple[int, str]],
    left_out: Mapping[str, VMoodleError],
    *,
    as_operation: bool,
) -> Run:
    """Write a run down with all its sites, and queue its operation where it is one.

    Those `left_out` are entered as failed. Nothing has been done yet.
    """
    with transaction.atomic():
        run = Run.objects.create(
            id=uuid.uuid4().hex[:12], actor=current_actor(), state=RunState.RUNNING, **values
        )
        _enter(run.id, sites)
        RunSite.objects.bulk_create(
            RunSite(
                run=run, site_id=0, shortname=name, state=RunSiteState.FAILED,
                **error_columns(error),
            )
            for name, error in left_out.items()
        )  # fmt: skip
        if as_operation:
            operation = operations.submit(
                KIND, site=f"run:{run.id}", parameters={"run": run.id}, node=run.node
            )
            run.operation_id = operation.id
            run.save(update_fields=["operation_id"])
        # What is tried out or asked is in the list of runs; the audit trail is for changes.
        if _is_change(run):
            record("fleet.run", f"run:{run.id}", "ordered", command=run.command, target=run.target)
    return run


def _enter(run_id: str, sites: Iterable[tuple[int, str]]) -> None:
    """Enter sites into a run as waiting; not by the ORM, for there may be ten thousand."""
    rows = [(run_id, site_id, name, RunSiteState.WAITING.value) for site_id, name in sites]
    with connection.cursor() as cursor:
        cursor.executemany(_ENTER, rows)


def _is_change(run: Run) -> bool:
    return run.effect != "reads" and not run.dry


def find(run_id: str) -> Run:
    """Return the run of an id or of an unambiguous beginning of one; raise NotFound."""
    matches = list(Run.objects.filter(id__startswith=run_id)[:2])
    if len(matches) != 1 or not run_id:
        raise NotFound(
            "run.unknown",
            f"There is no run {run_id!r}."
            if not matches
            else f"More than one run begins with {run_id!r}.",
            "`vmoodle run list` shows them.",
        )
    return matches[0]


def search(
    *, command: str = "", site: str = "", actor: str = "", since: datetime | None = None,
    limit: int = 50,
) -> list[Run]:  # fmt: skip
    """Return runs that meet every filter, newest first."""
    chosen = Run.objects.order_by("-created_at")
    filters = {"command": command, "sites__shortname": site, "actor__contains": actor}
    chosen = chosen.filter(**{column: value for column, value in filters.items() if value})
    if since is not None:
        chosen = chosen.filter(created_at__gte=since)
    return list(chosen[:limit])


def counts(run_ids: Sequence[str]) -> dict[str, dict[str, int]]:
    """Return for each run how many of its sites are in each state."""
    found: dict[str, dict[str, int]] = {run_id: {} for run_id in run_ids}
    for start in range(0, len(run_ids), _CHUNK):
        some = RunSite.objects.filter(run_id__in=run_ids[start : start + _CHUNK])
        for row in some.values("run_id", "state").annotate(count=Count("id")).order_by():
            found[row["run_id"]][row["state"]] = row["count"]
    return found


def waiting(run_id: str) -> list[int]:
    """Return the ids of a run's sites that have not been begun."""
    rows = RunSite.objects.filter(run_id=run_id, state=RunSiteState.WAITING)
    return list(rows.order_by("shortname").values_list("site_id", flat=True))


def names(run_id: str, states: Collection[str] | None = None) -> list[str]:
    """Return the shortnames of a run's sites, of those in some states only where these are said."""
    rows = RunSite.objects.filter(run_id=run_id)
    if states is not None:
        rows = rows.filter(state__in=states)
    return list(rows.order_by("shortname").values_list("shortname", flat=True))


def failed_names(run: Run) -> list[str]:
    """Return the shortnames of the sites where a run surely was not done.

    What waits in an operation is still to be done by it; else it waits for nobody any more.
    """
    waits = () if run.operation_id else (RunSiteState.WAITING,)
    return names(run.id, {*_NOT_DONE, *waits})


def unknown_names(run: Run) -> list[str]:
    """Return the shortnames of the sites of which nobody knows whether a run was done there."""
    return names(run.id, {RunSiteState.UNKNOWN})


def rows(run_id: str, *, besides: Collection[str] = ()) -> Iterator[RunSite]:
    """Give a run's sites by shortname, a few at a time; those in some states left out.

    Their order is Python's and not the database's: whoever compares two runs relies on it.
    """
    last = ""
    by_code_point = Collate("shortname", "C" if connection.vendor == "postgresql" else "BINARY")
    chosen = RunSite.objects.filter(run_id=run_id).annotate(key=by_code_point).order_by("key")
    chosen = chosen.defer("undo_encrypted")
    if besides:
        chosen = chosen.exclude(state__in=besides)
    while chunk := list(chosen.filter(key__gt=last)[:_CHUNK]):
        yield from chunk
        last = chunk[-1].shortname


def result_of(row: RunSite) -> str | None:
    """Return the result that is kept of a site, as JSON."""
    if row.result is None:
        return None
    kept = bytes(row.result)
    return (kept if kept.startswith(b"{") else zstandard.decompress(kept)).decode()


def _as_kept(result: str) -> bytes:
    raw = result.encode()
    return raw if len(raw) < _COMPRESSED_FROM else zstandard.compress(raw)


def undo_of(run_id: str, shortname: str) -> str:
    """Return the encrypted undo that a run kept of a site, empty for none."""
    row = RunSite.objects.filter(run_id=run_id, shortname=shortname)
    row = row.exclude(undo_encrypted=UNDO_LOST)
    return row.values_list("undo_encrypted", flat=True).first() or ""


def undoable(run_id: str) -> list[str]:
    """Return the shortnames of the sites on which a run can be taken back and was not yet."""
    done = RunSite.objects.filter(run_id=run_id).exclude(undo_encrypted__in=("", UNDO_LOST))
    back = RunSite.objects.filter(
        run__undo_of=run_id, run__dry=False, state__in=(RunSiteState.OK, RunSiteState.UNKNOWN)
    )
    names = done.exclude(shortname__in=back.values("shortname")).order_by("shortname")
    return list(names.values_list("shortname", flat=True))


def undo_lost(run_id: str) -> list[str]:
    """Return the shortnames of the sites that a run may have changed without keeping the undo."""
    rows = RunSite.objects.filter(run_id=run_id)
    lost = rows.filter(undo_encrypted=UNDO_LOST)
    lost |= rows.filter(state=RunSiteState.UNKNOWN, undo_encrypted="")
    return list(lost.order_by("shortname").values_list("shortname", flat=True))


def trial_of(run: Run) -> Run | None:
    """Return the trial of a change: the latest before it of the same order; None for none."""
    same = Run.objects.filter(
        dry=True, command=run.command, target=run.target, undo_of=run.undo_of, actor=run.actor,
        created_at__lte=run.created_at,
    )  # fmt: skip
    latest = same.order_by("-created_at").first()
    return latest if latest and latest.parameters == run.parameters else None


def taken_back_by(run_id: str) -> str:
    """Return the id of the latest run that took this one back on any site, empty for none."""
    done = RunSite.objects.filter(
        run__undo_of=run_id, run__dry=False, state__in=(RunSiteState.OK, RunSiteState.UNKNOWN)
    )
    latest = done.order_by("-run__created_at").values_list("run_id", flat=True).first()
    return str(latest or "")


def taken_up(run_id: str, *, repeat: bool, unknown: VMoodleError) -> dict[int, str]:
    """Decide what was begun when the process that did it ended.

    With `repeat` it waits again, and its shortnames are returned by their ids; otherwise it is
    unknown, which `unknown` explains.
    """
    begun = RunSite.objects.filter(run_id=run_id, state=RunSiteState.BEGUN)
    if repeat:
        names = dict(begun.values_list("site_id", "shortname"))
        begun.update(state=RunSiteState.WAITING)
        return names
    begun.update(state=RunSiteState.UNKNOWN, **error_columns(unknown))
    return {}


def begun(run_id: str, site_ids: Sequence[int]) -> dict[int, Conflict]:
    """Mark sites as begun, before anything is changed on them; return those that are held.

    No operation on a site is queued from then on (`operations.submit`). One that was already, or
    another run that changes it, is why a site is returned; it is not marked.
    """
    rows = RunSite.objects.filter(run_id=run_id, site_id__in=site_ids)
    refused: dict[int, Conflict] = {}
    with transaction.atomic():
        names = dict(rows.values_list("site_id", "shortname"))
        one_at_a_time(names.values())
        others = changing(names.values(), besides=run_id)
        rows.update(state=RunSiteState.BEGUN)
        for site_id, name in names.items():
            try:
                operations.refuse_held(name)
                if name in others:
                    raise changed_by(others[name], name)
            except Conflict as error:
                refused[site_id] = error
        rows.filter(site_id__in=refused).update(state=RunSiteState.WAITING)
    return refused


def keep(run_id: str, outcomes: Sequence[Outcome]) -> None:
    """Keep what came of sites, in one transaction."""
    values = [
        (
            one.state,
            one.duration_ms,
            None if one.result is None else _as_kept(one.result),
            one.undo,
            *error_columns(one.error).values(),
            run_id,
            one.site_id,
        )
        for one in outcomes
    ]
    # Not by the ORM: for a site that only is asked it would be a third of the whole work.
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.executemany(_KEEP, values)


def finish(run_id: str, unknown: VMoodleError) -> Run:
    """End a run: what was not begun is cancelled, secrets are forgotten.

    What was begun and is not heard of any more is unknown, which `unknown` explains. That of a
    change which ends later is kept all the same.
    """
    left = RunSite.objects.filter(run_id=run_id)
    with transaction.atomic():
        cancelled = left.filter(state=RunSiteState.WAITING).update(state=RunSiteState.CANCELLED)
        left.filter(state=RunSiteState.BEGUN).update(
            state=RunSiteState.UNKNOWN, **error_columns(unknown)
        )
        ended = Run.objects.filter(id=run_id, state=RunState.RUNNING).update(
            state=RunState.CANCELLED if cancelled else RunState.DONE,
            finished_at=timezone.now(),
            secret_encrypted="",
        )
        run = Run.objects.get(id=run_id)
        if ended and _is_change(run):
            sites = counts([run_id])[run_id]
            record("fleet.run", f"run:{run.id}", run.state, command=run.command, sites=sites)
    return run


def continued(run_id: str, process: str) -> None:
    """Note which process carries a run out from now on."""
    Run.objects.filter(id=run_id).update(process=process)


def is_interrupted(run: Run) -> bool:
    """Tell whether a run has not ended, and the process that did it is gone.

    One that is an operation was begun then; the next executor goes on with it.
    """
    if run.state != RunState.RUNNING or not is_gone(run.process):
        return False
    begun = (OperationState.RUNNING, OperationState.REVERTING)
    row = Operation.objects.filter(id=run.operation_id, state__in=begun)
    return not run.operation_id or row.exists()


def is_under_way(run: Run) -> bool:
    """Tell whether something more may happen to a run by itself."""
    if run.state != RunState.RUNNING:
        return False
    if run.operation_id:
        operation = Operation.objects.filter(id=run.operation_id, state__in=HOLDING_STATES)
        return operation.exists()
    return not is_gone(run.process)


def delete(run: Run) -> None:
    """Delete a run with all that it kept; raise Conflict `run.state` for one under way."""
    if is_under_way(run):
        raise Conflict(
            "run.state",
            f"Run {run.id} is under way; only one that has ended is deleted.",
            f"vmoodle operation cancel {run.operation_id}"
            if run.operation_id
            else "Let it end, or end the process that does it.",
        )
    with transaction.atomic():
        _delete([run.id])
        record("fleet.run", f"run:{run.id}", "deleted", command=run.command)


def prune(before: datetime, *, dry: bool = False) -> list[str]:
    """Delete the runs ordered before a moment that are not under way; return their ids.

    With `dry` only say which.
    """
    old = Run.objects.filter(created_at__lt=before).order_by("created_at")
    ids = [run.id for run in old.defer("parameters", "target") if not is_under_way(run)]
    if dry or not ids:
        return ids
    # One by one: whoever else writes into the registry waits for one run only.
    for run_id in ids:
        _delete([run_id])
    record("fleet.run.prune", "runs", before=before.isoformat(), count=len(ids))
    return ids


def _delete(run_ids: Sequence[str]) -> None:
    with transaction.atomic():
        RunSite.objects.filter(run_id__in=run_ids).delete()
        Run.objects.filter(id__in=run_ids).delete()


def forget_site(site_id: int) -> None:
    """Forget what a site that is destroyed answered, and what would take changes back on it.

    That it was part of a run, and how it ended there, stays.
    """
    RunSite.objects.filter(site_id=site_id).update(result=None, undo_encrypted="")
