"""Names of columns that engines give themselves, and one heading for those that are the same.

To one question MariaDB answers with a column `COUNT(*)`, PostgreSQL with `count`; to `SELECT 2`
with `2` and `?column?`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from vmoodle.fleet.result import Result, Table

_NAME = re.compile(r"[^\W\d]\w*")
_NAMELESS = "?column?"


class Headings:
    """The headings of answers to one question, whichever engine gave them."""

    def __init__(self, answers: Iterable[tuple[str, Result]] = ()) -> None:
        self._known: list[list[str]] = []
        for _site, answer in answers:
            self.learn(answer)

    def learn(self, answer: Result) -> None:
        """Take in the column names of an answer."""
        if isinstance(answer, Table):
            known = self._like(answer.columns)
            if known is None:
                self._known.append(list(answer.columns))
            else:
                known[:] = map(_better, known, answer.columns)

    def of(self, table: Table) -> Table:
        """Return the table with the headings that it shares with others."""
        known = self._like(table.columns)
        return table if known is None else Table(tuple(known), table.rows, table.truncated)

    def _like(self, columns: Sequence[str]) -> list[str] | None:
        for known in self._known:
            if len(known) == len(columns) and all(map(_same, known, columns)):
                return known
        return None


def shared(answers: Iterable[tuple[str, Result]], headings: Headings) -> Iterator[
    tuple[str, Result]
]:  # fmt: skip
    """Give the answers, tables with the headings that they share."""
    for site, answer in answers:
        yield site, headings.of(answer) if isinstance(answer, Table) else answer


def _same(one: str, other: str) -> bool:
    """Tell whether two names at one place may be of one column: PostgreSQL makes names small.

    Names that somebody gave differ where the columns do, as in `SELECT *` of two releases.
    """
    given = _NAME.fullmatch(one) and _NAME.fullmatch(other)
    return one.casefold() == other.casefold() or not given


def _better(one: str, other: str) -> str:
    """Return which of two names of a column to show: the one with more of what was written."""
    return max(one, other, key=_worth)


def _worth(name: str) -> tuple[bool, bool, bool, str]:
    return (name != _NAMELESS, bool(_NAME.fullmatch(name)), name != name.lower(), name)
