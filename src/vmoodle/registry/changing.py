"""Sites that a run is changing: no operation takes hold of them meanwhile, and no other run.

A run marks its sites and then looks for operations; an operation is queued and then looks for
marks. Two of them that do so at the same time must not both find nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from django.db import connection

from vmoodle.errors import Conflict
from vmoodle.registry.fleet_models import Run, RunSite, RunSiteState, RunState


def one_at_a_time(subjects: Iterable[str]) -> None:
    """Let no other transaction that says so of one of these subjects pass before this one ends.

    It is said before a subject is marked or looked at. SQLite writes one transaction at a time
    anyway; on PostgreSQL each sees only what others have committed. Who names several in one
    transaction names them together: locks are taken in one order, so that no two wait for each
    other.
    """
    if connection.vendor != "postgresql":
        return
    keys = sorted({_key(subject) for subject in subjects if subject})
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(key) FROM unnest(%s::bigint[]) key", [keys])


def _key(subject: str) -> int:
    digest = hashlib.blake2b(f"vmoodle subject {subject}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, signed=True)


def changing(shortnames: Iterable[str], *, besides: str = "") -> dict[str, str]:
    """Return by shortname the run that has begun to change a site and has not ended there."""
    under_way = Run.objects.filter(state=RunState.RUNNING).exclude(id=besides)
    rows = RunSite.objects.filter(
        run_id__in=list(under_way.values_list("id", flat=True)),
        state=RunSiteState.BEGUN,
        shortname__in=list(shortnames),
    )
    return dict(rows.values_list("shortname", "run_id"))


def refuse_changing(shortname: str) -> None:
    """Raise Conflict `run.site.busy` when a run has begun to change a site."""
    for name, run_id in changing([shortname]).items():
        raise changed_by(run_id, name)


def changed_by(run_id: str, shortname: str) -> Conflict:
    """Return the error for a site that a run is changing."""
    run = Run.objects.get(id=run_id)
    return Conflict(
        "run.site.busy",
        f"{shortname} is being changed by run {run_id} ({run.command}).",
        "Wait for it with this call, which executes it where nobody else does: "
        f"vmoodle operation follow {run.operation_id}",
    )
