"""Snapshots: a dated copy of a site in the store, taken while it serves.

The database is dumped in one transaction, the files are read after it: a file that the database
names is there, for Moodle removes no file for days after its last use. Files are kept once per
store. A snapshot exists when its manifest does, and not before.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from django.db import transaction

from vmoodle.errors import Conflict, Failed, NotFound, VMoodleError
from vmoodle.installation import Installation
from vmoodle.lifecycle.copy.files import say_missing
from vmoodle.lifecycle.copy.sources import refuse_lost_files, site_facts
from vmoodle.lifecycle.lost import connected
from vmoodle.lifecycle.stored import (
    DATABASE_PART,
    last_manifest,
    open_snapshots,
)
from vmoodle.lifecycle.suspend import settled
from vmoodle.moodle.database import contents
from vmoodle.moodle.files import moodledata
from vmoodle.operations.plan import OperationKind, Step, StepContext
from vmoodle.operations.scratch import scratch
from vmoodle.progress import Tell, tell_nobody
from vmoodle.registry import audit, operations, sites, snapshots
from vmoodle.registry.models import Operation, Site, Snapshot, SnapshotState
from vmoodle.registry.source_names import SourceKind
from vmoodle.store.add import walk, walk_filedir
from vmoodle.store.finding import Finding
from vmoodle.store.manifest import (
    EngineFacts,
    Manifest,
    MoodleFacts,
    Part,
    SiteFacts,
    new_id,
)
from vmoodle.store.retention import Retention
from vmoodle.store.store import Store

KIND = "snapshot.create"
_MISSING = "missing_files"
"""The member of a manifest's `extra` that counts the files its database names and it has not."""


def submit(
    installation: Installation, shortname: str, *, reason: str = "manual", note: str = ""
) -> Operation:
    """Queue taking a snapshot of a site; raise NotFound, Conflict, and as the store does."""
    settled(shortname, "snapshotted")
    open_snapshots(installation, create=True)
    return order(installation, shortname, reason=reason, note=note)


def plan(installation: Installation, shortname: str) -> Site:
    """Return the site of which a snapshot would be taken; change nothing, raise as `submit`.

    A store that is not there yet is not made, and is no error.
    """
    site = settled(shortname, "snapshotted")
    with contextlib.suppress(NotFound):
        open_snapshots(installation)
    return site


def submit_each(
    installation: Installation, shortnames: Iterable[str], *, note: str = ""
) -> dict[str, Operation | VMoodleError]:
    """Queue taking a snapshot of each site; return by shortname its operation, or why not.

    Raise as the store does: without it nothing is queued. Where no site is accepted no store is
    made.
    """
    outcome: dict[str, Operation | VMoodleError] = {}
    opened = False
    for shortname in shortnames:
        try:
            settled(shortname, "snapshotted")
        except VMoodleError as error:
            outcome[shortname] = error
            continue
        if not opened:
            open_snapshots(installation, create=True)
            opened = True
        try:
            outcome[shortname] = order(installation, shortname, reason="manual", note=note)
        except VMoodleError as error:
            outcome[shortname] = error
    return outcome


def order(
    installation: Installation, shortname: str, *, reason: str, note: str, **more: object
) -> Operation:
    """Queue taking a snapshot into the store, which is there; raise NotFound, Conflict.

    `more` are further parameters: `prune` deletes afterwards what the retention does not keep.
    """
    snapshot_id = new_id(shortname)
    with transaction.atomic():
        site = settled(shortname, "snapshotted")
        operation = operations.submit(
            KIND,
            site=shortname,
            parameters={"snapshot": snapshot_id, **more},
            node=installation.node,
        )
        snapshots.reserve(snapshot_id, site, reason=reason, note=note)
    return operation


def pin(snapshot_id: str, *, on: bool) -> Snapshot:
    """Keep a snapshot from being pruned or deleted, or let it be again; raise NotFound."""
    row = snapshots.find(snapshot_id)
    snapshots.pinned(row.id, on=on)
    audit.record("snapshot.pin" if on else "snapshot.unpin", row.id, site=row.site_shortname)
    return snapshots.find(row.id)


def delete(installation: Installation, snapshot_id: str) -> Snapshot:
    """Delete a snapshot; its contents that no other needs go with the next prune.

    Raise NotFound, Refused for a pinned one, Conflict for one that an operation works with.
    """
    row = snapshots.find(snapshot_id)
    snapshots.refuse_pinned(row)
    refuse_used(row)
    _remove(installation, row)
    return row


