"""The policy of the scheduler, as the settings have it."""

from __future__ import annotations

import os

from vmoodle.errors import InvalidInput
from vmoodle.scheduler.cron.choice import Policy, Strategy, Tier
from vmoodle.settings import CronSettings

LEAST_TOGETHER = 3
"""One place for a site that hangs, one for a site nobody knows yet, one for all others."""
LOOK_SECONDS = 60.0


def policy(chosen: CronSettings) -> Policy:
    """Return the policy; raise InvalidInput `settings.cron.gap` for a promise nobody can keep."""
    tiers = (
        Tier("active", chosen.active_minutes * 60, 60, LOOK_SECONDS, chosen.active_gap),
        Tier(
            "quiet", chosen.quiet_days * 86400, chosen.quiet_every, LOOK_SECONDS, chosen.quiet_gap
        ),
        Tier("dormant", None, chosen.dormant_every, 5 * LOOK_SECONDS, chosen.dormant_gap),
    )
    for tier in tiers:
        if tier.gap < tier.every + tier.look_every:
            raise InvalidInput(
                "settings.cron.gap",
                f"cron.{tier.name}_gap is {tier.gap:g} seconds, but such a site is looked at every "
                f"{tier.look_every:g} and run every {tier.every:g} seconds.",
                f"Promise at least {tier.every + tier.look_every:g} seconds.",
            )
    # A run waits for its database half of the time.
    together = chosen.together or 2 * (os.cpu_count() or 1)
    return Policy(
        tiers, max(LEAST_TOGETHER, together), chosen.per_server, Strategy(chosen.strategy)
    )
