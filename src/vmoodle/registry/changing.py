"""Sites that a run is changing: no operation takes hold of them meanwhile, and no other run."""

from __future__ import annotations

from collections.abc import Iterable

from vmoodle.errors import Conflict
from vmoodle.registry.fleet_models import Run, RunSite, RunSiteState, RunState


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
