"""The scheduler at work: beside a worker's operations as long as it lives, or for one round."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from vmoodle.registry import cron
from vmoodle.scheduler.cron import logs
from vmoodle.scheduler.cron.policy import policy
from vmoodle.scheduler.cron.registry_fleet import RegistryFleet
from vmoodle.scheduler.cron.run import STOP_GRACE_SECONDS, Ended
from vmoodle.scheduler.cron.scheduler import Scheduler

if TYPE_CHECKING:
    from vmoodle.installation import Installation

log = logging.getLogger("vmoodle.cron")

STEP_SECONDS = 5.0
"""How often it is looked whose turn it is; which site is looked at then, its own grid says."""
_POLL_SECONDS = 0.25
_AFTER_FAULT_SECONDS = 30.0
_UPKEEP_SECONDS = 3600.0

Tell = Callable[[str, Ended], object]
"""Takes the site's shortname and how its run ended."""


def tell_nobody(_shortname: str, _ended: Ended) -> None:
    """Tell of a run where nobody listens."""


class CronService:
    """Runs the sites' cron in a thread of its own, until it is told to end."""

    def __init__(self, installation: Installation, tell: Tell = tell_nobody) -> None:
        self._installation = installation
        self._policy = policy(installation.settings.cron)
        self._tell = tell
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._work, name="cron", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Ask the runs to stop and wait until they have; nothing where it was never started."""
        self._end.set()
        if self._thread.is_alive():
            self._thread.join(STOP_GRACE_SECONDS + 15)

    def _work(self) -> None:
        from django.db import connection

        fleet = RegistryFleet(self._installation, self._policy)
        scheduler = Scheduler(fleet, self._policy, time.time)
        next_step = next_upkeep = 0.0
        while not self._end.is_set():
            try:
                if fleet.collect() or time.monotonic() >= next_step:
                    next_step = time.monotonic() + STEP_SECONDS
                    scheduler.step()
                if time.monotonic() >= next_upkeep:
                    next_upkeep = time.monotonic() + _UPKEEP_SECONDS
                    keep_up(self._installation)
                self._told(fleet)
            except Exception:
                # A registry that is full or away for a while: sites' cron is not to end by that.
                log.exception("the scheduler of cron")
                connection.close()
                self._end.wait(_AFTER_FAULT_SECONDS)
            self._end.wait(_POLL_SECONDS)
        with contextlib.suppress(Exception):
            _let_end(fleet)
        connection.close()

    def _told(self, fleet: RegistryFleet) -> None:
        for shortname, ended in fleet.ended:
            self._tell(shortname, ended)
        fleet.ended.clear()


def once(
    installation: Installation, *, only: str = "", tell: Tell = tell_nobody
) -> list[tuple[str, Ended]]:
    """Carry out one round: look at all sites, run those whose turn it is, wait for them.

    `only` one site where its shortname is given. Return the sites that were run, and how that went.
    An interrupt asks the runs to stop.
    """
    chosen = policy(installation.settings.cron)
    fleet = RegistryFleet(installation, chosen, only=only)
    scheduler = Scheduler(fleet, chosen, time.time)
    told = 0
    try:
        begun = scheduler.step(everybody=True, once=True)
        while fleet.count or begun:
            begun = scheduler.more() if fleet.collect() else 0
            for shortname, ended in fleet.ended[told:]:
                tell(shortname, ended)
            told = len(fleet.ended)
            time.sleep(0.02)
    except BaseException:
        _let_end(fleet)
        raise
    keep_up(installation)
    return fleet.ended


def keep_up(installation: Installation) -> None:
    """Forget what is kept of sites that are no longer there."""
    for shortname, run_id in cron.forget_gone():
        logs.remove(installation.home, shortname, run_id)


def _let_end(fleet: RegistryFleet) -> None:
    fleet.stop()
    until = time.monotonic() + STOP_GRACE_SECONDS + 5
    while fleet.count and time.monotonic() < until:
        try:
            fleet.collect()
        except Exception:
            # What waits to be kept is tried again as long as there is time.
            log.exception("the end of runs of cron")
        time.sleep(_POLL_SECONDS)
