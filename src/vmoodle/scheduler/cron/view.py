"""What an administrator sees of cron: each site, the fleet, and who waits longer than promised."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from vmoodle.registry import cron
from vmoodle.scheduler.cron.choice import Policy
from vmoodle.scheduler.cron.due import ON_PURPOSE
from vmoodle.scheduler.cron.policy import policy
from vmoodle.scheduler.cron.standing import Standing

if TYPE_CHECKING:
    from vmoodle.installation import Installation
    from vmoodle.registry.cron_models import CronRun

_DAY = 86400.0


@dataclass(frozen=True)
class SiteCron:
    """How the cron of a site stands at a moment."""

    site: Standing
    node: str
    promised: float
    waits: float

    @property
    def is_late(self) -> bool:
        """Tell whether the site waits longer than promised."""
        return self.waits > self.promised and self.site.obstacle not in ON_PURPOSE

    @property
    def state(self) -> str:
        """Return the state in a word or two."""
        if self.site.running:
            return "running"
        if self.site.obstacle in ON_PURPOSE:
            return "off"
        if self.is_late:
            return "LATE"
        if self.site.obstacle:
            return "cannot run"
        return "failing" if self.site.failures else "ok"

    def facts(self) -> dict[str, Any]:
        """Return all of it, for scripts; times in UTC."""
        site = self.site
        return {
            "site": site.shortname,
            "state": self.state,
            "tier": site.tier or None,
            "last_run": moment(site.started),
            "last_look": moment(site.looked),
            "waits_seconds": round(self.waits),
            "promised_seconds": round(self.promised),
            "late": self.is_late,
            "worst_seconds": round(site.worst),
            "seconds": round(site.seconds, 3) if site.ended else None,
            "due": site.due,
            "adhoc": site.adhoc,
            "oldest_adhoc": moment(site.oldest),
            "fail_delays": site.fail_delays,
            "failures": site.failures,
            "failed": site.failed,
            "runs": site.runs,
            "not_before": moment(site.not_before or None) if site.failures else None,
            "obstacle": site.obstacle or None,
            "error": site.error or None,
            "parked": list(site.parked),
            "node": self.node or None,
        }


def sites_of(installation: Installation, now: float | None = None) -> list[SiteCron]:
    """Return how the cron of each site stands, by shortname."""
    now = time.time() if now is None else now
    chosen = policy(installation.settings.cron)
    return list(_sites(chosen, now))


def _sites(chosen: Policy, now: float) -> Iterator[SiteCron]:
    for row in cron.standings(every=True):
        values = {name: row[name] for name in (*cron.STANDING, "site_id", "shortname", "server_id")}
        values["parked"] = tuple(values["parked"])
        site = Standing(**values, running=bool(row["run_id"]))
        yield SiteCron(site, row["node"], chosen.tier(site.tier).gap, site.waits(now))


def of_fleet(installation: Installation, known: Sequence[SiteCron]) -> dict[str, Any]:
    """Return the sum over the fleet."""
    chosen = policy(installation.settings.cron)
    sites = [one.site for one in known]
    return {
        "enabled": installation.settings.cron.enabled,
        "strategy": chosen.strategy.value,
        "together": chosen.together,
        "per_server": chosen.per_server,
        "sites": len(known),
        "tiers": {tier.name: sum(s.tier == tier.name for s in sites) for tier in chosen.tiers},
        "promised_seconds": {tier.name: tier.gap for tier in chosen.tiers},
        "worst_seconds": {
            tier.name: round(max((s.worst for s in sites if s.tier == tier.name), default=0))
            for tier in chosen.tiers
        },
        "running": sum(site.running for site in sites),
        "late": sum(one.is_late for one in known),
        "failing": sum(site.failures > 0 for site in sites),
        "cannot_run": sum(bool(site.obstacle) for site in sites),
        "due": sum(site.due for site in sites),
        "adhoc": sum(site.adhoc for site in sites),
        "fail_delays": sum(site.fail_delays for site in sites),
    }


def is_in_use(installation: Installation, known: Sequence[SiteCron], now: float) -> bool:
    """Tell whether VMoodle is who runs the sites' cron: it is to, or has done so within a day."""
    looked = max((one.site.looked or 0.0 for one in known), default=0.0)
    return installation.settings.cron.enabled or abs(now - looked) < _DAY


def run_facts(run: CronRun) -> dict[str, Any]:
    """Return what is kept of a run."""
    return {
        "run": run.id,
        "site": run.shortname,
        "node": run.node,
        "started": moment(run.started),
        "seconds": None if run.seconds is None else round(run.seconds, 3),
        "waited_seconds": round(run.waited),
        "outcome": run.outcome or "running",
        "status": run.status,
        "script": run.script.rpartition("/")[2],
        "strategy": run.strategy,
        "tier": run.tier or None,
        "due": run.due,
        "adhoc": run.adhoc,
        "output_bytes": run.output_bytes,
        "error": run.error or None,
    }


def moment(seconds: float | None) -> str | None:
    """Return a time in UTC as a person reads it, None for none."""
    return None if seconds is None else f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}"
