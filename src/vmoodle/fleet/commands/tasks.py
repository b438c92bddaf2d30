"""Scheduled tasks of sites: when they ran, which fail, and one run now."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Annotated, Self

from pydantic import Field, model_validator

from vmoodle.engines.protocol import SiteConnection
from vmoodle.errors import NotFound
from vmoodle.fleet.command import Command, Comparison, Effect
from vmoodle.fleet.parameters import Parameters, Search
from vmoodle.fleet.result import Changed, Result, Scalar, Table
from vmoodle.fleet.target_site import TargetSite
from vmoodle.moodle.scripts.scheduled_tasks import (
    SCRIPT,
    ScheduledTask,
    checked_class,
    checked_pattern,
    failing_tasks,
    find_task,
    fits,
    near_task,
    refuse_cron_off,
    said_by,
    scheduled_tasks,
)


def _names(site: TargetSite) -> list[str]:
    with site.connect() as connection:
        return [task.name for task in scheduled_tasks(connection)]


class TaskPatterns(Parameters):
    """Tasks by their classes."""

    task: list[str] = Field(
        default_factory=list, description="Only these: a class, or a part of it with *."
    )

    @model_validator(mode="after")
    def _are_patterns(self) -> Self:
        for one in self.task:
            checked_pattern(one)
        return self


class OneTask(Parameters):
    """A task, and how it is run."""

    task: Annotated[str, Search(_names)] = Field(
        description=r"The class of a scheduled task, as \core\task\session_cleanup_task."
    )
    force: bool = Field(default=False, description="Also where the site's cron is switched off.")

    @model_validator(mode="after")
    def _is_class(self) -> Self:
        checked_class(self.task)
        return self


class ListTasks(Command[TaskPatterns]):
    """Tell."""

    name = "task.list"
    title = "Tell when scheduled tasks ran last and run next; fail delay, switched off."
    effect = Effect.READS
    model = TaskPatterns
    comparison = Comparison.MERGED

    def run(self, site: TargetSite) -> Result:
        """Return the tasks as the site's table has them; times in UTC."""
        with site.connect() as connection:
            tasks = scheduled_tasks(connection, self.given.task)
        columns = ("task", "schedule", "last_run", "next_run", "fail_delay", "off", "running_since")
        return Table(
            columns,
            tuple(
                (
                    one.name, one.schedule, moment(one.last_run), moment(one.next_run),
                    one.fail_delay, one.disabled, moment(one.running_since),
                )
                for one in tasks
            ),
        )  # fmt: skip

    @classmethod
    def judge_reading(
        cls, given: TaskPatterns, answers: Mapping[str, Result], look: Callable[[], TargetSite]
    ) -> None:
        """Raise NotFound `task.unknown` for what no site has."""
        there = {
            str(row[0])
            for answer in answers.values()
            if isinstance(answer, Table)
            for row in answer.rows
        }
        for pattern in given.task:
            if not any(fits(name, pattern) for name in there):
                with look().connect() as connection:
                    hint = near_task(pattern, scheduled_tasks(connection))
                message = f"None of the sites has a scheduled task {pattern}."
                raise NotFound("task.unknown", message, hint)


class ListFailingTasks(Command[Parameters]):
    """Tell which fail."""

    name = "task.failing"
    title = "Tell which scheduled and ad hoc tasks failed when they ran last."
    effect = Effect.READS
    comparison = Comparison.MERGED

    def run(self, site: TargetSite) -> Result:
        """Return a row for each; ad hoc tasks of one class are one row with their number."""
        with site.connect() as connection:
            found = failing_tasks(connection)
        return Table(
            ("kind", "task", "count", "fail_delay", "next_run"),
            tuple((f.kind, f.name, f.count, f.fail_delay, moment(f.next_run)) for f in found),
        )


class RunTask(Command[OneTask]):
    """Run one."""

    name = "task.run"
    title = "Run a scheduled task now, by Moodle's own scheduled_task.php."
    effect = Effect.WRITES
    model = OneTask
    comparison = Comparison.GROUPED
    scripts = True
    timeout = 3600
    # A site that was switched off sends no mail and calls nobody.
    states = frozenset({"enabled"})

    def run(self, site: TargetSite) -> Changed:
        """Run it to its end, and return the last that it said of itself."""
        with site.connect() as connection:
            task = self._task(connection, site)
        words = [f"--execute={task.name}", *(["--force"] if self.given.force else [])]
        said = said_by(site.run_script(SCRIPT, words), task)
        return Changed(Table(("result", "said"), (("complete", said or None),)))

    def dry_run(self, site: TargetSite) -> Result:
        """Return that it would run; raise where it is not there, or cron is switched off."""
        with site.connect() as connection:
            self._task(connection, site)
        return Scalar("would run")

    def _task(self, connection: SiteConnection, site: TargetSite) -> ScheduledTask:
        task = find_task(connection, checked_class(self.given.task))
        if not self.given.force:
            refuse_cron_off(connection, site.forced)
        return task


def moment(seconds: int | None) -> str | None:
    """Return a time in UTC as a person reads it, None for none."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M}" if seconds else None
