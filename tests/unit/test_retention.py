"""Retention policies: what is kept, why, and what holds for every policy and history."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmoodle.errors import InvalidInput
from vmoodle.store.retention import Retention

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
numbers = st.integers(0, 5)
policies = st.builds(tuple, st.tuples(*[numbers] * 5)).filter(any).map(lambda n: Retention(*n))
histories = st.lists(
    st.integers(0, 60 * 24 * 900).map(lambda minutes: NOW - timedelta(minutes=minutes)),
    max_size=60,
).map(lambda moments: [(f"s{number}", when) for number, when in enumerate(moments)])


def daily(days: int) -> list[tuple[str, datetime]]:
    return [(f"d{n}", NOW - timedelta(days=n)) for n in range(days)]


def test_a_year_of_daily_snapshots() -> None:
    kept = Retention.parse("last=3,daily=7,weekly=4,monthly=12").to_keep(daily(400))
    assert list(kept)[:7] == [f"d{n}" for n in range(7)]
    assert kept["d0"] == ["last 1", "daily 2026-03-01", "weekly 2026-W09", "monthly 2026-03"]
    assert kept["d1"] == ["last 2", "daily 2026-02-28", "monthly 2026-02"]
    assert kept["d7"] == ["weekly 2026-W08"]
    assert len(kept) == 7 + 3 + 10


def test_a_gap_costs_nothing() -> None:
    old = [("a", NOW - timedelta(days=400)), ("b", NOW - timedelta(days=401))]
    assert set(Retention(daily=2).to_keep(old)) == {"a", "b"}


def test_days_begin_in_the_zone() -> None:
    from zoneinfo import ZoneInfo

    pair = [
        ("late", datetime(2026, 3, 1, 22, 30, tzinfo=UTC)),
        ("later", datetime(2026, 3, 1, 23, 30, tzinfo=UTC)),
    ]
    assert set(Retention(daily=2).to_keep(pair)) == {"later"}
    assert set(Retention(daily=2).to_keep(pair, zone=ZoneInfo("Europe/Vienna"))) == {
        "late",
        "later",
    }


def test_the_last_without_missing_files_outlives_newer_ones_that_lack_some() -> None:
    lacking = {"d0": 5, "d1": 5, "d2": 0, "d3": 0}
    kept = Retention(last=2).to_keep(daily(4), missing=lacking)
    assert kept == {"d0": ["last 1"], "d1": ["last 2"], "d2": ["fewest files missing"]}
    assert set(Retention(last=2).to_keep(daily(4), missing=lacking | {"d1": 0})) == {"d0", "d1"}
    fewer = {"d0": 3, "d1": 3, "d2": 2}
    assert set(Retention(last=1).to_keep(daily(3), missing=fewer)) == {"d0", "d2"}


@pytest.mark.parametrize(
    "text",
    [
        "", "last", "last=", "last=-1", "last=0", "hourly=3", "last=1,last=2", "last=1;daily=2",
        "last=1,", "daily=1.5",
    ],
)  # fmt: skip
def test_what_is_no_policy_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        Retention.parse(text)
    assert caught.value.code == "store.retention"


@given(policies)
def test_a_policy_reads_back(policy: Retention) -> None:
    assert Retention.parse(str(policy)) == policy


@given(policies, histories)
def test_the_newest_is_kept_and_no_more_than_the_rules_allow(
    policy: Retention, history: list[tuple[str, datetime]]
) -> None:
    kept = policy.to_keep(history)
    assert set(kept) <= {name for name, _ in history}
    assert all(kept.values())
    if history:
        assert next(iter(kept)) == max((when, name) for name, when in history)[1]
    rules = [reason.split()[0] for reasons in kept.values() for reason in reasons]
    for rule in ("last", "daily", "weekly", "monthly", "yearly"):
        assert rules.count(rule) <= getattr(policy, rule)


@given(policies, histories, st.randoms())
def test_order_does_not_matter_and_pruning_twice_changes_nothing(
    policy: Retention, history: list[tuple[str, datetime]], shuffler: object
) -> None:
    kept = policy.to_keep(history)
    shuffled = list(history)
    shuffler.shuffle(shuffled)  # type: ignore[attr-defined]
    assert policy.to_keep(shuffled) == kept
    assert policy.to_keep([item for item in history if item[0] in kept]) == kept


@given(policies, histories, st.sampled_from(["last", "daily", "weekly", "monthly", "yearly"]))
def test_a_larger_number_never_keeps_less(
    policy: Retention, history: list[tuple[str, datetime]], rule: str
) -> None:
    from dataclasses import replace

    larger = replace(policy, **{rule: getattr(policy, rule) + 1})
    assert set(policy.to_keep(history)) <= set(larger.to_keep(history))
