"""Cron in the registry: how sites stand, who runs which, and every change of that."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connection, transaction
from django.db.models import F, Q

from vmoodle.errors import Conflict, NotFound
from vmoodle.registry import operations
from vmoodle.registry.changing import changing, one_at_a_time
from vmoodle.registry.cron_models import CronRun, CronSite
from vmoodle.registry.fleet_models import Run, RunSite, RunSiteState, RunState
from vmoodle.registry.models import Site, SiteState
from vmoodle.registry.source_names import SourceKind, site_copied
from vmoodle.registry.text import storable, storable_members

STANDING = (
    "since", "tier", "looked", "served", "started", "whole", "complete", "ended", "seconds", "due",
    "adhoc", "oldest", "fail_delays", "obstacle", "failures", "not_before", "error", "runs",
    "failed", "parked", "parked_at", "parked_under", "signature", "worst", "worst_at",
)  # fmt: skip
"""The columns that say how a site stands."""
_NOT_WRITTEN = ("since", "parked")
_CHUNK = 500


@dataclass(frozen=True)
class Lease:
    """A run that is under way: of which site, watched by which process of which node."""

    site_id: int
    shortname: str
    run_id: str
    holder: str
    node: str
    beat: int
    stop_requested: bool


def enter_new(now: float) -> None:
    """Enter the enabled sites whose cron was not known yet."""
    missing = Site.objects.filter(state=SiteState.ENABLED, cron=None).values_list("id", flat=True)
    rows = [CronSite(site_id=site_id, since=now) for site_id in missing]
    CronSite.objects.bulk_create(rows, batch_size=500, ignore_conflicts=True)


def standings(*, every: bool = False) -> list[dict[str, Any]]:
    """Return how the sites stand that may be run, or are, by shortname.

    It is with `site_id`, `shortname`, `server_id`, `run_id` and `node` (of the run). Those that an
    operation or a run on many sites holds are left out, but not with `every`.
    """
    known = CronSite.objects.filter(Q(site__state=SiteState.ENABLED) | ~Q(run_id=""))
    rows = known.order_by("site__shortname").values(
        *STANDING, "site_id", "run_id", "node",
        shortname=F("site__shortname"), server_id=F("site__server_id"),
    )  # fmt: skip
    held = set() if every else _held()
    return [row for row in rows if row["run_id"] or row["shortname"] not in held]


def _held() -> set[str]:
    begun = RunSite.objects.filter(
        state=RunSiteState.BEGUN,
        run_id__in=list(Run.objects.filter(state=RunState.RUNNING).values_list("id", flat=True)),
    )
    sources = operations.given("source")
    return {
        *operations.held(),
        *begun.values_list("shortname", flat=True),
        *filter(None, map(site_copied, sources)),
    }


def keep(rows: Sequence[Mapping[str, Any]], *, unless_run: bool = False) -> None:
    """Keep how sites stand, in one transaction; what they are parked for by `park`.

    With `unless_run` a site is left as it is that another process has begun to run meanwhile.
    """
    columns = [name for name in STANDING if name not in _NOT_WRITTEN]
    changes = ", ".join(f"{name} = %s" for name in columns)
    sql = f"UPDATE {CronSite._meta.db_table} SET {changes} WHERE site_id = %s"  # noqa: S608
    # Not by the ORM: a fleet's are written once a minute.
    values = [[*(_storable(row[name]) for name in columns), row["site_id"]] for row in rows]
    if unless_run:
        sql += " AND run_id = '' AND COALESCE(started, 0) = %s"
        values = [[*one, row["started"] or 0] for one, row in zip(values, rows, strict=True)]
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.executemany(sql, values)


def _storable(value: Any) -> Any:
    return storable(value) if isinstance(value, str) else value


def park(site_id: int, classes: Sequence[str]) -> None:
    """Keep which tasks a site leaves alone."""
    CronSite.objects.filter(site_id=site_id).update(parked=storable_members(classes))


def begin(
    lease: Lease,
    run: Mapping[str, Any],
    standing: Mapping[str, Any],
    *,
    last_started: float | None,
    server_id: int,
    per_server: int,
) -> bool:
    """Take hold of an enabled site for a run and write down how it stands then.

    Return False where the site is not free.

    It is not where another run of its cron is under way, on whatever node, where an operation or a
    run on many sites holds it, where its database server has enough runs, or where its last run is
    not the one that began at `last_started`: another process has had the same thought.
    """
    with transaction.atomic():
        one_at_a_time([lease.shortname, f"cron of server {server_id}"])
        here = CronSite.objects.filter(~Q(run_id=""), site__server_id=server_id).count()
        if here >= per_server or _is_held(lease.shortname):
            return False
        taken = CronSite.objects.filter(
            site_id=lease.site_id, run_id="", site__state=SiteState.ENABLED, started=last_started
        ).update(run_id=lease.run_id, holder=lease.holder, node=lease.node, stop_requested=False)
        if taken:
            CronRun.objects.create(
                id=lease.run_id, site_id=lease.site_id, shortname=lease.shortname, node=lease.node,
                **run,
            )  # fmt: skip
            keep([standing])
        return bool(taken)


def _is_held(shortname: str) -> bool:
    try:
        operations.refuse_held(shortname)
    except Conflict:
        return True
    return bool(
        changing([shortname]) or operations.under_way_with(source=SourceKind.SITE.named(shortname))
    )


def end(site_id: int, run_id: str, standing: Mapping[str, Any], run: Mapping[str, Any]) -> None:
    """Let go of a site whose run has ended, and keep how."""
    with transaction.atomic():
        mine = CronSite.objects.filter(site_id=site_id, run_id=run_id)
        if mine.update(run_id="", holder="", node="", stop_requested=False):
            keep([standing])
        values = {name: _storable(value) for name, value in run.items()}
        CronRun.objects.filter(id=run_id, outcome="").update(**values)


def leases(*, site_ids: Collection[int] | None = None) -> list[Lease]:
    """Return the runs that are under way, of all nodes."""
    rows = CronSite.objects.exclude(run_id="")
    if site_ids is not None:
        rows = rows.filter(site_id__in=site_ids)
    return [
        Lease(*values)
        for values in rows.values_list(
            "site_id", "site__shortname", "run_id", "holder", "node", "beat", "stop_requested"
        )
    ]


def lease_of(shortname: str) -> Lease | None:
    """Return the run of a site's cron that is under way, None for none."""
    site_ids = list(Site.objects.filter(shortname=shortname).values_list("id", flat=True))
    return next(iter(leases(site_ids=site_ids)), None)


