"""Snapshots in the registry: how they are found, and every change of their state."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db.models import Q
from django.utils import timezone

from vmoodle.errors import Conflict, NotFound, Refused
from vmoodle.registry.audit import current_actor
from vmoodle.registry.models import Site, Snapshot, SnapshotState, state_words

# Why a snapshot was taken, where nobody asked for it by hand.
DELETION = "deletion"
SCHEDULE = "schedule"


def reserve(snapshot_id: str, site: Site, *, reason: str, note: str) -> Snapshot:
    """Create the row of a snapshot that is about to be taken."""
    return Snapshot.objects.create(
        id=snapshot_id,
        state=SnapshotState.MAKING,
        site_shortname=site.shortname,
        wwwroot=site.wwwroot,
        reason=reason,
        note=note[:500],
        actor=current_actor(),
    )


def taken(snapshot_id: str, facts: Mapping[str, Any]) -> None:
    """The snapshot is whole."""
    Snapshot.objects.filter(id=snapshot_id).update(state=SnapshotState.READY, **facts)


def needs_attention(snapshot_id: str) -> None:
    """Taking the snapshot stopped half-way; a person must choose. One that is whole stays so."""
    Snapshot.objects.filter(id=snapshot_id, state=SnapshotState.MAKING).update(
        state=SnapshotState.ATTENTION
    )


def known(
    snapshot_id: str, facts: Mapping[str, Any], *, taken_at: datetime
) -> tuple[Snapshot, bool]:
    """Write down a snapshot that the store has; tell whether the registry had it not."""
    row, created = Snapshot.objects.get_or_create(id=snapshot_id, defaults=dict(facts))
    if created:
        # Of the time it was taken, not of the import: retention counts from there.
        row.created_at = taken_at
        row.save(update_fields=["created_at"])
    return row, created


def forget(snapshot_id: str) -> None:
    """Remove a snapshot's row."""
    Snapshot.objects.filter(id=snapshot_id).delete()


def find(snapshot_id: str) -> Snapshot:
    """Return the snapshot of an id, or of an unambiguous beginning or end of one."""
    rows = list(Snapshot.objects.filter(id=snapshot_id))
    if not rows and snapshot_id:
        shortened = Q(id__startswith=snapshot_id) | Q(id__endswith=snapshot_id)
        rows = list(Snapshot.objects.filter(shortened).order_by("id")[:6])
    if len(rows) > 1:
        raise NotFound(
            "snapshot.unknown",
            f"More than one snapshot begins or ends with {snapshot_id!r}: "
            + ", ".join(row.id for row in rows)
            + ".",
            "Give more of the id.",
        )
    if not rows:
        raise NotFound(
            "snapshot.unknown",
            f"There is no snapshot {snapshot_id!r}.",
            "`vmoodle snapshot list` shows them.",
        )
    return rows[0]


def usable(snapshot_id: str) -> Snapshot:
    """Return a whole snapshot; raise NotFound, Conflict."""
    row = find(snapshot_id)
    if row.state != SnapshotState.READY:
        raise Conflict(
            "snapshot.state",
            f"The snapshot {row.id} {state_words(row.state)}.",
            "Choose a whole one.",
        )
    return row


def refuse_pinned_by_hand(row: Snapshot) -> None:
    """Raise Refused for a snapshot that a person has pinned."""
    if not row.pinned_until:
        refuse_pinned(row)


def every(shortname: str = "") -> list[Snapshot]:
    """Return all snapshots, or one site's, newest first."""
    rows = Snapshot.objects.all()
    if shortname:
        rows = rows.filter(site_shortname=shortname)
    return list(rows.order_by("-created_at", "-id"))


def newest(shortname: str) -> Snapshot | None:
    """Return a site's newest whole snapshot."""
    rows = Snapshot.objects.filter(site_shortname=shortname, state=SnapshotState.READY)
    return rows.order_by("-created_at").first()


def newest_good(shortname: str) -> Snapshot | None:
    """Return a site's newest whole snapshot that was not found damaged or unfit in a drill."""
    rows = Snapshot.objects.filter(site_shortname=shortname, state=SnapshotState.READY)
    good = rows.exclude(verified_ok=False).exclude(drilled_ok=False)
    return good.order_by("-created_at").first()


def newest_of(shortname: str) -> Snapshot:
    """Return a site's newest whole snapshot; raise NotFound for none."""
    row = newest(shortname)
    if row is None:
        raise NotFound(
            "snapshot.none",
            f"There is no whole snapshot of {shortname!r}.",
            f"vmoodle snapshot create {shortname}",
        )
    return row


def refuse_pinned(row: Snapshot) -> None:
    """Raise Refused for a pinned snapshot: it is deleted only once it is unpinned."""
    if row.pinned:
        raise Refused(
            "snapshot.pinned",
            f"The snapshot {row.id} is pinned; it was not deleted.",
            f"vmoodle snapshot unpin {row.id}",
        )


def verified(snapshot_id: str, *, ok: bool) -> None:
    """Every hash of the snapshot was compared just now."""
    Snapshot.objects.filter(id=snapshot_id).update(verified_at=timezone.now(), verified_ok=ok)


def drilled(snapshot_id: str, *, fault: str = "") -> None:
    """The snapshot was restored to scratch and looked at just now; without a fault it is good."""
    Snapshot.objects.filter(id=snapshot_id).update(
        drilled_at=timezone.now(), drilled_ok=not fault, drill_fault=fault[:500]
    )


def lacks(snapshot_id: str, missing: int) -> None:
    """The snapshot's database names this many files that the snapshot has not."""
    Snapshot.objects.filter(id=snapshot_id).update(missing_files=missing)


def pinned(snapshot_id: str, *, on: bool) -> None:
    """A pinned snapshot is neither pruned nor deleted."""
    Snapshot.objects.filter(id=snapshot_id).update(pinned=on, pinned_until="")


def pinned_while_deleted(snapshot_id: str) -> None:
    """The snapshot is pinned until its site is revived or purged."""
    Snapshot.objects.filter(id=snapshot_id).update(pinned=True, pinned_until=DELETION)


def unpinned_of_deletion(shortname: str) -> None:
    """The site is revived or purged: what was pinned until then is so no longer."""
    rows = Snapshot.objects.filter(site_shortname=shortname, pinned_until=DELETION)
    rows.update(pinned=False, pinned_until="")


def dated(rows: list[Snapshot]) -> list[tuple[str, datetime]]:
    """Return ids and times, as retention wants them."""
    return [(row.id, row.created_at) for row in rows]


def facts(row: Snapshot) -> dict[str, Any]:
    """Return what an administrator sees of a snapshot."""
    return {
        "id": row.id,
        "state": row.state,
        "site": row.site_shortname,
        "url": row.wwwroot,
        "taken": row.created_at,
        "reason": row.reason,
        "note": row.note,
        "pinned": row.pinned,
        "moodle": row.moodle_release,
        "engine": row.flavour,
        "database_bytes": row.database_bytes,
        "files_bytes": row.files_bytes,
        "files": row.files_count,
        "missing_files": row.missing_files,
        "verified": row.verified_at,
        "verified_ok": row.verified_ok,
        "drilled": row.drilled_at,
        "drilled_ok": row.drilled_ok,
        "drill_fault": row.drill_fault,
        "actor": row.actor,
    }
