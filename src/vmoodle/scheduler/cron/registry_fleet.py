"""The fleet of the registry, as the scheduler has it: leases, processes, logs."""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from vmoodle.errors import VMoodleError
from vmoodle.lifecycle import code_cache
from vmoodle.process import is_gone, this_process
from vmoodle.registry import cron, sites
from vmoodle.registry.cron import Lease
from vmoodle.scheduler.cron import logs
from vmoodle.scheduler.cron.choice import CRON, Chosen, Policy
from vmoodle.scheduler.cron.due import Lookout
from vmoodle.scheduler.cron.processes import end_all
from vmoodle.scheduler.cron.run import Ended, Order, run_cron
from vmoodle.scheduler.cron.standing import Outcome, Standing

if TYPE_CHECKING:
    from vmoodle.installation import Installation
    from vmoodle.registry.models import Codebase

log = logging.getLogger("vmoodle.cron")

BEAT_SECONDS = 30.0
SILENT_SECONDS = 300.0
"""A run on another machine whose heartbeat stood still so long is nobody's any more."""
_WISHES_SECONDS = 1.0
_NOBODY = -1
_MESSAGE = 300


class RegistryFleet:
    """Carries out what the scheduler decides, in one process of a node."""

    def __init__(self, installation: Installation, policy: Policy, *, only: str = "") -> None:
        self.ended: list[tuple[str, Ended]] = []
        """Runs that have ended since they were taken from here, with the site's shortname."""
        self._installation = installation
        self._policy = policy
        self._only = only
        self._me = this_process().text
        self.lookout = Lookout(installation)
        self._under_way: dict[str, tuple[Standing, threading.Event]] = {}
        self._came: SimpleQueue[Ended] = SimpleQueue()
        self._compiled_code: dict[str, Path] = {}
        self._next_beat = 0.0
        self._next_wishes = 0.0
        self._beats: dict[str, tuple[int, float]] = {}
        self._next_care = 0.0

    @property
    def count(self) -> int:
        """Return how many runs of this process are under way."""
        return len(self._under_way)

    def standings(self, now: float) -> Sequence[Standing]:
        """Return how the sites stand; what others have left is taken up first."""
        self._look_after_leases()
        cron.enter_new(now)
        found = [self._standing(row) for row in cron.standings()]
        if self._only:
            return [site for site in found if site.running or site.shortname == self._only]
        return found

    def look(self, sites: Sequence[Standing], policy: Policy) -> Sequence[Standing]:
        """Ask the sites' databases what is due, and keep the answers."""
        found = self.lookout.look(sites, policy, time.time())
        before = {site.site_id: site for site in sites}
        cron.keep([_columns(site) for site in found], unless_run=True)
        for site in found:
            if site.parked != before[site.site_id].parked:
                cron.park(site.site_id, site.parked)
        return found

    def begin(self, chosen: Chosen, now: float) -> bool:
        """Take hold of the site in the registry and start PHP in a thread of its own."""
        site = chosen.site
        lease = Lease(
            site.site_id, site.shortname, uuid.uuid4().hex[:12], self._me, self._installation.node,
            0, stop_requested=False,
        )  # fmt: skip
        begun = site.after_start(now, whole=chosen.script == CRON)
        facts = {
            "strategy": self._policy.strategy.value, "tier": site.tier, "script": chosen.script,
            "due": site.due, "adhoc": site.adhoc, "waited": site.waits(now), "started": now,
        }  # fmt: skip
        if not cron.begin(
            lease,
            facts,
            _columns(begun),
            last_started=site.started,
            server_id=site.server_id,
            per_server=self._policy.per_server,
        ):
            return False
        stop = threading.Event()
        self._under_way[lease.run_id] = (begun, stop)
        try:
            order = self._order(lease, chosen.script)
            threading.Thread(target=self._run, args=(order, stop), daemon=True).start()
        # The site is held by now: whatever happens, this run has to end.
        except VMoodleError as error:
            self._came.put(_not_run(lease.run_id, error.message))
        except Exception as error:
            log.exception("cron of %s", lease.shortname)
            self._came.put(_not_run(lease.run_id, f"{type(error).__name__}: {error}"))
        return True

    def collect(self) -> int:
        """Note what has ended by now, pass on wishes to stop, and let others see that we live.

        What cannot be kept now is noted the next time.
        """
        count = 0
        while True:
            try:
                ended = self._came.get_nowait()
            except Empty:
                break
            try:
                site = self._note(ended)
            except Exception:
                self._came.put(ended)
                raise
            count += 1
            self._prune(site)
        self._pass_on_stops()
        if self._under_way and time.monotonic() >= self._next_beat:
            self._next_beat = time.monotonic() + BEAT_SECONDS
            cron.beat(self._under_way)
        return count

    def _pass_on_stops(self) -> None:
        if not self._under_way or time.monotonic() < self._next_wishes:
            return
        self._next_wishes = time.monotonic() + _WISHES_SECONDS
        for lease in cron.leases():
            if lease.stop_requested and lease.run_id in self._under_way:
                self._under_way[lease.run_id][1].set()

    def stop(self) -> None:
        """Ask all runs of this process to stop."""
        for _site, event in self._under_way.values():
            event.set()

    def _order(self, lease: Lease, script: str) -> Order:
        chosen = self._installation.settings.cron
        row = sites.find(lease.shortname)
        compiled = self._compiled(row.codebase) if chosen.compiled else None
        return Order(
            lease.run_id, lease.shortname, Path(row.codebase.path), script,
            float(chosen.timeout), chosen.log_kilobytes * 1000,
            (self._installation.site_database(row).password,), compiled,
        )  # fmt: skip

    def _compiled(self, codebase: Codebase) -> Path | None:
        """Return where the compiled code of a codebase is kept; made and tried out once."""
        path = self._compiled_code.get(codebase.name)
        if path is None or not path.is_dir():
            path = code_cache.directory(self._installation, codebase)
            if path is not None:
                self._compiled_code[codebase.name] = path
        return path

    def _run(self, order: Order, stop: threading.Event) -> None:
        try:
            ended = run_cron(self._installation.php, order, stop)
        except Exception as error:
            log.exception("cron of %s", order.site)
            ended = _not_run(order.mark, f"{type(error).__name__}: {error}")
        self._came.put(ended)

    def _note(self, ended: Ended) -> Standing:
        site, _stop = self._under_way[ended.mark]
        now = time.time()
        after = site.after_end(ended.outcome, ended.error, ended.seconds, now, cut=ended.cut)
        logs.write(self._installation.home, site.shortname, ended)
        cron.end(
            site.site_id, ended.mark, _columns(after),
            {
                "seconds": ended.seconds, "outcome": ended.outcome.value, "status": ended.status,
                "error": ended.error, "output_bytes": ended.size,
            },
        )  # fmt: skip
        self._under_way.pop(ended.mark)
        self.ended.append((site.shortname, ended))
        return after

    def _prune(self, site: Standing) -> None:
        chosen = self._installation.settings.cron
        before = time.time() - chosen.keep_days * 86400
        for old in cron.prune(site.site_id, well=chosen.keep_runs, before=before):
            logs.remove(self._installation.home, old.shortname, old.id)

    def _look_after_leases(self) -> None:
        """Let go of the sites whose run nobody watches any more, and end what is left of it."""
        if time.monotonic() < self._next_care:
            return
        self._next_care = time.monotonic() + 1.0
        foreign = [lease for lease in cron.leases() if lease.run_id not in self._under_way]
        self._beats = {lease.run_id: self._beat_of(lease) for lease in foreign}
        for lease in foreign:
            beat_since = self._beats[lease.run_id][1]
            silent = time.monotonic() - beat_since > SILENT_SECONDS
            if not (is_gone(lease.holder) or silent):
                continue
            end_all(_NOBODY, lease.run_id)
            row = next(
                (one for one in cron.standings(every=True) if one["site_id"] == lease.site_id), None
            )
            if row is not None:
                self._let_go(
                    self._standing(row), lease.run_id, Outcome.LOST,
                    "The process that watched it was ended.",
                )  # fmt: skip

    def _beat_of(self, lease: Lease) -> tuple[int, float]:
        seen = self._beats.get(lease.run_id)
        return seen if seen and seen[0] == lease.beat else (lease.beat, time.monotonic())

    def _let_go(self, site: Standing, run_id: str, outcome: Outcome, error: str) -> None:
        after = site.after_end(outcome, error, 0.0, time.time())
        run = {"outcome": outcome.value, "error": error}
        cron.end(site.site_id, run_id, _columns(after), run)

    def _standing(self, row: Mapping[str, Any]) -> Standing:
        values = {name: row[name] for name in (*cron.STANDING, "site_id", "shortname", "server_id")}
        return Standing(
            **{**values, "parked": tuple(values["parked"])},
            running=bool(row["run_id"]),
            here=row["node"] == self._installation.node,
        )


def _not_run(run_id: str, said: str) -> Ended:
    """Return the end of a run for which PHP was not started, or not heard."""
    return Ended(run_id, Outcome.FAILED, None, said[:_MESSAGE], 0.0, "", 0, cut=True)


def _columns(site: Standing) -> dict[str, Any]:
    return asdict(replace(site, parked=()))
