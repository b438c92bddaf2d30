"""What a check is, what it finds, and what `vmoodle doctor --mend` can do about it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vmoodle.installation import Installation


@dataclass(frozen=True)
class Mend:
    """What VMoodle can do itself, in words for who decides; done again it changes nothing.

    Nothing that only the administrator can judge is one: no site's data is touched.
    """

    title: str
    act: Callable[[Installation], None]


@dataclass(frozen=True)
class Finding:
    """Something that is not as it should be, and what to do about it."""

    check: str
    message: str
    hint: str
    mend: Mend | None = None


Found = Iterator[tuple[str, str] | tuple[str, str, Mend]]
"""A message and a hint for each finding, and its mend where there is one."""

Examine = Callable[["Installation"], Found]


@dataclass(frozen=True)
class Check:
    """A numbered check: `examine` yields what it finds."""

    number: str
    title: str
    examine: Examine
