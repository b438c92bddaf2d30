"""Which sites' cron runs next: tiers, strategies and budgets, as functions of a moment.

A site's runs and looks lie on a grid of its own, so that those of a fleet are spread over the time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from vmoodle.scheduler.cron.standing import LONGEST_BACKOFF, Standing, is_over

CRON = "admin/cli/cron.php"
ADHOC = "admin/cli/adhoc_task.php"
_GOLDEN = 0.6180339887498949


class Strategy(StrEnum):
    """How it is decided whose turn it is."""

    DUE = "due"
    """Who has something due, first who has waited for the largest part of what was promised."""
    ROUND_ROBIN = "round_robin"
    """One after the other, whether something is due or not."""
    LOWEST_GAP = "lowest_gap"
    """Whose last run is longest ago, whether something is due or not."""


@dataclass(frozen=True)
class Tier:
    """How sites that are used so much are treated; all in seconds.

    `within`: somebody was there no longer ago, None for all others. `every`: a run of cron.php at
    most that often, a look at the database every `look_every`. `gap` is promised.
    """

    name: str
    within: float | None
    every: float
    look_every: float
    gap: float


@dataclass(frozen=True)
class Policy:
    """What an administrator decided."""

    tiers: tuple[Tier, ...]
    together: int
    """Runs on this node at the same time."""
    per_server: int
    """Runs on one database server at the same time."""
    strategy: Strategy = Strategy.DUE

    def tier_at(self, last_access: float | None, now: float) -> Tier:
        """Return the tier of a site where somebody was last at a moment."""
        for tier in self.tiers:
            if tier.within is None or (
                last_access is not None and now - last_access <= tier.within
            ):
                return tier
        return self.tiers[-1]

    def tier(self, name: str) -> Tier:
        """Return the tier of a name; who was never looked at gets the first."""
        return next((tier for tier in self.tiers if tier.name == name), self.tiers[0])

    @property
    def for_slow(self) -> int:
        """How many of the runs may be of sites that fail or are slow: the others keep the rest."""
        return max(1, self.together // 3)


@dataclass(frozen=True)
class Chosen:
    """A site whose turn it is, and the script its tasks need."""

    site: Standing
    script: str


def is_to_be_looked_at(site: Standing, policy: Policy, now: float) -> bool:
    """Tell whether it is time to ask a site's database what is due."""
    return not site.running and _has_come(site, site.looked, policy.tier(site.tier).look_every, now)


def script_for(site: Standing, policy: Policy, now: float) -> str | None:
    """Return the script that a site needs at a moment, None where it is not its turn."""
    if site.running or site.obstacle or now < site.not_before <= now + LONGEST_BACKOFF:
        return None
    may_run = _has_come(site, site.whole, policy.tier(site.tier).every, now)
    if policy.strategy is not Strategy.DUE:
        return CRON if may_run else None
    if site.due and may_run:
        return CRON
    # Somebody waits for these: a course is copied, a message sent.
    return ADHOC if site.adhoc else None


def choose(
    sites: Iterable[Standing],
    policy: Policy,
    now: float,
    *,
    last: int = 0,
) -> list[Chosen]:
    """Return whose turn it is, as many as the budgets allow; `last` is whose turn was last."""
    known = list(sites)
    running = [site for site in known if site.running and site.here]
    free = policy.together - len(running)
    slow = policy.for_slow - sum(_is_slow(site, policy) for site in running)
    # Who never came to an end may hang: one place is kept for those that do not.
    unsure = policy.together - 1 - sum(_is_unsure(site, policy) for site in running)
    on_server = Counter(site.server_id for site in known if site.running)
    chosen: list[Chosen] = []
    for site, script in _in_order(known, policy, now, last):
        if len(chosen) >= free:
            break
        is_slow, is_unsure = _is_slow(site, policy), _is_unsure(site, policy)
        if on_server[site.server_id] >= policy.per_server:
            continue
        if (is_slow and slow < 1) or (is_unsure and unsure < 1):
            continue
        on_server[site.server_id] += 1
        slow, unsure = slow - is_slow, unsure - is_unsure
        chosen.append(Chosen(site, script))
    return chosen


def _in_order(
    sites: Sequence[Standing], policy: Policy, now: float, last: int
) -> list[tuple[Standing, str]]:
    wanted = [
        (site, script) for site in sites if (script := script_for(site, policy, now)) is not None
    ]
    orders: dict[Strategy, Callable[[Standing], tuple[float, ...]]] = {
        Strategy.DUE: lambda site: (-site.waits(now) / policy.tier(site.tier).gap, site.site_id),
        Strategy.ROUND_ROBIN: lambda site: (site.site_id <= last, site.site_id),
        Strategy.LOWEST_GAP: lambda site: (
            (site.whole or 0.0) if is_over(site.whole, now) else 0.0, site.site_id,
        ),
    }  # fmt: skip
    order = orders[policy.strategy]
    return sorted(wanted, key=lambda one: order(one[0]))


def _is_slow(site: Standing, policy: Policy) -> bool:
    return site.failures > 0 or site.seconds > policy.tiers[0].gap / 2


def _is_unsure(site: Standing, policy: Policy) -> bool:
    return site.ended is None or _is_slow(site, policy)


def _has_come(site: Standing, last: float | None, every: float, now: float) -> bool:
    """Tell whether a point of the site's grid lies between the last time and now."""
    if last is None or last > now:
        return True
    offset = (site.site_id * _GOLDEN) % 1 * every
    return (now - offset) // every > (last - offset) // every