def refuse_used(row: Snapshot) -> None:
    """Raise Conflict when an operation works with a snapshot."""
    operations.refuse_used(SourceKind.SNAPSHOT.named(row.id))
    busy = operations.under_way_with(snapshot=row.id)
    if busy:
        raise Conflict(
            "snapshot.used",
            f"Operation {busy[0].id} works with the snapshot {row.id}.",
            "Let it end first.",
        )


def _remove(installation: Installation, row: Snapshot) -> None:
    # A store that has lost it already is no reason to keep the row.
    with contextlib.suppress(NotFound):
        open_snapshots(installation).delete_manifest(row.id)
    snapshots.forget(row.id)
    audit.record("snapshot.delete", row.id, site=row.site_shortname)


def verify(installation: Installation, snapshot_id: str) -> list[Finding]:
    """Compare every hash of a snapshot with what lies in the store; return what is wrong.

    Raise NotFound, Conflict, and as the store does for a manifest that is gone or damaged.
    """
    row = snapshots.usable(snapshot_id)
    store = open_snapshots(installation)
    try:
        findings = store.verify(store.read_manifest(row.id), quarantine=True)
    except Failed:
        snapshots.verified(row.id, ok=False)
        raise
    snapshots.verified(row.id, ok=not findings)
    return findings


def verify_each(
    installation: Installation, shortname: str, tell: Tell = tell_nobody
) -> dict[str, list[str]]:
    """Verify every whole snapshot of a site (empty: of all); return what is wrong by id.

    One that cannot be verified holds no other: why is what is wrong with it.
    """
    outcome: dict[str, list[str]] = {}
    for row in snapshots.every(shortname):
        if row.state != SnapshotState.READY:
            continue
        tell(f"reading {row.id}")
        try:
            outcome[row.id] = [finding.message for finding in verify(installation, row.id)]
        except VMoodleError as error:
            outcome[row.id] = [error.message]
    return outcome


def prune(
    installation: Installation,
    shortname: str,
    retention: str,
    *,
    dry_run: bool = False,
    collect: bool = True,
) -> dict[str, list[str]]:
    """Delete the snapshots of a site (empty: of each site) that the retention does not keep.

    Pinned ones stay, those an operation works with, and of each site the newest of those that lack
    the fewest files. With `collect`, contents that none needs
    are removed too. Return the ids `deleted`, all those `kept`, and of these the `pinned`.
    """
    wanted = Retention.parse(retention or installation.settings.snapshots.retention)
    groups: dict[str, list[Snapshot]] = {}
    outcome: dict[str, list[str]] = {"deleted": [], "kept": [], "pinned": []}
    for row in snapshots.every(shortname):
        if row.state == SnapshotState.READY and row.pinned:
            outcome["kept"].append(row.id)
            outcome["pinned"].append(row.id)
        elif row.state == SnapshotState.READY:
            groups.setdefault(row.site_shortname, []).append(row)
    for rows in groups.values():
        missing = {row.id: row.missing_files for row in rows}
        keep = wanted.to_keep(snapshots.dated(rows), missing=missing)
        for row in rows:
            kept = row.id in keep or _is_used(row)
            outcome["kept" if kept else "deleted"].append(row.id)
    if not dry_run:
        for snapshot_id in outcome["deleted"]:
            delete(installation, snapshot_id)
        if groups and collect:
            open_snapshots(installation).collect_garbage()
    return outcome


def _is_used(row: Snapshot) -> bool:
    return bool(
        operations.under_way_with(source=SourceKind.SNAPSHOT.named(row.id))
        or operations.under_way_with(snapshot=row.id)
    )


def _reserved(context: StepContext) -> None:
    snapshots.find(str(context.parameters["snapshot"]))


def take(context: StepContext) -> None:
    """Put the operation's site into the store as the snapshot its parameters name; once only."""
    installation = context.installation
    snapshot_id = str(context.parameters["snapshot"])
    with contextlib.suppress(NotFound):
        if snapshot_id in open_snapshots(installation).manifest_ids():
            return
    site = sites.find(context.site)
    facts = site_facts(installation, site)
    refuse_lost_files(installation, site)
    store = open_snapshots(installation, create=True)
    engine = installation.engine(site.server)
    row = snapshots.find(snapshot_id)
    with store.writing():
        parts = [_dump(context, store)]
        # Asked before the files are listed: one that comes meanwhile is none that is missing.
        with connected(installation, site) as connection:
            named = set(contents.named(connection))
        parts += _files(context, store, Path(site.dataroot), named)
        say_missing(sorted(named), context.say)
        server = engine.facts()
        store.write_manifest(
            Manifest(
                id=snapshot_id,
                kind="snapshot",
                created=row.created_at,
                created_by=row.actor,
                note=row.note,
                site=SiteFacts(site.shortname, site.name, site.wwwroot),
                moodle=MoodleFacts(facts.moodle_version, facts.moodle_release, facts.versions_hash),
                engine=EngineFacts(server.flavour, server.version),
                prefix=site.table_prefix,
                parts=tuple(parts),
                extra={
                    "reason": row.reason,
                    "codebase": site.codebase.name,
                    _MISSING: str(len(named)),
                },
            )
        )


