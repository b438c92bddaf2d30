"""The ledger: what VMoodle made. Written before the act, so that its undo is always known."""

from __future__ import annotations

from pathlib import Path

from django.utils import timezone

from vmoodle.errors import Refused
from vmoodle.registry.models import LedgerEntry

DATABASE = "database"
ACCOUNT = "account"
DIRECTORY = "directory"


def plan(kind: str, place: str, name: str, *, owner: str, operation: str) -> None:
    """Write down that an operation is about to make a resource.

    Writing it again for the same operation is no change. Raise Refused when another operation
    owns a resource of that name.
    """
    entry, created = LedgerEntry.objects.get_or_create(
        kind=kind,
        place=place,
        name=name,
        defaults={"owner": owner, "operation_id": operation},
    )
    if not created and entry.operation_id != operation:
        raise Refused(
            "ledger.owned",
            f"The {kind} {name} belongs to {entry.owner or '(none)'}, "
            f"made by operation {entry.operation_id}.",
            "Choose another name, or delete its owner first.",
        )


def planned_by(kind: str, place: str, name: str, *, operation: str) -> bool:
    """Tell whether this very operation wrote the resource down, in this attempt or an earlier."""
    return LedgerEntry.objects.filter(
        kind=kind, place=place, name=name, operation_id=operation
    ).exists()


def made(kind: str, place: str, name: str) -> None:
    """Write down that a planned resource exists now."""
    LedgerEntry.objects.filter(kind=kind, place=place, name=name).update(
        made=True, made_at=timezone.now()
    )


def removed(kind: str, place: str, name: str) -> None:
    """Strike out a resource that is gone."""
    LedgerEntry.objects.filter(kind=kind, place=place, name=name).delete()


def is_ours(kind: str, place: str, name: str, *, owner: str) -> bool:
    """Tell whether the ledger proves that VMoodle planned or made the resource for that owner."""
    return LedgerEntry.objects.filter(kind=kind, place=place, name=name, owner=owner).exists()


def is_known(kind: str, place: str, name: str) -> bool:
    """Tell whether the ledger has the resource, for whichever owner."""
    return LedgerEntry.objects.filter(kind=kind, place=place, name=name).exists()


def on_server(name: str) -> list[LedgerEntry]:
    """Return the databases and accounts that the ledger has on a server, oldest first."""
    return list(LedgerEntry.objects.filter(place=name).order_by("written_at", "id"))


def has_directory_in(base: Path) -> bool:
    """Tell whether the ledger has a directory that lies right in this one."""
    rows = LedgerEntry.objects.filter(kind=DIRECTORY, name__startswith=f"{base}/")
    return any(Path(name).parent == base for name in rows.values_list("name", flat=True))


def entries(owner: str | None = None) -> list[LedgerEntry]:
    """Return the ledger's entries, of one owner or of all, oldest first."""
    chosen = LedgerEntry.objects.all() if owner is None else LedgerEntry.objects.filter(owner=owner)
    return list(chosen.order_by("written_at", "id"))
