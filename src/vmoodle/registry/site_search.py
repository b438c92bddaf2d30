"""Search sites for a listing: filters and order in the database, plain rows out."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Mapping, Sequence
from typing import Any

from vmoodle.errors import InvalidInput
from vmoodle.registry import sites
from vmoodle.registry.models import Site, SiteState

_SORTS = {
    "shortname": "shortname",
    "name": "name",
    "url": "wwwroot",
    "state": "state",
    "codebase": "codebase__name",
    "server": "server__name",
    "created": "created_at",
}
_COLUMNS = {
    "shortname": "shortname",
    "state": "state",
    "url": "wwwroot",
    "name": "name",
    "codebase": "codebase__name",
    "server": "server__name",
    "created": "created_at",
}
_GLOB = re.compile(r"[*?\[]")
_SETTLED = (SiteState.ENABLED, SiteState.SUSPENDED)


def search(
    *,
    match: str = "*",
    state: str = "",
    codebase: str = "",
    server: str = "",
    labels: Mapping[str, str] | None = None,
    sort: str = "shortname",
) -> list[dict[str, Any]]:
    """Return the sites that meet every filter as plain rows, in the order asked for.

    Raise InvalidInput for a state or an order there is not.
    """
    descending, key = sort.startswith("-"), sort.removeprefix("-")
    if key not in _SORTS:
        raise InvalidInput(
            "site.sort", f"Sites cannot be sorted by {key!r}.", "One of " + ", ".join(_SORTS) + "."
        )
    if state and state not in SiteState.values:
        raise InvalidInput(
            "site.state.unknown",
            f"There is no state {state!r}.",
            "One of " + ", ".join(SiteState.values) + ".",
        )
    chosen = Site.objects.order_by(("-" if descending else "") + _SORTS[key], "shortname")
    filters = {"state": state, "codebase__name": codebase, "server__name": server}
    chosen = chosen.filter(**{column: value for column, value in filters.items() if value})
    for label, value in (labels or {}).items():
        chosen = chosen.filter(labels__key=label, labels__value=value)
    rows = [dict(zip(_COLUMNS, row, strict=True)) for row in chosen.values_list(*_COLUMNS.values())]
    if match == "*":
        return rows
    return [row for row in rows if fnmatch.fnmatchcase(row["shortname"], match)]


def choose(
    words: Sequence[str],
    labels: Mapping[str, str] | None = None,
    *,
    every: bool = False,
    strict: bool = True,
) -> list[str]:
    """Return the shortnames of the sites that any word names, or, without words, of `every` one.

    A word is a shortname, which must be a site's, or a glob such as `school-*`. Labels narrow the
    choice. Only a shortname chooses a site that is neither enabled nor suspended. Raise NotFound
    for a shortname nobody has, InvalidInput where nothing was asked for. What is not `strict` takes
    a shortname as a glob: a site that is gone by now chooses none.
    """
    if not words and not labels and not every:
        raise InvalidInput(
            "site.target.none",
            "No site is named.",
            "Name sites, or globs in quotes such as 'school-*', or say --label key=value or --all.",
        )
    exact = [word for word in words if strict and not _GLOB.search(word)]
    named = {sites.find(word).shortname for word in exact}
    rows = [row["shortname"] for row in search(labels=labels)]
    settled = set(Site.objects.filter(state__in=_SETTLED).values_list("shortname", flat=True))
    globs = [word for word in words if word not in exact] if words else ["*"]
    return [
        name
        for name in rows
        if name in named
        or (name in settled and any(fnmatch.fnmatchcase(name, glob) for glob in globs))
    ]
