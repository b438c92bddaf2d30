"""What went wrong on many sites: equal errors once, with all sites that met them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

_ANY_SITE = "SITE"


class Fault(NamedTuple):
    """What went wrong on one site."""

    site: str
    state: str
    code: str
    message: str
    hint: str


@dataclass
class Problem:
    """A state that is not as it should be, the error that led to it, and the sites."""

    state: str
    code: str
    message: str
    hint: str
    sites: list[str] = field(default_factory=list)


def problem_groups(faults: Iterable[Fault], most: int) -> tuple[list[Problem], list[str]]:
    """Return `most` different problems, that of the most sites first, and the sites with others.

    Where texts are equal but for the shortname of the site each is about, `SITE` stands for it.
    """
    found: dict[tuple[str, ...], Problem] = {}
    others: list[str] = []
    for site, state, code, message, hint in faults:
        general = _without_name(message, site), _without_name(hint, site)
        key = (state, code, *general)
        problem = found.get(key)
        if problem is None and len(found) >= most:
            others.append(site)
            continue
        if problem is None:
            problem = found[key] = Problem(state, code, message, hint)
        elif (problem.message, problem.hint) != (message, hint):
            problem.message, problem.hint = general
        problem.sites.append(site)
    return sorted(found.values(), key=lambda one: -len(one.sites)), others


def _without_name(text: str, shortname: str) -> str:
    """Return the text of any site; what only begins or ends so is another's name."""
    return re.sub(rf"(?<![A-Za-z0-9]){re.escape(shortname)}(?![A-Za-z0-9])", _ANY_SITE, text)
