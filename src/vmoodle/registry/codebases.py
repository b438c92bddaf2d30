"""Codebases in the registry."""

from __future__ import annotations

from vmoodle.errors import Conflict, InvalidInput, NotFound
from vmoodle.registry.models import Codebase


def find(name: str) -> Codebase:
    """Return the codebase of a name; raise NotFound."""
    codebase = Codebase.objects.filter(name=name).first()
    if codebase is None:
        raise NotFound(
            "codebase.unknown",
            f"There is no codebase {name!r}.",
            "`vmoodle codebase list` shows them; `vmoodle codebase add` adds one.",
        )
    return codebase


def chosen(name: str) -> Codebase:
    """Return the named codebase, or, when no name is given, the only one there is."""
    if name:
        return find(name)
    codebases = list(Codebase.objects.order_by("id")[:2])
    if not codebases:
        raise InvalidInput(
            "codebase.none",
            "No codebase is known yet.",
            "vmoodle codebase add main /path/to/moodle   (or the word sandbox for the path)",
        )
    if len(codebases) > 1:
        raise InvalidInput(
            "codebase.choose",
            "There is more than one codebase.",
            "Say which with --codebase; `vmoodle codebase list` shows them.",
        )
    return codebases[0]


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


def refuse_used(codebase: Codebase) -> None:
    """Raise Conflict when sites run on the codebase."""
    count = codebase.sites.count()
    if count:
        raise Conflict(
            "codebase.used",
            f"{count} site(s) run on {codebase.name}.",
            f"`vmoodle site list --codebase {codebase.name}` shows them.",
        )
