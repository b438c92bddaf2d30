"""The schedule of snapshots: each due time once, missed ones caught up by one run."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from vmoodle.errors import InvalidInput
from vmoodle.installation import Installation
from vmoodle.scheduler.times import Times

NIGHT = datetime(2026, 3, 2, 2, 30, tzinfo=UTC)
DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)


@pytest.mark.parametrize(
    ("text", "before", "after"),
    [
        ("hourly", datetime(2026, 3, 1, 12, 0, tzinfo=UTC), datetime(2026, 3, 1, 13, tzinfo=UTC)),
        ("daily 02:30", NIGHT - DAY, NIGHT),
        ("  Weekly MON 2:30 ", NIGHT - 7 * DAY, NIGHT),
        ("30 2 2 * *", datetime(2026, 2, 2, 2, 30, tzinfo=UTC), NIGHT),
    ],
)
def test_times_come_before_and_after_a_moment(text: str, before: datetime, after: datetime) -> None:
    times = Times.parse(text)
    assert times is not None
    moment = datetime(2026, 3, 1, 12, 10, tzinfo=UTC)
    assert times.until(moment) == before
    assert times.after(moment) == after
    assert times.until(after) == after
    assert times.until(after + timedelta(seconds=59)) == after
    assert times.after(after) > after


@pytest.mark.parametrize(
    "text",
    ["daily", "daily 24:00", "weekly 02:30", "weekly xxx 02:30", "* * * *", "0 0 30 2 *", "@daily",
     "61 * * * *", "* * * * * *", f"{'0,' * 100}0 2 * * *"],
)  # fmt: skip
def test_what_is_no_schedule_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        Times.parse(text)
    assert caught.value.code == "schedule.invalid"


@pytest.mark.parametrize("text", ["", "off", " OFF "])
def test_off_is_no_schedule(text: str) -> None:
    assert Times.parse(text) is None


@pytest.fixture(autouse=True)
def nightly(monkeypatch: pytest.MonkeyPatch) -> None:
    """The schedule of every test here, in place before the installation is opened."""
    monkeypatch.setenv("VMOODLE_SNAPSHOTS__SCHEDULE", "daily 02:30")


def end(operation: Any, state: str = "done", moment: datetime = NIGHT) -> None:
    """Let a run have ended."""
    rows = type(operation).objects.filter(id=operation.id)
    rows.update(state=state, finished_at=moment)


def carried_out(operation: Any) -> Any:
    """Let the run go through its steps; return it as it ended."""
    from vmoodle.installation import open_installation
    from vmoodle.lifecycle.kinds import KINDS
    from vmoodle.operations.workflow import Runner

    runner = Runner(open_installation(), KINDS)
    outcomes = [
        runner.forwards(operation.id, name, index)
        for index, name in enumerate(runner.plan(operation.id))
    ]
    runner.close(operation.id, outcomes[-1])
    operation.refresh_from_db()
    return operation


def test_a_run_that_failed_is_tried_again_after_a_pause_until_one_ends(
    installation: Installation,
) -> None:
    from vmoodle.scheduler.snapshots import order_due

    order_due(installation, NIGHT - MINUTE)
    first = order_due(installation, NIGHT)
    assert first is not None
    end(first, "reverted")
    assert order_due(installation, NIGHT + MINUTE) is None
    again = order_due(installation, NIGHT + 5 * MINUTE)
    assert again is not None
    assert again.parameters == first.parameters
    end(again)
    assert order_due(installation, NIGHT + 60 * MINUTE) is None


def test_a_run_that_somebody_cancelled_is_not_tried_again(installation: Installation) -> None:
    from vmoodle.scheduler.snapshots import order_due

    order_due(installation, NIGHT - MINUTE)
    run = order_due(installation, NIGHT)
    end(run, "cancelled")
    assert order_due(installation, NIGHT + 60 * MINUTE) is None


def test_while_the_store_is_away_a_run_fails_and_the_next_one_orders_each_site_once(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.published_sites import make_site

    from vmoodle.lifecycle.snapshot.run import ordered_by
    from vmoodle.scheduler.snapshots import order_due

    make_site(installation, "one")
    order_due(installation, NIGHT - MINUTE)
    away = installation.home.path / "away"
    away.write_text("no directory")
    monkeypatch.setenv("VMOODLE_SNAPSHOTS__STORE", str(away / "store"))
    run = carried_out(order_due(installation, NIGHT))
    assert (run.state, ordered_by(run)) == ("reverted", [])
    end(run, "reverted")
    away.unlink()
    run = carried_out(order_due(installation, NIGHT + 5 * MINUTE))
    assert (run.state, [one.subject for one in ordered_by(run)]) == ("done", ["one"])


@pytest.mark.parametrize(
    ("words", "met", "unmet"),
    [
        ("*", ["one", "two"], []),
        ("one shcool1", ["one"], ["shcool1"]),
        ("one x*", ["one"], ["x*"]),
        ("region=north", ["one"], []),
        ("region=south", [], ["region=south"]),
        ("two region=north", [], ["two region=north"]),
        ("region=north region=south", [], ["region=north region=south"]),
        ("one =", [], ["one ="]),
    ],
)
def test_words_that_mean_no_site_are_told_and_hold_no_other(
    installation: Installation,
    monkeypatch: pytest.MonkeyPatch,
    words: str,
    met: list[str],
    unmet: list[str],
) -> None:
    from tests.published_sites import make_site

    from vmoodle.installation import open_installation
    from vmoodle.lifecycle.snapshot.run import ordered_by, skipped
    from vmoodle.registry import sites
    from vmoodle.scheduler.snapshots import facts, order_due

    sites.set_labels(make_site(installation, "one"), {"region": "north"})
    make_site(installation, "two")
    order_due(installation, NIGHT - MINUTE)
    monkeypatch.setenv("VMOODLE_SNAPSHOTS__SCHEDULE_SITES", words)
    run = carried_out(order_due(open_installation(), NIGHT))
    assert run.state == "done"
    assert [one.subject for one in ordered_by(run)] == met
    told = skipped(run)
    assert list(told) == unmet
    assert {error.code for error in told.values()} <= {"snapshot.skipped"}
    shown = facts(open_installation(), NIGHT + MINUTE)
    assert (shown["matching"], shown["failed"]) == (len(met), unmet)
    assert shown["unmet"] == [error.message for error in told.values()]


def test_that_there_is_no_site_at_all_is_no_mistake(installation: Installation) -> None:
    from vmoodle.lifecycle.snapshot.run import targets

    assert targets(installation) == ([], {})


def test_what_was_due_before_the_schedule_was_there_is_not_caught_up(
    installation: Installation,
) -> None:
    from vmoodle.scheduler.snapshots import order_due

    assert order_due(installation, NIGHT + MINUTE) is None
    assert order_due(installation, NIGHT + DAY - MINUTE) is None
    run = order_due(installation, NIGHT + DAY)
    assert run is not None
    assert run.parameters["due"] == (NIGHT + DAY).isoformat()


def test_each_due_time_has_one_run_and_missed_ones_have_one_together(
    installation: Installation,
) -> None:
    from vmoodle.scheduler.snapshots import facts, order_due

    order_due(installation, NIGHT - MINUTE)
    run = order_due(installation, NIGHT + MINUTE)
    assert run is not None
    end(run)
    assert order_due(installation, NIGHT + 2 * MINUTE) is None
    late = order_due(installation, NIGHT + 5 * DAY + MINUTE)
    assert late is not None
    assert late.parameters["due"] == (NIGHT + 5 * DAY).isoformat()
    end(late)
    assert order_due(installation, NIGHT + 5 * DAY + 2 * MINUTE) is None
    shown = facts(installation, NIGHT + 5 * DAY + MINUTE)
    assert (shown["last"], shown["next"]) == (NIGHT + 5 * DAY, NIGHT + 6 * DAY)
    assert shown["operation"] == late.id


def test_nothing_is_ordered_while_a_run_is_under_way(installation: Installation) -> None:
    from vmoodle.scheduler.snapshots import order_due

    order_due(installation, NIGHT - MINUTE)
    run = order_due(installation, NIGHT)
    assert run is not None
    assert order_due(installation, NIGHT + DAY) is None
    end(run)
    after = order_due(installation, NIGHT + DAY)
    assert after is not None


def test_of_callers_at_the_same_time_one_orders_the_run(installation: Installation) -> None:
    from django.db import connections

    from vmoodle.scheduler.snapshots import order_due

    order_due(installation, NIGHT - MINUTE)
    runs: list[Any] = []

    def call() -> None:
        try:
            runs.append(order_due(installation, NIGHT))
        finally:
            connections.close_all()

    threads = [threading.Thread(target=call) for _number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len([run for run in runs if run is not None]) == 1
    assert len(runs) == 4


def test_another_schedule_counts_from_when_it_is_in_force(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vmoodle.installation import open_installation
    from vmoodle.scheduler.snapshots import order_due

    order_due(installation, NIGHT)
    monkeypatch.setenv("VMOODLE_SNAPSHOTS__SCHEDULE", "off")
    assert order_due(open_installation(), NIGHT + DAY) is None
    monkeypatch.setenv("VMOODLE_SNAPSHOTS__SCHEDULE", "daily 01:30")
    assert order_due(open_installation(), NIGHT + 10 * DAY) is None
    assert order_due(open_installation(), NIGHT + 11 * DAY) is not None
