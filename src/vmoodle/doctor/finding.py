"""What a check is and what it finds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vmoodle.installation import Installation


@dataclass(frozen=True)
class Finding:
    """Something that is not as it should be, and what to do about it."""

    check: str
    message: str
    hint: str


Examine = Callable[["Installation"], Iterator[tuple[str, str]]]


@dataclass(frozen=True)
class Check:
    """A numbered check: `examine` yields a message and a hint for each finding."""

    number: str
    title: str
    examine: Examine
