"""Which site is in which wave."""

from __future__ import annotations

import pytest

from vmoodle.errors import InvalidInput
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
