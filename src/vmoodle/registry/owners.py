"""Who owns resources: sites, templates, copies of any kind, and what the ledger calls each."""

from __future__ import annotations

from vmoodle.registry import templates
from vmoodle.registry.models import (
    ACTIVE_STATES,
    HOLDING_STATES,
    Operation,
    Site,
    Template,
    WarmCopy,
)

DRILL = "drill:"
"""What a drill's name in the ledger begins with; its operation has the same subject."""
REHEARSAL = "rehearsal:"
"""What the name of an upgrade's rehearsal begins with, likewise."""


def known() -> set[str]:
    """Return every owner there is."""
    return (
        set(Site.objects.values_list("shortname", flat=True))
        | {templates.subject(name) for name in Template.objects.values_list("name", flat=True)}
        | {templates.warm_owner(copy) for copy in WarmCopy.objects.values_list("id", flat=True)}
        | {row.subject for row in (*drills(), *rehearsals())}
    )


def busy() -> set[str]:
    """Return the owners whose resources an operation is making or taking away just now.

    An operation on a template works on its warm copies too.
    """
    subjects = set(
        Operation.objects.filter(state__in=ACTIVE_STATES).values_list("subject", flat=True)
    )
    copies = WarmCopy.objects.select_related("template").all()
    return subjects | {
        templates.warm_owner(copy.id)
        for copy in copies
        if templates.subject(copy.template.name) in subjects
    }


def drills() -> list[Operation]:
    """Return the operations of drills that have not ended."""
    return _under_way(DRILL)


def rehearsals() -> list[Operation]:
    """Return the operations of rehearsals that have not ended."""
    return _under_way(REHEARSAL)


def _under_way(beginning: str) -> list[Operation]:
    rows = Operation.objects.filter(state__in=HOLDING_STATES, subject__startswith=beginning)
    return list(rows.order_by("created_at"))