def beat(run_ids: Iterable[str]) -> None:
    """Say that runs are still watched, to those who cannot see it otherwise."""
    CronSite.objects.filter(run_id__in=list(run_ids)).update(beat=F("beat") + 1)


def request_stop(run_id: str) -> None:
    """Ask for a run to be stopped; the process that watches it does so."""
    CronSite.objects.filter(run_id=run_id).update(stop_requested=True)


def runs(*, shortname: str = "", failed: bool = False, limit: int = 20) -> list[CronRun]:
    """Return runs, newest first, of all sites or one, those that did not go well where `failed`."""
    chosen = CronRun.objects.order_by("-started")
    if shortname:
        chosen = chosen.filter(shortname=shortname)
    if failed:
        chosen = chosen.exclude(outcome__in=("", "ok"))
    return list(chosen[:limit])


def find_run(run_id: str) -> CronRun:
    """Return the run of an id or of an unambiguous beginning of one; raise NotFound."""
    matches = list(CronRun.objects.filter(id__startswith=run_id)[:2]) if run_id else []
    if len(matches) != 1:
        raise NotFound(
            "cron.run.unknown",
            f"There is no run of cron {run_id!r}."
            if not matches
            else f"More than one run of cron begins with {run_id!r}.",
            "`vmoodle cron log` shows them.",
        )
    return matches[0]


def prune(site_id: int, *, well: int, before: float) -> list[CronRun]:
    """Forget runs of a site: those that went well but the newest `well`, and all from before.

    Return them. One that is under way is kept.
    """
    ended = CronRun.objects.filter(site_id=site_id).exclude(outcome="")
    old = list(ended.filter(outcome="ok").order_by("-started")[well : well + 500])
    old += list(ended.filter(started__lt=before)[:500])
    CronRun.objects.filter(id__in=[run.id for run in old]).delete()
    return old


def forget_gone() -> list[tuple[str, str]]:
    """Forget the runs of sites that are no longer there; return their shortnames and ids.

    Another site may have such a name by now.
    """
    gone = CronRun.objects.exclude(site_id__in=Site.objects.values("id"))
    found = list(gone.values_list("shortname", "id"))
    for start in range(0, len(found), _CHUNK):
        CronRun.objects.filter(id__in=[one for _, one in found[start : start + _CHUNK]]).delete()
    return found
