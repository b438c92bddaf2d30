"""What is read of the snapshot store: by what takes snapshots, and by what copies from them."""

from __future__ import annotations

from pathlib import Path

from vmoodle.engines.protocol import SiteDatabase
from vmoodle.errors import Failed, NotFound, Refused
from vmoodle.installation import Installation
from vmoodle.moodle.files import moodledata
from vmoodle.operations.scratch import scratch
from vmoodle.registry import snapshots
from vmoodle.registry.models import DatabaseServer, Snapshot
from vmoodle.store.address import StoreCredentials
from vmoodle.store.fetch import Modes, Source
from vmoodle.store.finding import Finding
from vmoodle.store.manifest import Manifest
from vmoodle.store.store import Store, open_store

DATABASE_PART = "database"


def open_snapshots(installation: Installation, *, create: bool = False) -> Store:
    """Open the store; with `create` make it where there is none. Raise as `open_store`."""
    chosen = installation.settings.snapshots
    return open_store(
        chosen.store or str(installation.home.path.resolve() / "store"),
        credentials=StoreCredentials(chosen.account, chosen.password)
        if chosen.account or chosen.password
        else None,
        key=chosen.key or None,
        create=create,
        spool=installation.home.run,
    )


def last_manifest(store: Store, shortname: str) -> Manifest | None:
    """Return the manifest of a site's newest whole snapshot, None when the store has none.

    None also for one that is damaged: what it spares the next snapshot is reading, no more.
    """
    newest: Snapshot | None = snapshots.newest(shortname)
    if newest is None:
        return None
    try:
        return store.read_manifest(newest.id)
    except (NotFound, Failed):
        # It may lie in the store that the settings named before: this one begins anew.
        return None


def engine_of(manifest: Manifest) -> str:
    """Return the engine whose servers take a manifest's dump."""
    return "postgresql" if manifest.engine.flavour == "postgresql" else "mariadb"


def refuse_unfit_snapshot(
    manifest: Manifest, engine: str, codebase_version: str, prefix: str = ""
) -> None:
    """Raise Refused for a snapshot that cannot run on an engine and a codebase."""
    source = engine_of(manifest)
    if source != engine:
        raise Refused(
            "source.engine",
            f"The snapshot {manifest.id} is of {manifest.engine.flavour}; the server is {engine}.",
            f"Choose a {source} server.",
        )
    if float(manifest.moodle.version) > float(codebase_version):
        raise Refused(
            "snapshot.newer",
            f"The snapshot {manifest.id} is of Moodle {manifest.moodle.release}, newer than the "
            "codebase; Moodle cannot go back.",
            "Choose a codebase of that version or a later one.",
        )
    if prefix and prefix != manifest.prefix:
        raise Refused(
            "snapshot.prefix",
            f"The snapshot's tables begin with {manifest.prefix}, the site's with {prefix}.",
            f"Restore it as a new site with --prefix {manifest.prefix}.",
        )


def refuse_known_damage(store: Store, manifest: Manifest, row: Snapshot) -> None:
    """Raise Failed for a snapshot found damaged before, or of which the store lacks something.

    Nothing is read but the lists of its files; what is there may still be damaged.
    """
    if row.verified_ok is False:
        raise Failed(
            "snapshot.damaged",
            f"The snapshot {row.id} was found damaged on {row.verified_at:%Y-%m-%d}.",
            f"Choose another one. If it was mended since: vmoodle snapshot verify {row.id}",
        )
    require_whole(store.verify(manifest, read=False), row.id)


def require_whole(findings: list[Finding], snapshot_id: str) -> None:
    """Raise Failed when a snapshot has findings."""
    if findings:
        first = findings[0]
        place = f"{first.part} {first.name}".strip()
        raise Failed(
            "snapshot.damaged",
            f"The snapshot {snapshot_id} is damaged: {place}: {first.message}"
            + (f" ({len(findings)} findings in all)" if len(findings) > 1 else ""),
            "Choose or take another one.",
        )


def load_database(
    installation: Installation,
    manifest: Manifest,
    server: DatabaseServer,
    database: SiteDatabase,
    store: Store | None = None,
) -> None:
    """Make the database, whose account is there, and load a dump of the store into it."""
    store, engine = store or open_snapshots(installation), installation.engine(server)
    engine.create_database(database)
    with scratch(installation.home.run) as directory:
        path = directory / "dump"
        store.get(manifest.part(DATABASE_PART).blob, path)
        engine.restore(path, database)


def fetch_files(
    installation: Installation,
    manifest: Manifest,
    target: Path,
    link_from: Path | None = None,
    store: Store | None = None,
    *,
    keys: bool = False,
) -> str:
    """Fill a directory with a snapshot's files, sharing those another site has; say how many.

    With `keys` also what opens the site's encrypted settings: for that site alone.
    """
    store = store or open_snapshots(installation)
    modes = Modes(owner=installation.owner_ids)
    said = []
    for name in moodledata.CONTENT | (moodledata.KEYS if keys else {}):
        if all(part.name != name for part in manifest.parts):
            continue
        source = None
        if link_from is not None and name == "filedir" and (link_from / name).is_dir():
            source = Source(link_from / name)
        done = store.fetch_files(manifest, target / name, part=name, link_from=source, modes=modes)
        said.append(f"{name}: {done.fetched} fetched, {done.linked} shared")
    return "; ".join(said) or "no files"
