"""Keep cron out of a site while it is upgraded, whoever runs it.

The scheduler leaves a site alone that an operation holds, and a run of its own has ended by then.
A crontab's lines know of no operation: Moodle's page of maintenance keeps a new one from beginning,
and one that is between two tasks ends when it finds the tasks changed (`scheduledtaskreset`;
lib/classes/cron.php, 4.5 and 5.1).
"""

from __future__ import annotations

import time
from pathlib import Path

from vmoodle.lifecycle.lost import connected
from vmoodle.moodle.care.maintenance import Page, put_page, read_page
from vmoodle.moodle.config.settings import CORE, SettingName, read_settings, set_settings
from vmoodle.moodle.upgrades.site_checks import tasks_at_work
from vmoodle.operations.plan import StepContext
from vmoodle.registry import operations, sites

WAIT_SECONDS = 120.0
"""How long tasks at work are waited for; those that Moodle's own cron left behind never end."""

_LATE_SECONDS = 60.0
_LOOK_SECONDS = 0.5
_RESET = SettingName(CORE, "scheduledtaskreset")
_PAGE = "<!DOCTYPE html><!-- {mark} --><title>Upgrade</title><p>This site is being upgraded.</p>\n"


def wait_for_tasks(context: StepContext) -> None:
    """Wait until no task of the site is at work, while it still serves."""
    left = _wait(context, WAIT_SECONDS, until=0)
    context.keep({"tasks": left})


def keep_out(context: StepContext) -> None:
    """Let no cron begin any more, one that is under way end, and its task at work first."""
    show_page(context)
    kept = operations.find(context.operation_id).result
    with connected(context.installation, sites.find(context.site), read_only=False) as connection:
        if "tasks_reset" not in kept:
            context.keep({"tasks_reset": read_settings(connection, [_RESET])[_RESET].stored})
        # Later than any run that has begun.
        set_settings(connection, {_RESET: str(int(time.time()) + 1)}, create=True, log=False)
    _wait(context, _LATE_SECONDS, until=int(kept.get("tasks", 0)))


def show_page(context: StepContext) -> None:
    """Let no cron begin; a page that is there already does the same, and stays."""
    dataroot = Path(sites.find(context.site).dataroot)
    if read_page(dataroot) is None:
        put_page(dataroot, Page(_PAGE.format(mark=_mark(context)).encode(), 0o644))


def let_in(context: StepContext) -> None:
    """Take the page away; one that somebody else put there stays."""
    dataroot = Path(sites.find(context.site).dataroot)
    page = read_page(dataroot)
    if page is not None and _mark(context).encode() in page.content:
        put_page(dataroot, None)


def as_before(context: StepContext) -> None:
    """Take the page away, and let the site's database be what it was to the last row."""
    site, kept = sites.find(context.site), operations.find(context.operation_id).result
    if "tasks_reset" in kept:
        with connected(context.installation, site, read_only=False) as connection:
            set_settings(connection, {_RESET: kept["tasks_reset"]}, create=True, log=False)
    let_in(context)


def _wait(context: StepContext, seconds: float, *, until: int) -> int:
    """Wait until no more tasks than that are at work; return how many there are in the end."""
    site = sites.find(context.site)
    limit = time.monotonic() + seconds
    told = False
    while True:
        with connected(context.installation, site) as connection:
            at_work = tasks_at_work(connection)
        if at_work <= until:
            return at_work
        if time.monotonic() > limit:
            context.say(f"{at_work} task(s) count as at work and do not end: going on")
            return at_work
        if not told:
            context.say(f"waiting for {at_work} task(s) at work")
            told = True
        time.sleep(_LOOK_SECONDS)


def _mark(context: StepContext) -> str:
    return f"VMoodle, operation {context.operation_id}"
