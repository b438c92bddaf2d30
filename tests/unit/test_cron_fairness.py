"""The real scheduler on a simulated fleet: no site starves, none overlaps itself, none off runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

import pytest

from vmoodle.scheduler.cron.choice import ADHOC, CRON, Chosen, Policy, Strategy, Tier
from vmoodle.scheduler.cron.policy import policy as policy_of
from vmoodle.scheduler.cron.scheduler import Scheduler
from vmoodle.scheduler.cron.standing import Look, Outcome, Standing
from vmoodle.settings import CronSettings

START = 1_800_000_000.0
HOUR = 3600.0
ACTIVE, QUIET, DORMANT = policy_of(CronSettings()).tiers


@dataclass
class Simulated:
    """One site: somebody was there so long ago, a run takes so long, and how that ends."""

    standing: Standing
    idle: float = 0.0
    seconds: float = 0.3
    outcome: Outcome = Outcome.OK
    due_every: float = 60.0
    adhoc_at: list[float] = field(default_factory=list)
    enabled: bool = True
    next_due: float = START
    runs: list[tuple[float, float, str]] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)


class Simulation:
    """A fleet of sites in memory, and the clock; runs take the simulated time."""

    def __init__(self, count: int, policy: Policy, **values: float) -> None:
        self.now = START
        self.policy = policy
        self.sites = {
            number: Simulated(Standing(number, f"s{number}", number % 2, START), **values)  # type: ignore[arg-type]
            for number in range(1, count + 1)
        }
        self.under_way: dict[int, float] = {}
        self.most_together = 0
        self.most_on_server = 0
        self.looks = 0
        self.scheduler = Scheduler(self, policy, lambda: self.now)

    def standings(self, now: float) -> Sequence[Standing]:  # noqa: ARG002 - the protocol's
        return [site.standing for site in self.sites.values() if site.enabled]

    def look(self, sites: Sequence[Standing], policy: Policy) -> Sequence[Standing]:
        self.looks += len(sites)
        answers = []
        for standing in sites:
            site = self.sites[standing.site_id]
            due = int(site.next_due < self.now)
            adhoc = sum(moment < self.now for moment in site.adhoc_at)
            last_access = self.now - site.idle
            look = Look(due=due, adhoc=adhoc, last_access=last_access)
            tier = policy.tier_at(last_access, self.now).name
            site.standing = standing.after_look(look, tier, self.now)
            answers.append(site.standing)
        return answers

    def begin(self, chosen: Chosen, now: float) -> bool:
        site = self.sites[chosen.site.site_id]
        assert chosen.site.site_id not in self.under_way, "it would overlap itself"
        assert site.enabled, "it is switched off"
        site.waits.append(site.standing.waits(now))
        site.standing = site.standing.after_start(now, whole=chosen.script == CRON)
        site.runs.append((now, now + site.seconds, chosen.script))
        self.under_way[chosen.site.site_id] = now + site.seconds
        self.most_together = max(self.most_together, len(self.under_way))
        servers = [self.sites[one].standing.server_id for one in self.under_way]
        self.most_on_server = max(self.most_on_server, *(servers.count(one) for one in servers))
        return True

    def collect(self) -> int:
        ended = [one for one, moment in self.under_way.items() if moment <= self.now]
        for one in ended:
            moment, site = self.under_way.pop(one), self.sites[one]
            site.standing = site.standing.after_end(site.outcome, "", site.seconds, moment)
            if site.outcome is Outcome.OK:
                script = site.runs[-1][2]
                site.adhoc_at = [at for at in site.adhoc_at if at >= site.runs[-1][0]]
                if script == CRON:
                    site.next_due = moment + site.due_every
        return len(ended)

    def go_on(self, seconds: float, step: float = 2.0) -> None:
        until = self.now + seconds
        while self.now < until:
            self.scheduler.step()
            self.now += step

    def largest_gap(self) -> float:
        """Return how long a site was waiting at most, those that wait still included."""
        enabled = [site for site in self.sites.values() if site.enabled]
        return max(max([*site.waits, site.standing.waits(self.now)]) for site in enabled)


def policy(strategy: str = "due", together: int = 3, per_server: int = 4) -> Policy:
    chosen = CronSettings(strategy=strategy, together=together, per_server=per_server)  # type: ignore[arg-type]
    return policy_of(chosen)


@pytest.mark.parametrize("strategy", [one.value for one in Strategy])
@pytest.mark.parametrize("count", [1, 2, 5, 16, 17, 18, 34, 40])
def test_every_site_is_run_within_the_promised_gap_whatever_their_number(
    count: int, strategy: str
) -> None:
    fleet = Simulation(count, policy(strategy, together=4), seconds=2.0)
    fleet.sites[1].enabled = False
    fleet.go_on(2 * HOUR)
    assert fleet.sites[1].runs == []
    if count > 1:
        assert fleet.largest_gap() <= ACTIVE.gap
        assert min(len(site.runs) for site in list(fleet.sites.values())[1:]) >= 2 * HOUR / 300
    assert fleet.most_together <= 4


def test_500_sites_of_all_tiers_are_run_within_what_is_promised_to_each() -> None:
    fleet = Simulation(500, policy(together=4), seconds=0.5)
    for number, site in fleet.sites.items():
        site.idle = 0 if number <= 50 else HOUR * 24 if number <= 250 else HOUR * 24 * 30
        site.enabled = number % 100 != 0
    fleet.go_on(3 * HOUR, step=5.0)
    promised = {0: ACTIVE.gap, HOUR * 24: QUIET.gap, HOUR * 24 * 30: DORMANT.gap}
    for site in fleet.sites.values():
        if site.enabled:
            assert max([*site.waits, site.standing.waits(fleet.now)]) <= promised[site.idle]
        else:
            assert site.runs == []
    assert fleet.most_together <= 4 and fleet.most_on_server <= 4


def test_the_runs_of_quiet_sites_are_spread_over_the_time() -> None:
    fleet = Simulation(180, policy(together=50, per_server=50), idle=2 * HOUR)
    fleet.go_on(QUIET.every)
    minutes = []
    for _minute in range(int(QUIET.every / 60)):
        before = sum(len(site.runs) for site in fleet.sites.values())
        fleet.go_on(60)
        minutes.append(sum(len(site.runs) for site in fleet.sites.values()) - before)
    assert max(minutes) <= 3 * 180 * 60 / QUIET.every, minutes


def test_sites_that_hang_hold_up_no_others() -> None:
    fleet = Simulation(40, policy(together=4), seconds=1.0)
    for number in (3, 4, 5, 6, 7, 8):
        fleet.sites[number].seconds = 1800.0
        fleet.sites[number].outcome = Outcome.TIMEOUT
    fleet.go_on(2 * HOUR)
    at_first, later = START + 1800, START + 2 * HOUR
    for number, site in fleet.sites.items():
        if 3 <= number <= 8:
            assert site.standing.failed > 0 and site.standing.waits(fleet.now) > HOUR
            continue
        starts = [begun for begun, _ended, _script in site.runs if at_first <= begun <= later]
        assert max(b - a for a, b in pairwise(starts)) <= ACTIVE.gap


def test_a_cron_that_fails_each_time_is_tried_ever_more_seldom_and_is_never_served() -> None:
    fleet = Simulation(3, policy())
    fleet.sites[2].outcome = Outcome.FAILED
    fleet.go_on(12 * HOUR, step=5)
    starts = [begun for begun, _ended, _script in fleet.sites[2].runs]
    pauses = [b - a for a, b in pairwise(starts)]
    assert pauses[0] < 200 and pauses[-1] >= HOUR and len(starts) < 25
    assert fleet.sites[2].standing.waits(fleet.now) == 12 * HOUR
    assert len(fleet.sites[1].runs) > 300
    fleet.sites[2].outcome = Outcome.OK
    fleet.go_on(2 * HOUR, step=5)
    assert fleet.sites[2].standing.failures == 0
    assert fleet.sites[2].standing.waits(fleet.now) <= ACTIVE.gap


def test_nothing_due_starts_nothing_and_keeps_the_promise() -> None:
    fleet = Simulation(5, policy(), due_every=10 * HOUR)
    for site in fleet.sites.values():
        site.next_due = START + 5 * HOUR
    fleet.go_on(HOUR)
    assert all(site.runs == [] for site in fleet.sites.values())
    assert fleet.largest_gap() <= ACTIVE.gap


def test_an_ad_hoc_task_alone_is_run_by_its_own_script_soon_also_on_a_quiet_site() -> None:
    fleet = Simulation(5, policy(), idle=2 * HOUR)
    fleet.go_on(HOUR)
    site = fleet.sites[3]
    site.next_due = fleet.now + HOUR
    fleet.go_on(60)
    site.runs.clear()
    site.adhoc_at = [fleet.now]
    fleet.go_on(90)
    assert [script for _begun, _ended, script in site.runs] == [ADHOC]


def test_many_ad_hoc_tasks_do_not_keep_the_others_from_their_turn() -> None:
    fleet = Simulation(3, policy(), idle=2 * HOUR)
    fleet.go_on(HOUR)
    site = fleet.sites[2]
    for _minute in range(60):
        site.adhoc_at.append(fleet.now)
        fleet.go_on(60)
    whole = [begun for begun, _ended, script in site.runs if script == CRON]
    assert max(b - a for a, b in pairwise(whole)) <= QUIET.gap


@pytest.mark.parametrize("jump", [-5 * HOUR, 5 * HOUR, -40 * 24 * HOUR])
@pytest.mark.parametrize("strategy", [one.value for one in Strategy])
def test_a_clock_that_jumps_stops_no_site(strategy: str, jump: float) -> None:
    fleet = Simulation(17, policy(strategy))
    fleet.sites[4].outcome = Outcome.FAILED
    fleet.go_on(HOUR)
    fleet.now += jump
    fleet.under_way.clear()
    for site in fleet.sites.values():
        site.standing = replace(site.standing, running=False)
        site.next_due = fleet.now
        site.runs.clear()
    fleet.sites[4].outcome = Outcome.OK
    fleet.go_on(2 * HOUR)
    for site in fleet.sites.values():
        starts = [begun for begun, _ended, _script in site.runs]
        assert len(starts) >= 20
        assert max(b - a for a, b in pairwise(starts[1:])) <= ACTIVE.gap


@pytest.mark.parametrize("strategy", [one.value for one in Strategy])
def test_sites_come_and_go_in_the_middle_of_a_round(strategy: str) -> None:
    fleet = Simulation(17, policy(strategy))
    fleet.go_on(30)
    gone = fleet.sites.pop(5)
    fleet.under_way.pop(5, None)
    fleet.sites[99] = Simulated(Standing(99, "s99", 1, fleet.now), next_due=fleet.now)
    before = len(gone.runs)
    fleet.go_on(HOUR)
    assert len(gone.runs) == before
    assert len(fleet.sites[99].runs) >= 10
    assert fleet.largest_gap() <= ACTIVE.gap


def test_round_robin_takes_one_after_the_other() -> None:
    fleet = Simulation(17, policy("round_robin"), seconds=15.0)
    fleet.go_on(HOUR)
    for site in fleet.sites.values():
        del site.runs[:-1]
    fleet.go_on(3 * HOUR)
    counts = {len(site.runs) for site in fleet.sites.values()}
    assert max(counts) - min(counts) <= 1 and min(counts) > 100
    pauses = [
        b - a
        for site in fleet.sites.values()
        for a, b in pairwise([begun for begun, _ended, _script in site.runs])
    ]
    assert max(pauses) - min(pauses) <= 17 * 15 / 3


def test_the_lowest_gap_takes_who_was_not_run_for_longest() -> None:
    fleet = Simulation(34, policy("lowest_gap"), seconds=15.0, idle=0.0)
    fleet.go_on(2 * HOUR)
    for site in fleet.sites.values():
        starts = [begun for begun, _ended, _script in site.runs]
        pauses = [b - a for a, b in pairwise(starts)]
        assert max(pauses) <= 34 * 15 / 3 + 62


def test_no_more_run_on_one_server_than_it_takes() -> None:
    fleet = Simulation(40, policy(together=10, per_server=2), seconds=20.0)
    fleet.go_on(HOUR)
    assert fleet.most_on_server == 2
    assert fleet.most_together == 4


def test_a_site_that_stands_still_for_a_reason_is_not_run() -> None:
    tier = Tier("active", None, 60, 60, 300)
    site = Standing(1, "a", 1, START).after_look(
        Look(due=3, obstacle="cron is switched off"), tier.name, START
    )
    assert site.obstacle and site.served is None
    fleet = Simulation(1, policy())
    fleet.sites[1].standing = replace(site, looked=START + 10)
    assert fleet.scheduler.more() == 0


def after_a_run(site: Standing, now: float, *, cut: bool = False) -> Standing:
    begun = site.after_start(now, whole=True)
    return begun.after_end(Outcome.OK, "", 1.0, now + 1, cut=cut)


def test_what_a_whole_run_passes_over_is_parked_until_plugins_change() -> None:
    site = Standing(1, "a", 1, START).after_look(Look(due=3, signature="x"), "active", START)
    site = after_a_run(site, START)
    seen = Look(due=0, signature="x", left_alone=("a", "b"))
    parked = site.after_look(seen, "active", START + 60)
    assert (parked.parked, parked.parked_under) == (("a", "b"), "x")
    # The next look learns nothing: no run was whole since.
    later = parked.after_look(Look(signature="y", left_alone=("a",)), "active", START + 120)
    assert (later.parked, later.parked_under) == (("a", "b"), "x")
    again = after_a_run(later, START + 120)
    assert again.after_look(Look(signature="y"), "active", START + 180).parked == ()


def test_what_is_parked_is_tried_again_after_an_hour_and_when_plugins_change() -> None:
    site = Standing(1, "a", 1, START).after_look(Look(due=3, signature="x"), "active", START)
    seen = Look(due=0, signature="x", left_alone=("a",))
    parked = after_a_run(site, START).after_look(seen, "active", START + 60)
    assert parked.parked_at_moment(START + 120, "x") == ("a",)
    assert parked.parked_at_moment(START + 120, "y") == ()
    assert parked.parked_at_moment(START + 2 * HOUR, "x") == ()
    assert parked.parked_at_moment(START - HOUR, "x") == ()


def test_a_database_that_was_restored_since_the_last_run_teaches_nothing() -> None:
    site = Standing(1, "a", 1, START).after_look(Look(due=3, signature="x"), "active", START)
    seen = Look(due=3, signature="x", left_alone=("a", "b", "c"), saw_whole_run=False)
    restored = after_a_run(site, START).after_look(seen, "active", START + 60)
    assert (restored.parked, restored.due) == ((), 3)


@pytest.mark.parametrize(("cut", "signature"), [(True, "x"), (False, "y")])
def test_nothing_is_learnt_from_a_run_that_was_cut_short_or_met_a_change(
    cut: bool, signature: str
) -> None:
    site = Standing(1, "a", 1, START).after_look(Look(due=3, signature="x"), "active", START)
    site = after_a_run(site, START, cut=cut)
    seen = Look(signature=signature, left_alone=("a",))
    assert site.after_look(seen, "active", START + 60).parked == ()
