"""One step of the scheduler: what has ended is noted, who is due is looked at, runs are begun."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from vmoodle.scheduler.cron.choice import Chosen, Policy, Strategy, choose, is_to_be_looked_at
from vmoodle.scheduler.cron.standing import Standing


class CronFleet(Protocol):
    """The sites, as the scheduler needs them: the registry and the processes, or a simulation."""

    def standings(self, now: float) -> Sequence[Standing]:
        """Return how each site stands that may be run: enabled, and held by nothing."""

    def look(self, sites: Sequence[Standing], policy: Policy) -> Sequence[Standing]:
        """Ask the sites' databases what is due; return how they stand then."""

    def begin(self, chosen: Chosen, now: float) -> bool:
        """Begin a run; False where somebody else has taken hold of the site."""

    def collect(self) -> int:
        """Note what has ended by now; return how much."""


@dataclass
class Scheduler:
    """Runs the sites' cron; whoever has it calls `step` again and again."""

    fleet: CronFleet
    policy: Policy
    clock: Callable[[], float]
    last: int = 0
    """The site whose turn was last."""
    begun: set[int] = field(default_factory=set)

    def step(self, *, everybody: bool = False, once: bool = False) -> int:
        """Do what is to be done now; return how many runs were begun.

        With `everybody` all sites are looked at, not only those whose time has come. With `once` no
        site is run that this scheduler ran before.
        """
        self.fleet.collect()
        now = self.clock()
        sites = {site.site_id: site for site in self.fleet.standings(now)}
        looked_at = [
            site
            for site in sites.values()
            if (everybody and not site.running) or is_to_be_looked_at(site, self.policy, now)
        ]
        if looked_at:
            sites.update((site.site_id, site) for site in self.fleet.look(looked_at, self.policy))
        # Looking took its time.
        return self._begin(sites, self.clock(), once=once)

    def more(self) -> int:
        """Begin what found no place in the budget before, without another look."""
        self.fleet.collect()
        now = self.clock()
        sites = {site.site_id: site for site in self.fleet.standings(now)}
        return self._begin(sites, now, once=True)

    def _begin(self, sites: Mapping[int, Standing], now: float, *, once: bool) -> int:
        free = [
            site
            for site in sites.values()
            if site.running or not once or site.site_id not in self.begun
        ]
        chosen = choose(free, self.policy, now, last=self.last)
        begun = [one for one in chosen if self.fleet.begin(one, now)]
        self.begun.update(one.site.site_id for one in begun)
        if begun and self.policy.strategy is Strategy.ROUND_ROBIN:
            self.last = begun[-1].site.site_id
        return len(begun)
