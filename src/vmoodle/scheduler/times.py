"""Times that come again, as an administrator writes them: `daily 02:30`, or a cron expression.

Pure: moments in, moments out, all of them UTC, which has no hour twice and leaves none out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime

from croniter import CroniterError, croniter

from vmoodle.errors import InvalidInput

OFF = ("", "off")
_HINT = (
    "off, hourly, daily 02:30, weekly sun 02:30, or the five fields of a cron expression; "
    "times are UTC."
)
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_CLOCK = r"([01]?[0-9]|2[0-3]):([0-5][0-9])"
# So much of an expression the registry keeps.
LONGEST = 200
# What people say, and the cron expression for it.
_WORDS: tuple[tuple[str, str], ...] = (
    (r"hourly", "0 * * * *"),
    (rf"daily {_CLOCK}", r"\2 \1 * * *"),
    (rf"weekly ({'|'.join(_DAYS)}) {_CLOCK}", r"\3 \2 * * \1"),
)
_FIELDS = 5


@dataclass(frozen=True)
class Times:
    """Times that come again; `expression` is in cron's five fields."""

    expression: str

    @classmethod
    def parse(cls, text: str) -> Times | None:
        """Return the times of a setting, None for off; raise InvalidInput (`schedule.invalid`)."""
        plain = " ".join(text.lower().split())
        if plain in OFF:
            return None
        for pattern, expression in _WORDS:
            if re.fullmatch(pattern, plain):
                return cls(re.sub(pattern, expression, plain))
        if len(plain) > LONGEST or len(plain.split()) != _FIELDS or not croniter.is_valid(plain):
            raise InvalidInput("schedule.invalid", f"{text!r} is no schedule.", _HINT)
        times = cls(plain)
        try:
            times.after(datetime(2024, 1, 1, tzinfo=UTC))
        except CroniterError as error:  # the 30th of February
            raise InvalidInput(
                "schedule.invalid", f"The schedule {text!r} never comes.", _HINT
            ) from error
        return times

    def after(self, moment: datetime) -> datetime:
        """Return the first time after a moment."""
        found: datetime = croniter(self.expression, moment.astimezone(UTC)).get_next(datetime)
        return found

    def until(self, moment: datetime) -> datetime:
        """Return the last time that is not after a moment."""
        minute = moment.astimezone(UTC).replace(second=0, microsecond=0)
        if croniter.match(self.expression, minute):
            return minute
        found: datetime = croniter(self.expression, minute).get_prev(datetime)
        return found
