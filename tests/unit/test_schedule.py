"""Moodle's task schedules: which are random, and when they come next."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from trees import on_real_trees
from vmoodle.moodle.code.schedule import NEVER, Schedule, draw, random_tasks, read_tasks
from vmoodle.moodle.code.tree import MoodleTree

# A Wednesday.
NOW = datetime(2026, 11, 25, 10, 30, 15, tzinfo=UTC)

TASKS = r"""<?php
namespace core;
use tool_x\task\short;
// 'minute' => 'R' in a comment
$tasks = array(
    array('classname' => 'core\task\one', 'blocking' => 0, 'minute' => 'R', 'hour' => 'R'),
    ['classname' => '\\tool_x\\task\\two', 'minute' => 5, "hour" => '*/2', 'dayofweek' => "R"],
    [
        'classname' => short::class,
        'minute' => 'R',
        'disabled' => !isset($CFG->x),
        'extra' => ['minute' => 'no'],
    ],
    ['classname' => tool_x\task\last::class, 'hour' => 'R', 'day' => '*'],
);
"""


def at(moment: datetime) -> int:
    return int(moment.timestamp())


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ("* * * * *", datetime(2026, 11, 25, 10, 31, tzinfo=UTC)),
        ("30 10 * * *", datetime(2026, 11, 26, 10, 30, tzinfo=UTC)),
        ("31 10 * * *", datetime(2026, 11, 25, 10, 31, tzinfo=UTC)),
        ("0 */6 * * *", datetime(2026, 11, 25, 12, 0, tzinfo=UTC)),
        ("5/20 * * * *", datetime(2026, 11, 25, 10, 45, tzinfo=UTC)),
        ("0 3 * * 0", datetime(2026, 11, 29, 3, 0, tzinfo=UTC)),
        ("0 3 * * 7", datetime(2026, 11, 29, 3, 0, tzinfo=UTC)),
        ("0 3 * * 1-5", datetime(2026, 11, 26, 3, 0, tzinfo=UTC)),
        ("0 3 1 * *", datetime(2026, 12, 1, 3, 0, tzinfo=UTC)),
        ("0 3 1 * 5", datetime(2026, 11, 27, 3, 0, tzinfo=UTC)),
        ("15,45 2 29 2 *", datetime(2028, 2, 29, 2, 15, tzinfo=UTC)),
    ],
)
def test_the_next_run_follows_the_schedule(fields: str, expected: datetime) -> None:
    minute, hour, day, month, dayofweek = fields.split()
    assert Schedule(minute, hour, day, month, dayofweek).next_run(NOW) == at(expected)


@pytest.mark.parametrize("minute", ["60", "x", "", "5-", "*/0", "R"])
def test_a_schedule_that_means_nothing_never_runs(minute: str) -> None:
    assert Schedule(minute, "*", "*", "*", "*").next_run(NOW) == NEVER


def test_the_next_run_is_in_the_sites_time_zone() -> None:
    local = NOW.astimezone(ZoneInfo("Asia/Tokyo"))
    assert Schedule("0", "20", "*", "*", "*").next_run(local) == at(
        datetime(2026, 11, 25, 11, 0, tzinfo=UTC)
    )


def test_tasks_are_read_without_php() -> None:
    assert read_tasks(TASKS) == [
        {"classname": r"core\task\one", "blocking": "0", "minute": "R", "hour": "R"},
        {"classname": r"\tool_x\task\two", "minute": "5", "hour": "*/2", "dayofweek": "R"},
        {"classname": r"tool_x\task\short", "minute": "R"},
        {"classname": r"tool_x\task\last", "hour": "R", "day": "*"},
    ]


def test_what_is_no_list_of_tasks_has_none() -> None:
    assert read_tasks("<html>") == []
    assert read_tasks("<?php $tasks = ") == []


def test_a_drawn_value_is_a_number_in_its_range() -> None:
    limits = {"minute": 60, "hour": 24, "dayofweek": 7}
    for field, limit in limits.items():
        assert all(0 <= int(draw(field)) < limit for _ in range(100))
    assert len({draw("minute") for _ in range(200)}) > 20


@on_real_trees
def test_every_r_of_a_real_tree_is_found(real_tree: Path) -> None:
    tree = MoodleTree.open(real_tree)
    found = random_tasks(tree)
    written = sum(
        len(re.findall(r"=>\s*'R'", path.read_text()))
        for path in tree.webroot.rglob("db/tasks.php")
    )
    assert len(found) == written > 50
    assert (r"\core\task\tag_cron_task", "minute") in found
    assert (r"\customfield_number\task\cron", "minute") in found
