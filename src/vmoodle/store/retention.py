"""Which snapshots a policy keeps, and why. Pure: ids and dates in, ids and reasons out."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime, tzinfo

from vmoodle.errors import InvalidInput

_PAIR = re.compile(r"([a-z]+)=([0-9]{1,6})")
_HINT = "Write it as last=3,daily=7,weekly=4,monthly=12,yearly=2; leave out what is not wanted."

_PERIODS: dict[str, Callable[[datetime], str]] = {
    "daily": lambda when: when.strftime("%Y-%m-%d"),
    "weekly": lambda when: "{:04d}-W{:02d}".format(*when.isocalendar()[:2]),
    "monthly": lambda when: when.strftime("%Y-%m"),
    "yearly": lambda when: when.strftime("%Y"),
}
"""What tells the snapshots of one period from those of the next; weeks are ISO 8601 weeks."""


@dataclass(frozen=True)
class Retention:
    """Keep the `last` newest, and the newest of each of the last N days, weeks, months, years.

    Only periods that have a snapshot count, so a site that was not snapshot for a while loses
    nothing. A snapshot kept for one reason still counts for the others.
    """

    last: int = 0
    daily: int = 0
    weekly: int = 0
    monthly: int = 0
    yearly: int = 0

    def __post_init__(self) -> None:
        if any(number < 0 for number in self._numbers().values()):
            raise InvalidInput("store.retention", "A retention keeps at least nothing.", _HINT)
        if not any(self._numbers().values()):
            raise InvalidInput("store.retention", "This retention would keep no snapshot.", _HINT)

    def _numbers(self) -> dict[str, int]:
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def __str__(self) -> str:
        return ",".join(f"{name}={number}" for name, number in self._numbers().items() if number)

    @classmethod
    def parse(cls, text: str) -> Retention:
        """Read a policy such as `last=3,daily=7`; raise InvalidInput (`store.retention`)."""
        numbers: dict[str, int] = {}
        known = {field.name for field in fields(cls)}
        for word in text.split(","):
            match = _PAIR.fullmatch(word.strip())
            if not match or match[1] not in known or match[1] in numbers:
                raise InvalidInput(
                    "store.retention", f"{word.strip()!r} is no rule of a retention.", _HINT
                )
            numbers[match[1]] = int(match[2])
        return cls(**numbers)

    def to_keep(
        self,
        snapshots: Iterable[tuple[str, datetime]],
        *,
        zone: tzinfo = UTC,
        missing: Mapping[str, int] | None = None,
    ) -> dict[str, list[str]]:
        """Return the ids to keep, newest first, each with its reasons (`daily 2026-03-01`).

        Days begin at midnight in the zone. Of equally old snapshots the one whose id sorts last
        counts as the newer. `missing` says how many files each lacks: where all that the policy
        keeps lack more than another does, the newest of those that lack fewest is kept as well.
        """
        newest_first = sorted(
            ((when.astimezone(zone), name) for name, when in snapshots), reverse=True
        )
        reasons: dict[str, list[str]] = {name: [] for _, name in newest_first}
        for number, (_, name) in enumerate(newest_first[: self.last], start=1):
            reasons[name].append(f"last {number}")
        for rule, period_of in _PERIODS.items():
            left, seen = getattr(self, rule), ""
            for when, name in newest_first:
                period = period_of(when)
                if not left:
                    break
                if period != seen:
                    reasons[name].append(f"{rule} {period}")
                    seen, left = period, left - 1
        lacking = missing or {}
        best = min(newest_first, key=lambda one: lacking.get(one[1], 0), default=None)
        if best and not any(
            why and lacking.get(name, 0) <= lacking.get(best[1], 0) for name, why in reasons.items()
        ):
            reasons[best[1]].append("fewest files missing")
        return {name: why for name, why in reasons.items() if why}
