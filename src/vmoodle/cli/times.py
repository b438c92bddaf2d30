"""Times as they are typed: lengths of time, and moments in the past."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from vmoodle.errors import InvalidInput

_LENGTH = re.compile(r"(\d+(?:\.\d+)?)([smhd]?)")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def seconds_of(text: str, *, unit: str = "") -> float | None:
    """Return the seconds of `30s`, `10m`, `2h` or `1d`, None for another text.

    A number alone is of the `unit`, where there is one.
    """
    found = _LENGTH.fullmatch(text.strip())
    word = (found[2] or unit) if found else ""
    return float(found[1]) * _SECONDS[word] if found and word else None


def moment_since(text: str, now: datetime) -> datetime:
    """Return the moment of `2h` or `3d` ago, of a day, or of a time; UTC where no offset is said.

    Raise InvalidInput `run.since`.
    """
    length = seconds_of(text)
    try:
        if length is not None:
            return now - timedelta(seconds=length)
        moment = datetime.fromisoformat(text.strip())
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise InvalidInput(
            "run.since",
            f"{text!r} is no time.",
            "As 2h or 3d for so long ago, or 2026-11-01, or '2026-11-01 14:00'; in UTC.",
        ) from error
