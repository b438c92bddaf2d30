"""What is due on sites, asked of their databases, many at once; what stands against a run."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vmoodle.errors import InvalidInput, Unavailable, VMoodleError
from vmoodle.fleet.fan_out import Bounds, fan_out
from vmoodle.fleet.target_site import TargetSite
from vmoodle.fleet.target_sites import TargetSites
from vmoodle.moodle.care.maintenance import PAGE
from vmoodle.moodle.code.tree import MoodleTree
from vmoodle.moodle.code.versions import all_versions_hash
from vmoodle.moodle.cron.due import Due, ask_due
from vmoodle.scheduler.cron.choice import Policy
from vmoodle.scheduler.cron.standing import Look, Standing

if TYPE_CHECKING:
    from vmoodle.installation import Installation

TIMEOUT_SECONDS = 10.0
_TOGETHER, _PER_SERVER = 16, 8
# A server that did not answer is not asked again at once: each site would wait for it.
_PAUSE_SECONDS = 30.0
_HASH_SECONDS = 60.0
_OBSTACLE = 300

SWITCHED_OFF = "Its cron is switched off."
MAINTENANCE = "It is in maintenance mode."
UPGRADING = "It is being upgraded."
ON_PURPOSE = (SWITCHED_OFF, MAINTENANCE, UPGRADING)
"""What somebody has chosen: a site that waits for it is not late."""


class Lookout:
    """Asks sites what is due."""

    def __init__(self, installation: Installation) -> None:
        self._installation = installation
        self._codes: dict[Path, tuple[float, int, str]] = {}
        self._silent: dict[int, tuple[float, VMoodleError]] = {}

    def look(self, sites: Sequence[Standing], policy: Policy, now: float) -> list[Standing]:
        """Return how the sites stand after a look at them all."""
        by_id = {site.site_id: site for site in sites}
        lanes: dict[int, list[int]] = {}
        for site in sites:
            lanes.setdefault(site.server_id, []).append(site.site_id)

        def ask(target: TargetSite) -> Look:
            site = names[target.shortname]
            return self._ask(target, site, now)

        names = {site.shortname: site for site in sites}
        targets = TargetSites(self._installation, TIMEOUT_SECONDS, frozenset({"enabled"}))
        bounds = Bounds(_TOGETHER, _PER_SERVER, 2 * TIMEOUT_SECONDS)
        found: dict[int, Standing] = {}
        for batch in fan_out(targets.lanes(lanes, ask), bounds):
            for ended in batch:
                site = by_id[int(ended.key)]
                error = ended.error
                look = ended.value or Look(
                    due=site.due, adhoc=site.adhoc, oldest=site.oldest,
                    fail_delays=site.fail_delays, signature=site.signature,
                    obstacle=(error.message if error else "It gave no answer.")[:_OBSTACLE],
                )  # fmt: skip
                tier = site.tier if error else policy.tier_at(look.last_access, now).name
                found[site.site_id] = site.after_look(look, tier, now)
        return [found[site.site_id] for site in sites if site.site_id in found]

    def code(self, tree: Path) -> tuple[int, str]:
        """Return a tree's branch and the hash of its versions, read once a minute.

        The hash is empty where only PHP can tell it.
        """
        read, branch, versions = self._codes.get(tree, (0.0, 0, ""))
        if not branch or time.monotonic() - read > _HASH_SECONDS:
            code = MoodleTree.open(tree)
            branch = int(code.version.branch)
            try:
                versions = all_versions_hash(code)
            except InvalidInput as error:
                if error.code != "codebase.version.computed":
                    raise
                versions = ""
            self._codes[tree] = (time.monotonic(), branch, versions)
        return branch, versions

    def _ask(self, target: TargetSite, site: Standing, now: float) -> Look:
        until, error = self._silent.get(site.server_id, (0.0, None))
        if error is not None and time.monotonic() < until:
            raise error
        branch, versions = self.code(target.codebase)
        try:
            with target.connect(timeout=TIMEOUT_SECONDS) as connection:
                due = ask_due(
                    connection, now, branch=branch, parked=site.parked,
                    whole_run=site.complete if site.learns else None,
                )  # fmt: skip
        except Unavailable as error:
            if error.code == "engine.connect":
                self._silent[site.server_id] = (time.monotonic() + _PAUSE_SECONDS, error)
            raise
        stands = obstacle(due, target.dataroot, target.forced.get("", {}), versions, now)
        return Look(
            due=_worth_a_run(due, site, now),
            adhoc=due.adhoc,
            oldest=due.oldest_adhoc,
            fail_delays=due.fail_delays,
            last_access=due.last_access,
            signature=due.signature,
            left_alone=due.left_alone,
            saw_whole_run=due.saw_whole_run,
            obstacle=stands,
            excused=stands in ON_PURPOSE,
        )


def _worth_a_run(due: Due, site: Standing, now: float) -> int:
    """Return how many of the tasks that are due Moodle would run."""
    if site.learns and due.saw_whole_run and due.signature == site.signature:
        return max(0, due.scheduled - len(due.left_alone))
    return due.besides if site.parked_at_moment(now, due.signature) else due.scheduled


def obstacle(
    due: Due, dataroot: Path, forced: Mapping[str, object], versions: str, now: float
) -> str:
    """Return why Moodle would run nothing on a site, empty where it would."""
    enabled = due.cron_enabled
    if "cron_enabled" in forced:
        enabled = str(forced["cron_enabled"]).lower() not in ("", "0", "false")
    if not enabled:
        return SWITCHED_OFF
    if (dataroot / PAGE).exists():
        return MAINTENANCE
    if due.upgrade_until > now:
        return UPGRADING
    # Moodle compares the same two (moodle_needs_upgrading, lib/moodlelib.php), unless it is an
    # upgrade without an outage that is under way.
    if versions and not due.signature.endswith(f" {versions}"):
        return "It is to be upgraded: its code and its database are of different versions."
    return ""
