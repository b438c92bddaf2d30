"""How long an upgrade may take, and which sites it is rehearsed on."""

from __future__ import annotations

import random

from vmoodle.fleet.upgrade.estimate import (
    BY_ANOTHER,
    BY_REHEARSAL,
    BY_UPGRADES,
    Known,
    Rehearsed,
    Upgraded,
)
from vmoodle.fleet.upgrade.rehearsal_choice import Amounts, Candidate, pick
from vmoodle.moodle.upgrades.state import SiteVersions

SITE = SiteVersions("2024100705.01", "4.5.5", "before", "", 0, cli_only=False, plugins={})
MB = 1 << 20


def rehearsed(
    name: str, size: int, milliseconds: int, failure: str = "", source: str = "before"
) -> Rehearsed:
    return Rehearsed(name, source, size * MB, milliseconds, "2026-11-28", failure)


def told(known: Known, name: str = "own", size: int = 100) -> tuple[str, int]:
    estimate = known.estimate(name, SITE, size * MB)
    return (estimate.code, estimate.milliseconds) if estimate else ("", 0)


def test_a_sites_own_rehearsal_counts_before_any_other() -> None:
    known = Known((rehearsed("other", 100, 9), rehearsed("own", 100, 5)), (Upgraded("own", "", 7),))
    assert told(known) == (BY_REHEARSAL, 5)


def test_what_was_rehearsed_from_other_versions_counts_not() -> None:
    assert told(Known((rehearsed("own", 100, 5, source="elsewhere"),))) == ("", 0)


def test_another_site_of_alike_size_is_stretched_and_never_shortened() -> None:
    assert told(Known((rehearsed("other", 50, 1000),))) == (BY_ANOTHER, 2000)
    assert told(Known((rehearsed("other", 200, 1000),))) == (BY_ANOTHER, 1000)
    assert told(Known((rehearsed("far", 20, 1), rehearsed("near", 90, 900)))) == (BY_ANOTHER, 1000)


def test_a_site_of_quite_another_size_tells_nothing() -> None:
    assert told(Known((rehearsed("small", 1, 5), rehearsed("large", 900, 5)))) == ("", 0)


def test_upgrades_count_where_nothing_was_rehearsed() -> None:
    done = [Upgraded("a", "2024100705.01", 10), Upgraded("b", "2024100705.01", 30)]
    assert told(Known((), done)) == (BY_UPGRADES, 20)
    own = Upgraded("own", "2024100705.010", 50)
    assert told(Known((), [*done, own])) == (BY_UPGRADES, 50)
    assert told(Known((), [Upgraded("a", "2024100700", 10)])) == ("", 0)


def test_a_failed_rehearsal_is_told_and_estimates_nothing() -> None:
    known = Known((rehearsed("own", 100, 5, "it broke"),))
    assert known.failed("own", SITE) == "it broke"
    assert known.failed("other", SITE) == ""
    assert told(known) == ("", 0)
    assert told(known, "other") == ("", 0)


def test_what_is_known_survives_being_kept_as_json() -> None:
    known = Known((rehearsed("own", 100, 5, "it broke"),), (Upgraded("a", "1", 2),))
    assert Known.restored(known.as_facts()) == known
    assert Known.restored({}) == Known()


FOUND = [Candidate("a", 10, 300), Candidate("b", 30, 100), Candidate("c", 20, 200)]


def chosen(amounts: Amounts) -> dict[str, list[str]]:
    picked = pick(FOUND, amounts, chance=random.Random(1))  # noqa: S311
    return {name: why for name, (_one, why) in picked.items()}


def test_one_site_may_be_the_largest_and_the_oldest() -> None:
    found = chosen(Amounts())
    assert found.pop("b") == ["largest", "oldest"]
    assert list(found.values()) == [["at random"]]
    assert chosen(Amounts(2, 0, 0)) == {"b": ["largest"], "c": ["largest"]}
    assert chosen(Amounts(0, 2, 0)) == {"b": ["oldest"], "c": ["oldest"]}
    assert len(chosen(Amounts(9, 9, 9))) == 3
    assert chosen(Amounts(0, 0, 0)) == {}
