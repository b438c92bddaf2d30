"""What went wrong on the sites of a run: equal errors once, with all sites that met them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vmoodle.registry.fleet_models import RunSite

_ANY_SITE = "SITE"


@dataclass
class Problem:
    """A state that is not as it should be, the error that led to it, and the sites."""

    state: str
    code: str
    message: str
    hint: str
    sites: list[str] = field(default_factory=list)


def problem_groups(rows: Iterable[RunSite], most: int) -> tuple[list[Problem], list[str]]:
    """Return `most` different problems, that of the most sites first, and the sites with others.

    Where texts are equal but for the shortname of the site each is about, `SITE` stands for it.
    """
    found: dict[tuple[str, ...], Problem] = {}
    others: list[str] = []
    for row in rows:
        said = (row.error_message, row.error_hint)
        general = tuple(_without_name(text, row.shortname) for text in said)
        key = (row.state, row.error_code, *general)
        problem = found.get(key)
        if problem is None and len(found) >= most:
            others.append(row.shortname)
            continue
        if problem is None:
            problem = found[key] = Problem(row.state, row.error_code, *said)
        elif (problem.message, problem.hint) != said:
            problem.message, problem.hint = general
        problem.sites.append(row.shortname)
    return sorted(found.values(), key=lambda one: -len(one.sites)), others


def _without_name(text: str, shortname: str) -> str:
    """Return the text of any site; a name that only begins so is another's."""
    return re.sub(rf"(?<![\w.-]){re.escape(shortname)}(?![\w-])(?!\.\w)", _ANY_SITE, text)
