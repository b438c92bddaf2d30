"""Check that cron keeps what is promised."""

from __future__ import annotations

import time

from vmoodle.doctor.finding import Found
from vmoodle.installation import Installation
from vmoodle.scheduler.cron import view


def nobody_waits_too_long(installation: Installation) -> Found:
    """No site's tasks wait longer than its tier's gap, where it is VMoodle that runs cron."""
    now = time.time()
    known = view.sites_of(installation, now)
    if not view.is_in_use(installation, known, now):
        return
    for one in known:
        if one.is_late:
            reason = one.site.obstacle or one.site.error
            yield (
                f"The cron of {one.site.shortname} waits for {round(one.waits)} seconds; promised "
                f"are {one.promised:g}. {reason}".rstrip(),
                f"vmoodle cron show {one.site.shortname}"
                if reason
                else "Let a `vmoodle worker` run, or `vmoodle cron once` each minute; raise "
                "cron.together where it runs and does not keep up.",
            )
