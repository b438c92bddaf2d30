"""Saved SQL: a statement or a script under a name."""

from __future__ import annotations

from vmoodle.errors import NotFound
from vmoodle.registry.audit import current_actor, record
from vmoodle.registry.fleet_models import SavedQuery


def every(match: str = "") -> list[SavedQuery]:
    """Return those whose name, note or SQL has a text in it, by name."""
    rows = SavedQuery.objects.order_by("name")
    return [
        row for row in rows if match.casefold() in f"{row.name} {row.note} {row.sql}".casefold()
    ]


def find(name: str) -> SavedQuery:
    """Return the one of a name; raise NotFound."""
    row = SavedQuery.objects.filter(name=name).first()
    if row is None:
        raise NotFound(
            "sql.query.unknown",
            f"There is no saved query {name!r}.",
            "`vmoodle query list` shows them; `vmoodle query save` makes one.",
        )
    return row


def save(name: str, sql: str, dialect: str, note: str) -> SavedQuery:
    """Keep SQL under a name, instead of what was there."""
    row, _made = SavedQuery.objects.update_or_create(
        name=name,
        defaults={"sql": sql, "dialect": dialect, "note": note, "actor": current_actor()},
    )
    record("query.save", name)
    return row


def delete(name: str) -> None:
    """Forget one; raise NotFound."""
    find(name).delete()
    record("query.delete", name)
