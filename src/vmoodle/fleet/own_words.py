"""What values say only because they are of one site: its address, its host, its moodledata."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from urllib.parse import urlsplit

from vmoodle.fleet.result import Cell, Compared, Matrix, compared

Hide = Callable[[Cell], Cell]


def without_own_words(
    rows: Iterable[Compared], sites: Mapping[str, tuple[str, str]]
) -> Iterator[Compared]:
    """Give rows of a matrix anew where sites differ less without their own words.

    `sites` has the address and the moodledata of each. In such a row these stand as `{wwwroot}`,
    `{host}` and `{dataroot}`.
    """
    hides = {site: _hide(wwwroot, dataroot) for site, (wwwroot, dataroot) in sites.items()}
    for row in rows:
        hidden = {
            site: hides[site](value) if site in hides else value
            for site, value in row.cells.items()
        }
        # Where all sites name one server that is also one of them, nothing is to be hidden.
        if not row.differing or len(set(hidden.values())) >= len(set(row.cells.values())):
            yield row
            continue
        columns = [(site, Matrix({row.name: value})) for site, value in hidden.items()]
        columns += [(site, Matrix()) for site in row.unknown]
        (again,) = compared(columns)
        yield replace(again, against=row.against)


def _hide(wwwroot: str, dataroot: str) -> Hide:
    host = urlsplit(wwwroot).hostname or ""
    words = [(dataroot, "{dataroot}"), (wwwroot, "{wwwroot}"), (host, "{host}")]
    patterns = [
        (re.compile(rf"(?<![\w.-]){re.escape(word)}(?![\w-])(?!\.\w)"), name)
        for word, name in words
        if word
    ]

    def hide(value: Cell) -> Cell:
        if isinstance(value, str):
            for pattern, name in patterns:
                value = pattern.sub(name, value)
        return value

    return hide
