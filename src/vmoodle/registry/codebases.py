"""Codebases in the registry."""

from __future__ import annotations

from vmoodle.errors import Conflict
from vmoodle.registry import operations
from vmoodle.registry.models import Codebase
from vmoodle.registry.named import Named

_NAMED = Named(
    Codebase.objects,
    "codebase",
    "codebase",
    first="vmoodle codebase add main /path/to/moodle   (or the word sandbox for the path)",
)
every, find, chosen = _NAMED.every, _NAMED.find, _NAMED.chosen


def refuse_used(codebase: Codebase) -> None:
    """Raise Conflict when sites are on it, or operations that have not ended need it.

    A site that is upgraded may have to go back to the one it came from.
    """
    _NAMED.refuse_used(codebase)
    leaving = operations.under_way_with(from_codebase=codebase.name)
    if leaving:
        raise Conflict(
            "codebase.used",
            f"{len(leaving)} site(s) are just upgraded from the codebase {codebase.name}.",
            f"Let them end first: vmoodle operation show {leaving[0].id}",
        )


def forget(codebase: Codebase) -> None:
    """Remove the row of a codebase; raise Conflict when something is on it or needs it."""
    _NAMED.forget(codebase, refuse_used)


def facts(codebase: Codebase) -> dict[str, object]:
    """Return what is shown of a codebase."""
    return {
        "name": codebase.name,
        "path": codebase.path,
        "release": codebase.release,
        "version": codebase.version,
        "branch": codebase.branch,
        "layout": codebase.layout,
        "immutable": codebase.immutable,
        "sites": _NAMED.count_sites(codebase),
        "set_aside": codebase.set_aside,
    }


def refuse_taken(name: str, path: str) -> None:
    """Raise Conflict when a codebase has that name or that path."""
    for column, value in (("name", name), ("path", path)):
        other = Codebase.objects.filter(**{column: value}).first()
        if other is not None:
            raise Conflict(
                "codebase.taken",
                f"The {column} {value} belongs to the codebase {other.name} already.",
                "`vmoodle codebase list` shows them.",
            )
