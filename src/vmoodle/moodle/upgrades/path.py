"""By which releases a site comes to the one that is wanted: each has a least one to come from."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from vmoodle.moodle.code.environment import version_tuple


@dataclass(frozen=True)
class Stop:
    """A code tree on the way: its name, its release, the least release to come from."""

    name: str
    release: str
    source: str

    @property
    def number(self) -> tuple[int, ...]:
        """The release for comparing."""
        return release_number(self.release)


def release_number(release: str) -> tuple[int, ...]:
    """Return `4.5.5+ (Build: …)` as numbers; one in development counts as the series before.

    Source: environment_check_moodle() in lib/environmentlib.php, 4.5 and 5.1.
    """
    number = version_tuple(release)
    if "dev" in release and len(number) > 1 and number[1]:
        return (number[0], number[1] - 1, *number[2:])
    return number


def can_come_from(release: str, source: str) -> bool:
    """Tell whether a site of a release can be upgraded to what requires `source` at least."""
    return release_number(release) >= version_tuple(source)


def find_path(release: str, target: Stop, others: Sequence[Stop]) -> list[Stop]:
    """Return the stops to the target, that one included; empty where the others do not lead there.

    Of several paths it is one with the fewest stops, by the latest release of each.
    """
    start = release_number(release)
    between = [
        one for one in sorted(others, key=lambda one: one.number, reverse=True)
        if start <= one.number <= target.number and one.name != target.name
    ]  # fmt: skip
    paths: list[tuple[str, list[Stop]]] = [(release, [])]
    seen: set[str] = set()
    while paths:
        longer: list[tuple[str, list[Stop]]] = []
        for at, stops in paths:
            if can_come_from(at, target.source):
                return [*stops, target]
            for one in between:
                ahead = one.number > release_number(at)
                if one.name not in seen and ahead and can_come_from(at, one.source):
                    seen.add(one.name)
                    longer.append((one.release, [*stops, one]))
        paths = longer
    return []


def short_release(release: str) -> str:
    """Return `4.5.5+` of `4.5.5+ (Build: 20250613)`."""
    match = re.match(r"\s*(\S+)", release)
    return match.group(1) if match else ""