def _dump(context: StepContext, store: Store) -> Part:
    installation, site = context.installation, sites.find(context.site)
    with scratch(installation.home.run) as directory:
        path = directory / "dump"
        installation.engine(site.server).dump(installation.site_database(site), path)
        return Part.of(DATABASE_PART, store.put_file(path))


def _files(context: StepContext, store: Store, dataroot: Path, lacking: set[str]) -> list[Part]:
    """Put the files; take those of the pool that were put out of `lacking`.

    Raise Unavailable (`filedir.lost`) where the pool has none of what was to be found there.
    """
    before = last_manifest(store, context.site)
    parts = []
    for name, layout in (moodledata.CONTENT | moodledata.KEYS).items():
        directory = dataroot / name
        if not directory.is_dir():
            continue
        if layout == "filedir":
            met: set[str] = set()
            files = _noting(walk_filedir(directory), met)
            added = store.add_files(name, files, layout=layout, like=before)
            lacking -= met - {found.name for found in added.findings if found.code == "vanished"}
        else:
            added = store.add_files(name, walk(directory), layout=layout, like=before)
        parts.append(added.part)
        context.say(f"{name}: {added.part.files} files")
        for finding in added.findings:
            context.say(f"{name}: {finding.message}")
    if lacking and not any(part.files for part in parts if part.layout == "filedir"):
        raise contents.lost(dataroot / "filedir")
    return parts


def _noting(files: Iterable[tuple[str, Path]], met: set[str]) -> Iterator[tuple[str, Path]]:
    for name, path in files:
        met.add(name)
        yield name, path


def untake(context: StepContext) -> None:
    """Take that snapshot out of the store again; none is no error."""
    snapshot_id = str(context.parameters["snapshot"])
    with contextlib.suppress(NotFound):
        store = open_snapshots(context.installation)
        if snapshot_id in store.manifest_ids():
            store.delete_manifest(snapshot_id)


def note_taken(context: StepContext) -> None:
    """Write that snapshot down as whole."""
    snapshot_id = str(context.parameters["snapshot"])
    manifest = open_snapshots(context.installation).read_manifest(snapshot_id)
    snapshots.taken(snapshot_id, sizes_of(manifest))
    context.keep({"snapshot": snapshot_id})
    audit.record(KIND, context.site, operation=context.operation_id, snapshot=snapshot_id)


def forget(context: StepContext) -> None:
    """Forget that snapshot's row; none is no error."""
    snapshots.forget(str(context.parameters["snapshot"]))


def attention(context: StepContext) -> None:
    """Let that snapshot say that it was not taken to the end."""
    snapshots.needs_attention(str(context.parameters["snapshot"]))


def _prune(context: StepContext) -> None:
    """Delete what the retention does not keep; a failure of it is no failure of the snapshot."""
    if not context.parameters.get("prune"):
        return
    try:
        deleted = prune(context.installation, context.site, "", collect=False)["deleted"]
    except VMoodleError as error:
        context.say(f"older snapshots were not pruned: {error.message}")
    else:
        context.say(f"{len(deleted)} older snapshots pruned")


def sizes_of(manifest: Manifest) -> dict[str, Any]:
    """Return what the registry keeps of a manifest."""
    files = [part for part in manifest.parts if part.layout is not None]
    return {
        "moodle_version": manifest.moodle.version,
        "moodle_release": manifest.moodle.release,
        "flavour": manifest.engine.flavour,
        "database_bytes": manifest.part(DATABASE_PART).bytes,
        "files_bytes": sum(part.bytes for part in files),
        "files_count": sum(part.files for part in files),
        "missing_files": _number(manifest.extra.get(_MISSING, "")),
    }


def _number(text: str) -> int:
    # A manifest from elsewhere may say anything.
    return int(text) if re.fullmatch(r"[0-9]{1,9}", text) else 0


CREATE = OperationKind(
    KIND,
    "take a snapshot",
    (
        Step("reserve", "reserve its id", _reserved, forget),
        Step("take", "put database and files into the store", take, untake),
        Step("finish", "write it down", note_taken),
        Step("prune", "see to older ones", _prune, None),
    ),
    attention=attention,
    beside_cron=True,
)
