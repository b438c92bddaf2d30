"""A site's scheduled and ad hoc tasks: when they ran and will run, which fail, one run now."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from vmoodle.engines.protocol import Most, SiteConnection
from vmoodle.errors import Conflict, Failed, InvalidInput, NotFound, Refused
from vmoodle.moodle.config.settings import CORE, Forced, SettingName, read_settings
from vmoodle.moodle.scripts.script import CompletedScript
from vmoodle.near import did_you_mean, nearest

SCRIPT = "admin/cli/scheduled_task.php"

_CLASS = re.compile(r"\\?[A-Za-z_]\w*(?:\\[A-Za-z_]\w*)*")
_PATTERN = re.compile(r"[\w\\*?\[\]!-]+")
_CRON = SettingName(CORE, "cron_enabled")
# A Moodle has some 120 scheduled tasks; an ad hoc queue that stands still has many rows.
_MOST = Most(5_000, 5_000_000)
# Exit statuses of SCRIPT, 4.5 and 5.1, where a lock is another's.
_LOCKED = (129, 130)
_NOISE = re.compile(
    r"Execute scheduled task: |Scheduled task complete: |Scheduled task failed: |Debug info:"
    r"|Backtrace:|Debugging increased|\.\.\. (?:started|used) "
)


@dataclass(frozen=True)
class ScheduledTask:
    """One task of a site as its table has it; times are Unix's, None for never and at once."""

    name: str
    schedule: str
    last_run: int | None
    next_run: int | None
    fail_delay: int
    disabled: bool
    running_since: int | None


@dataclass(frozen=True)
class FailingTask:
    """A task whose last run failed; an ad hoc one has how many of its class do."""

    kind: str
    name: str
    fail_delay: int
    next_run: int | None
    count: int = 1


def checked_class(text: str) -> str:
    """Return a task's class as Moodle's table has it; raise InvalidInput `task.name`."""
    if not _CLASS.fullmatch(text.strip()):
        raise InvalidInput(
            "task.name",
            f"{text!r} is no class of a task.",
            r"Write it as \core\task\session_cleanup_task, in quotes; `vmoodle task list` has all.",
        )
    return "\\" + text.strip().lstrip("\\")


def checked_pattern(text: str) -> str:
    """Return a pattern of task classes; raise InvalidInput `task.name`."""
    if not _PATTERN.fullmatch(text):
        raise InvalidInput(
            "task.name",
            f"{text!r} names no task.",
            "Give a class or a part of it with * for the rest: '*cleanup*'.",
        )
    return text


def scheduled_tasks(
    connection: SiteConnection, patterns: Sequence[str] = ()
) -> list[ScheduledTask]:
    """Return the scheduled tasks by their classes, those that patterns name or all."""
    rows = connection.query(
        "SELECT classname, minute, hour, day, month, dayofweek, lastruntime, nextruntime,"
        " faildelay, disabled, timestarted FROM {task_scheduled} ORDER BY classname"
    )
    tasks = [
        ScheduledTask(
            str(name), " ".join(map(str, schedule)), last or None, next_ or None, int(fail or 0),
            bool(disabled), started or None,
        )
        for name, *schedule, last, next_, fail, disabled, started in rows
    ]  # fmt: skip
    return [one for one in tasks if not patterns or any(fits(one.name, p) for p in patterns)]


def failing_tasks(connection: SiteConnection) -> list[FailingTask]:
    """Return the tasks whose last run failed, scheduled ones first, ad hoc ones by their class."""
    scheduled = connection.query(
        "SELECT classname, faildelay, nextruntime FROM {task_scheduled}"
        " WHERE faildelay > 0 AND disabled = 0 ORDER BY classname"
    )
    ad_hoc = connection.read(
        "SELECT classname, MAX(faildelay), MIN(nextruntime), COUNT(*) FROM {task_adhoc}"
        " WHERE faildelay > 0 GROUP BY classname ORDER BY classname",
        most=_MOST,
    )
    return [
        *(FailingTask("scheduled", str(name), int(f), n or None) for name, f, n in scheduled),
        *(FailingTask("ad hoc", str(name), int(f), n or None, int(c)) for name, f, n, c in ad_hoc),
    ]


def find_task(connection: SiteConnection, name: str) -> ScheduledTask:
    """Return one task; raise NotFound `task.unknown` with those of near names."""
    tasks = scheduled_tasks(connection)
    for task in tasks:
        if task.name == name:
            return task
    raise NotFound(
        "task.unknown", f"The site has no scheduled task {name}.", near_task(name, tasks)
    )


def near_task(name: str, tasks: Iterable[ScheduledTask]) -> str:
    """Return the question whether a task of a near name was meant; a pattern has its wildcards."""
    known = {task.name: task.name.rpartition("\\")[2] for task in tasks}
    plain = name.replace("*", "")
    last = plain.rpartition("\\")[2]
    meant = [full for full, short in known.items() if short == last]
    meant += nearest(plain, known, alike=0.7)
    near = nearest(last, known.values(), alike=0.7)
    meant += [full for full, short in known.items() if short in near]
    return did_you_mean(list(dict.fromkeys(meant))[:3], "`vmoodle task list` has all.")


def fits(name: str, pattern: str) -> bool:
    """Tell whether a pattern means a task of that class."""
    # A backslash is no escape in these patterns, and the one in front may be left out.
    return any(fnmatchcase(one, pattern) for one in (name, name.lstrip("\\")))


def refuse_cron_off(connection: SiteConnection, forced: Forced | None) -> None:
    """Raise Refused `task.cron_off` where the site's cron is switched off."""
    value = read_settings(connection, [_CRON], forced)[_CRON].effective
    if value in ("", "0"):
        raise Refused(
            "task.cron_off",
            "The site's cron is switched off.",
            "The task can be forced to run nevertheless.",
        )


def said_by(done: CompletedScript, task: ScheduledTask) -> str:
    """Return what a run of a task said last, empty for nothing; raise where it did not go well.

    Raise Conflict `task.running`, Failed `task.failed`.
    """
    lines = [line.strip() for line in done.output_tail.splitlines() if line.strip()]
    if done.exit_status in _LOCKED:
        raise Conflict(
            "task.running",
            f"{task.name} is at work on the site, or its cron is just choosing tasks.",
            "Run it again when that has ended.",
        )
    failed = next((line for line in lines if line.startswith("Scheduled task failed: ")), None)
    if failed is not None or done.exit_status != 0:
        said = failed.partition("),")[2] if failed else (lines[-1] if lines else "it said nothing")
        raise Failed(
            "task.failed",
            f"{task.name} failed: {said.strip().rstrip('.') or 'it said nothing'}.",
            "The site's own list of task logs has all it said.",
        )
    told = [line for line in lines if not _NOISE.match(line)]
    return told[-1][:200] if told else ""
