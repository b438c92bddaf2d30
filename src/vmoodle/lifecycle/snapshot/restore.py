"""Restore a snapshot in place: beside what is there, then exchanged, then the old removed.

Until the exchange the site is as it was, and an operation that fails goes back to that.
"""

from __future__ import annotations

import secrets
from pathlib import Path

from django.db import transaction

from vmoodle.engines.protocol import SiteDatabase
from vmoodle.errors import Refused, Unavailable
from vmoodle.installation import Installation
from vmoodle.lifecycle import dataroot, interruption, preflight, resources
from vmoodle.lifecycle.copy.files import keep_own, rescue
from vmoodle.lifecycle.prove import prove
from vmoodle.lifecycle.resources import Holdings
from vmoodle.lifecycle.stored import (
    fetch_files,
    load_database,
    open_snapshots,
    refuse_known_damage,
    refuse_unfit_snapshot,
)
from vmoodle.lifecycle.suspend import settled
from vmoodle.operations.plan import OperationKind, Step, StepContext
from vmoodle.registry import audit, operations, sites, snapshots
from vmoodle.registry.models import Operation, SiteState
from vmoodle.registry.source_names import SourceKind
from vmoodle.store.manifest import Manifest

KIND = "snapshot.restore"


def submit(
    installation: Installation, snapshot_id: str, *, typed: str, shortname: str = ""
) -> Operation:
    """Queue putting a site back to a snapshot of it; what it has now is lost.

    `typed` is the site's shortname as a person typed it. Raise NotFound, Conflict, Refused without
    the shortname typed, for a snapshot of another engine or of a newer Moodle than the codebase's,
    Failed for one that is known to be damaged or of which something is missing, Unavailable for too
    little disk.
    """
    row = snapshots.usable(snapshot_id)
    site = settled(shortname or row.site_shortname, "restored")
    if typed != site.shortname:
        raise Refused(
            "snapshot.restore.unconfirmed",
            f"Restoring replaces all that {site.shortname} has now; its shortname was not typed.",
            f"vmoodle snapshot restore {row.id} --confirm {site.shortname}",
        )
    resources.refuse_foreign(installation, site, "restored in place")
    store = open_snapshots(installation)
    manifest = store.read_manifest(row.id)
    refuse_unfit_snapshot(manifest, site.server.engine, site.codebase.version, site.table_prefix)
    # While the site still serves: a restoration that fails would cost it a while of 503.
    refuse_known_damage(store, manifest, row)
    token = secrets.token_hex(4)
    dataroot.refuse_outside(installation, Path(site.dataroot).with_name(f".restore-{token}"))
    dataroot.refuse_full(
        Path(site.dataroot).parent, dataroot.FREE_BYTES_NEEDED + 2 * row.database_bytes
    )
    with transaction.atomic():
        site = settled(site.shortname, "restored")
        operations.refuse_used(SourceKind.SITE.named(site.shortname))
        operation = operations.submit(
            KIND,
            site=site.shortname,
            parameters={
                "snapshot": row.id,
                "state": site.state,
                "token": token,
                "database": f"{installation.settings.sites.database_prefix}r_{token}",
                "old_database": site.database,
            },
            node=installation.node,
        )
    audit.record(KIND, site.shortname, outcome="submitted", snapshot=row.id)
    return operation


def _manifest(context: StepContext) -> Manifest:
    store = open_snapshots(context.installation)
    return store.read_manifest(str(context.parameters["snapshot"]))


def _new(context: StepContext) -> Holdings:
    """Return what is made beside the site's own: the new database, its account, the directory."""
    site = sites.find(context.site)
    own = context.installation.site_database(site)
    database = SiteDatabase(
        str(context.parameters["database"]), own.account, own.password, own.prefix
    )
    return Holdings(site.shortname, site.server, database, _beside(context, "restore"))


def _old(context: StepContext) -> Holdings:
    site = sites.find(context.site)
    own = context.installation.site_database(site)
    database = SiteDatabase(
        str(context.parameters["old_database"]), own.account, own.password, own.prefix
    )
    return Holdings(site.shortname, site.server, database, _beside(context, "old"))


def _beside(context: StepContext, word: str) -> Path:
    path = Path(sites.find(context.site).dataroot)
    return path.with_name(f".{word}-{context.parameters['token']}")


def _exchanged(context: StepContext) -> bool:
    """Tell whether the site lives on what was made for it; a new attempt then only goes on."""
    return sites.find(context.site).database == str(context.parameters["database"])


def _database(context: StepContext) -> None:
    if _exchanged(context):
        return
    site, manifest = sites.find(context.site), _manifest(context)
    resources.copy_database(
        context,
        _new(context),
        lambda _engine, database: load_database(
            context.installation, manifest, site.server, database
        ),
    )


def _drop_new(context: StepContext) -> None:
    resources.drop_database(context, _new(context))


def _files(context: StepContext) -> None:
    if _exchanged(context):
        return
    holdings = _new(context)
    dataroot.make(context, holdings)
    site = sites.find(context.site)
    try:
        manifest, current = _manifest(context), Path(site.dataroot)
        said = fetch_files(context.installation, manifest, holdings.directory, current, keys=True)
        # A snapshot of an older release has fewer directories.
        kept = keep_own(
            context.installation,
            current,
            holdings.directory,
            restored={part.name for part in manifest.parts},
        )
    except OSError as error:
        raise Unavailable(
            "dataroot.copy",
            f"The files could not be put into {holdings.directory}: {error.strerror}.",
            "Free space there; the site is as it was.",
        ) from error
    context.say(said + (f"; kept: {', '.join(kept)}" if kept else ""))
    # What the site has by now may be more than it had when the snapshot was taken.
    rescue(context.installation, current, holdings, context.say)


def _remove_new(context: StepContext) -> None:
    dataroot.destroy(context, _new(context))


def _exchange(context: StepContext) -> None:
    if _exchanged(context):
        return
    site = sites.find(context.site)
    dataroot.exchange(
        context, Path(site.dataroot), new=_beside(context, "restore"), old=_beside(context, "old")
    )
    sites.on_database(site, str(context.parameters["database"]))


def _exchange_back(context: StepContext) -> None:
    site = sites.find(context.site)
    dataroot.exchange(
        context, Path(site.dataroot), new=_beside(context, "old"), old=_beside(context, "restore")
    )
    sites.on_database(site, str(context.parameters["old_database"]))


def _open(context: StepContext) -> None:
    interruption.end(context)
    site = sites.find(context.site)
    if site.state == SiteState.ENABLED and not preflight.upgrade_pending(
        context.installation, site
    ):
        context.say(prove(context.installation, site).summary())


def _drop_old(context: StepContext) -> None:
    holdings = _old(context)
    resources.drop_database(context, holdings)
    dataroot.destroy(context, holdings)
    audit.record(
        KIND,
        context.site,
        operation=context.operation_id,
        snapshot=str(context.parameters["snapshot"]),
    )


RESTORE = OperationKind(
    KIND,
    "restore a snapshot",
    (
        Step("close", "answer 503 for the time being", interruption.begin, interruption.end),
        Step("database", "load the database beside the old one", _database, _drop_new),
        Step("files", "put the files beside the old ones", _files, _remove_new),
        Step("exchange", "exchange old and new", _exchange, _exchange_back),
        Step("open", "serve again", _open, interruption.begin),
        Step("drop", "remove what was there before", _drop_old, None),
    ),
    attention=interruption.attention,
)
