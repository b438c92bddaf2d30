"""Search sites for a listing: filters and order in the database, plain rows out."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from typing import Any

from vmoodle.errors import InvalidInput
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
