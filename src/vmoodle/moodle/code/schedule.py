"""When Moodle's scheduled tasks run: the times in db/tasks.php, and the next run of a schedule."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from vmoodle.moodle.code.components import plugins
from vmoodle.moodle.code.tree import MoodleTree
from vmoodle.moodle.php.source import Token, tokens

FIELDS = ("minute", "hour", "day", "month", "dayofweek")
_RANGES = {
    "minute": (0, 59),
    "hour": (0, 23),
    "day": (1, 31),
    "month": (1, 12),
    "dayofweek": (0, 7),
}
# What Moodle draws for R (set_minute, set_hour, set_day_of_week; lib/classes/task/
# scheduled_task.php, 3.6 to 5.1); other fields have no R.
_DRAWN = {"minute": 60, "hour": 24, "dayofweek": 7}
_PART = re.compile(r"(?:\*|(\d+)(?:-(\d+))?)(?:/(\d+))?")
# Moodle gives up after eight years, when the 29th of February has surely come.
_DAYS = 8 * 366
NEVER = 7952342400
"""The time Moodle writes for a task that never runs (NEVER_RUN_TIME, 4.1 to 5.1), unix seconds."""


@dataclass(frozen=True)
class Schedule:
    """Hold the five fields of a task's schedule, as Moodle writes them."""

    minute: str
    hour: str
    day: str
    month: str
    dayofweek: str

    def next_run(self, after: datetime) -> int:
        """Return the first time after a moment, in its time zone, as unix seconds; else NEVER.

        As get_next_scheduled_time() has it: where both day and weekday are given, either counts.
        """
        hours, minutes = _numbers("hour", self.hour), _numbers("minute", self.minute)
        days, months = _numbers("day", self.day), _numbers("month", self.month)
        weekdays = {number % 7 for number in _numbers("dayofweek", self.dayofweek)}
        if not (hours and minutes and days and months and weekdays):
            return NEVER
        midnight = after.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
        for ahead in range(_DAYS):
            day = midnight + timedelta(days=ahead)
            if day.month not in months or not self._on(day, days, weekdays):
                continue
            for hour in hours:
                if not ahead and hour < after.hour:
                    continue
                for minute in minutes:
                    moment = day.replace(hour=hour, minute=minute)
                    if moment > after:
                        return int(moment.timestamp())
        return NEVER

    def _on(self, day: datetime, days: list[int], weekdays: set[int]) -> bool:
        of_month, of_week = day.day in days, day.isoweekday() % 7 in weekdays
        if self.dayofweek == "*":
            return of_month
        return of_week if self.day == "*" else of_month or of_week


def draw(field: str) -> str:
    """Return what Moodle writes for R in a field: a random minute, hour or day of the week."""
    return str(secrets.randbelow(_DRAWN[field]))


def random_tasks(tree: MoodleTree) -> frozenset[tuple[str, str]]:
    r"""Return the (class name, field) pairs for which the tree says R, plugins included.

    Class names are as `task_scheduled.classname` has them, such as `\core\task\tag_cron_task`.
    """
    found: set[tuple[str, str]] = set()
    for directory in (tree.webroot / "lib", *(plugin.path for plugin in plugins(tree))):
        found.update(_random_in(directory / "db" / "tasks.php"))
    return frozenset(found)


def _random_in(path: Path) -> Iterator[tuple[str, str]]:
    try:
        source = path.read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, NotADirectoryError):
        return
    if "'R'" not in source and '"R"' not in source:
        return
    for task in read_tasks(source):
        for field in _DRAWN:
            if task.get(field) == "R" and "classname" in task:
                yield "\\" + task["classname"].lstrip("\\"), field


def read_tasks(source: str) -> list[dict[str, str]]:
    """Return the plain values of each task a db/tasks.php declares; others are left out.

    `Some\\name::class` is its name. Constants and sums are no plain values.
    """
    found: list[dict[str, str]] = []
    task: dict[str, str] = {}
    aliases: dict[str, str] = {}
    stream = list(tokens(source))
    depth = 0
    for at, token in enumerate(stream):
        if token.text == "use" and token.kind == "name":
            name = stream[at + 1].text if at + 1 < len(stream) else ""
            aliases[name.rpartition("\\")[2]] = name
        elif token.text in ("[", "("):
            depth += 1
            if depth == 2:
                task = {}
        elif token.text in ("]", ")"):
            if depth == 2:
                found.append(task)
            depth -= 1
        elif depth == 2 and token.kind == "arrow":
            key, value = _text(stream, at - 1, aliases), _text(stream, at + 1, aliases)
            if key is not None and value is not None:
                task[key] = value
    return found


def _text(stream: list[Token], at: int, aliases: dict[str, str]) -> str | None:
    token = stream[at] if 0 <= at < len(stream) else Token("other", "")
    if token.kind == "string":
        return token.text[1:-1].replace("\\\\", "\\")
    if token.kind == "number":
        return token.text
    is_class = "".join(each.text for each in stream[at + 1 : at + 4]) == "::class"
    if token.kind == "name" and is_class:
        return aliases.get(token.text, token.text)
    return None


def _numbers(field: str, text: str) -> list[int]:
    """Return the numbers a field means, in order; none for what Moodle does not take."""
    low, high = _RANGES[field]
    found: set[int] = set()
    for part in text.replace(" ", "").split(","):
        match = _PART.fullmatch(part)
        if match is None:
            return []
        first = low if match[1] is None else int(match[1])
        # 5/10 means from 5 on, every 10.
        last = int(match[2]) if match[2] else first if match[1] and not match[3] else high
        step = int(match[3] or 1)
        if first < low or last > high or not step:
            return []
        found.update(range(first, last + 1, step))
    return sorted(found)
