"""Saved selections of sites: an expression under a name, used as `@name`."""

from __future__ import annotations

from vmoodle.errors import NotFound
from vmoodle.registry.audit import current_actor, record
from vmoodle.registry.fleet_models import TargetGroup


def every() -> list[TargetGroup]:
    """Return all of them by name."""
    return list(TargetGroup.objects.order_by("name"))


def texts() -> dict[str, str]:
    """Return the expression of each group by its name."""
    return dict(TargetGroup.objects.values_list("name", "expression"))


def find(name: str) -> TargetGroup:
    """Return the group of a name; raise NotFound."""
    row = TargetGroup.objects.filter(name=name).first()
    if row is None:
        raise NotFound(
            "target.group.unknown",
            f"There is no group @{name}.",
            "`vmoodle target list` shows them; `vmoodle target save` makes one.",
        )
    return row


def save(name: str, expression: str, note: str = "") -> TargetGroup:
    """Keep an expression under a name, instead of the one that was there."""
    row, _made = TargetGroup.objects.update_or_create(
        name=name,
        defaults={"expression": expression, "note": note, "actor": current_actor()},
    )
    record("target.save", f"@{name}", expression=expression)
    return row


def delete(name: str) -> None:
    """Forget a group; raise NotFound."""
    find(name).delete()
    record("target.delete", f"@{name}")
