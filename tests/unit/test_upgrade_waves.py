"""Which site is in which wave."""

from __future__ import annotations

import pytest

from vmoodle.errors import Conflict, InvalidInput
from vmoodle.installation import Installation


def waves_of(sizes: str, count: int) -> list[int]:
    from vmoodle.lifecycle.upgrade.waves import Waves, numbers

    return numbers(Waves(sizes=sizes.split(",")), count)


@pytest.mark.usefixtures("installation")
@pytest.mark.parametrize(
    ("sizes", "count", "expected"),
    [
        ("1", 3, [0, 1, 1]),
        ("1,2,25%", 8, [0, 1, 1, 2, 2, 3, 3, 3]),
        ("100%", 3, [0, 0, 0]),
        ("1,1%", 3, [0, 1, 2]),
        ("5", 2, [0, 0]),
        ("1", 0, []),
    ],
)
def test_sizes_are_numbers_or_shares_and_the_rest_is_the_last_wave(
    sizes: str, count: int, expected: list[int]
) -> None:
    assert waves_of(sizes, count) == expected


@pytest.mark.parametrize("sizes", ["", "0", "1,", "-1", "1.5", "101%", "%", "two"])
def test_what_is_no_size_is_refused(installation: Installation, sizes: str) -> None:
    assert installation
    with pytest.raises(InvalidInput):
        waves_of(sizes, 3)


@pytest.mark.usefixtures("installation")
@pytest.mark.parametrize(
    ("downtimes", "states", "state"),
    [
        ([900], ["waiting"], "running"),
        ([1100], ["waiting"], "halted"),
        ([], ["failed", "waiting"], "halted"),
        ([], ["needs attention", "waiting"], "halted"),
        ([900], ["skipped", "cancelled"], "done"),
    ],
)
def test_a_failure_or_a_site_closed_for_too_long_halts_the_rest(
    downtimes: list[int], states: list[str], state: str
) -> None:
    from vmoodle.lifecycle.upgrade.waves import _may_begin
    from vmoodle.registry import upgrades

    values = {
        "codebase": "new", "versions_hash": "x", "target": "*", "in_parallel": 1,
        "stop_after": 1, "most_downtime": 1.0, "timeout": 60, "node": "here", "wave": 1,
    }  # fmt: skip
    words = [*("running" for _one in downtimes), *states]
    rows = [
        {"shortname": f"s{number}", "wave": number, "state": word, "source": "old"}
        for number, word in enumerate(words)
    ]
    upgrade = upgrades.create(values, rows)
    for row, downtime in zip(upgrades.sites_of(upgrade), downtimes, strict=False):
        upgrades.site_done(row, downtime, 500)
    _may_begin(upgrade)
    assert upgrades.find(upgrade.id).state == state


@pytest.mark.usefixtures("installation")
@pytest.mark.parametrize(
    ("expected", "factor", "slow"),
    [(100, 3.0, True), (200, 3.0, False), (None, 3.0, False), (100, 0.0, False)],
)
def test_an_upgrade_that_takes_much_longer_than_rehearsed_halts_the_rest(
    expected: int | None, factor: float, slow: bool
) -> None:
    from vmoodle.lifecycle.upgrade.waves import _may_begin
    from vmoodle.registry import upgrades

    values = {
        "codebase": "new", "versions_hash": "x", "target": "*", "in_parallel": 1,
        "stop_after": 1, "most_factor": factor, "timeout": 60, "node": "here", "wave": 1,
    }  # fmt: skip
    rows = [
        {"shortname": "first", "wave": 0, "state": "running", "source": "old"},
        {"shortname": "rest", "wave": 1, "state": "waiting", "source": "old"},
    ]
    upgrade = upgrades.create(values, [row | {"expected_ms": expected} for row in rows])
    upgrades.site_done(upgrades.sites_of(upgrade)[0], 900, 500)
    assert upgrades.sites_of(upgrade)[0].slow is slow
    _may_begin(upgrade)
    assert upgrades.find(upgrade.id).state == ("halted" if slow else "running")


def test_a_site_of_another_run_is_not_taken_up_again(installation: Installation) -> None:
    from vmoodle.lifecycle.upgrade.waves import retry
    from vmoodle.registry import upgrades

    values = {
        "codebase": "new", "versions_hash": "x", "target": "*", "in_parallel": 1,
        "stop_after": 1, "timeout": 60, "node": "here",
    }  # fmt: skip
    row = {"shortname": "s1", "wave": 0, "source": "old"}
    first = upgrades.create(values, [row | {"state": "failed"}])
    second = upgrades.create(values, [row | {"state": "waiting"}])
    with pytest.raises(Conflict) as refused:
        retry(installation, first.id)
    assert refused.value.code == "upgrade.sites"
    assert second.id in refused.value.message
    assert upgrades.find(first.id).sites.get().state == "failed"


def test_a_codebase_that_changed_since_the_order_halts_the_rest(installation: Installation) -> None:
    from vmoodle.lifecycle.upgrade.waves import go_on
    from vmoodle.registry import upgrades

    values = {
        "codebase": "gone", "versions_hash": "x", "target": "*", "in_parallel": 1,
        "stop_after": 1, "timeout": 60, "node": "here",
    }  # fmt: skip
    rows = [{"shortname": "s1", "wave": 0, "state": "waiting", "source": "old"}]
    upgrade = upgrades.create(values, rows)
    assert go_on(installation, upgrade.id) == []
    halted = upgrades.find(upgrade.id)
    assert (halted.state, halted.sites.get().state) == ("halted", "waiting")
    assert "gone" in halted.reason
