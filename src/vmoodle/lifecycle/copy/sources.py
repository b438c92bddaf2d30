"""What a copy is filled from: a template, a site, a snapshot. Each gives database and files.

The source is only ever read. A source is named `template:NAME`, `site:SHORTNAME` or `snapshot:ID`
in an operation's parameters, so that a resumed operation finds it again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from vmoodle.engines.protocol import Engine, SiteDatabase
from vmoodle.errors import Conflict, Refused
from vmoodle.installation import Installation
from vmoodle.lifecycle.copy.files import copy_files
from vmoodle.lifecycle.lost import connected
from vmoodle.lifecycle.stored import (
    engine_of,
    fetch_files,
    load_database,
    open_snapshots,
    refuse_unfit_snapshot,
)
from vmoodle.lifecycle.suspend import settled
from vmoodle.moodle.code.tree import MoodleTree
from vmoodle.moodle.code.versions import all_versions_hash
from vmoodle.moodle.database import contents
from vmoodle.moodle.database.site_schema import VERSIONS_HASH, core_settings
from vmoodle.operations.scratch import scratch
from vmoodle.registry import servers, sites, snapshots, templates
from vmoodle.registry.models import Codebase, DatabaseServer, Site
from vmoodle.registry.source_names import SourceKind, parse_source, site_copied

Say = Callable[[str], None]


@dataclass(frozen=True)
class SourceFacts:
    """What must be known of a source before anything is made.

    `wwwroot` is the address that stands in its content, `versions_hash` what Moodle calls
    allversionshash: the versions of core and of every plugin its database is at.
    """

    name: str
    wwwroot: str
    table_prefix: str
    moodle_release: str
    moodle_version: str
    versions_hash: str
    server: DatabaseServer
    codebase: str
    database_bytes: int
    files_bytes: int
    is_dump: bool = False
    """Whether the database comes from a dump, whatever the server."""
    has_addresses: bool = True
    """Whether addresses of its own stand in its content; True where nobody looked."""
    revision: int | None = None
    """A template's revision, of which all of these are; None for what has none."""
    database: str = ""
    """A site's database by name, which another one takes the place of in a restore."""

    def identity(self) -> dict[str, str]:
        """Return what an operation on it is told, by which `refuse_changed` knows it again."""
        return {"wwwroot": self.wwwroot, "source_database": self.database}


class Source(Protocol):
    """A thing that sites are made from."""

    def facts(self) -> SourceFacts:
        """Return what it is; raise Conflict when it cannot be used now."""

    def copy_database(self, target: SiteDatabase, server: DatabaseServer) -> None:
        """Make the target database, whose account is there, a copy."""

    def copy_files(self, target: Path) -> str:
        """Fill an empty moodledata with the files; return in words how and how many."""


def open_source(installation: Installation, name: str) -> Source:
    """Return the source of a name; raise NotFound, and InvalidInput for an unknown kind."""
    kind, rest = parse_source(name)
    made: dict[SourceKind, Callable[[Installation, str], Source]] = {
        SourceKind.TEMPLATE: TemplateSource,
        SourceKind.SITE: SiteSource,
        SourceKind.SNAPSHOT: SnapshotSource,
    }
    return made[kind](installation, rest)


class TemplateSource:
    """A template: nobody writes it, so its database is copied inside the server."""

    def __init__(self, installation: Installation, name: str) -> None:
        self._installation = installation
        self.row = templates.find(name)

    def facts(self) -> SourceFacts:
        """Return what it is; raise Conflict when the template is not ready."""
        row = templates.usable(self.row.name)
        return SourceFacts(
            name=f"template {row.name}",
            wwwroot=row.wwwroot,
            table_prefix=row.table_prefix,
            moodle_release=row.moodle_release,
            moodle_version=row.moodle_version,
            versions_hash=row.versions_hash,
            server=row.server,
            codebase="",
            database_bytes=row.database_bytes,
            files_bytes=row.files_bytes,
            has_addresses=row.content_urls > 0,
            revision=row.revision,
        )

    def copy_database(self, target: SiteDatabase, server: DatabaseServer) -> None:
        """Make the target database a copy of the frozen one.

        Raise Refused where the template was brought to other versions since a site was ordered.
        """
        site = Site.objects.filter(server=server, database=target.name).first()
        if site is not None:
            refuse_unfit(self.facts(), site.codebase, server)
        own = self._installation.template_database(self.row)
        # Read as the administrator's: nobody writes it, so the server copies it whatever its size.
        engine = self._installation.engine(self.row.server)
        frozen = engine.anonymous_database(own.name, own.prefix)
        same = server.id == self.row.server_id
        copy_between(
            self._installation, (self.row.server, frozen if same else own), (server, target)
        )

    def copy_files(self, target: Path) -> str:
        """Link or copy the template's files."""
        return copy_files(self._installation, Path(self.row.directory), target)


class SiteSource:
    """A site as it stands: its database is copied in one transaction, its files after that."""

    def __init__(self, installation: Installation, shortname: str) -> None:
        self._installation = installation
        self.site = sites.find(shortname)

    def facts(self) -> SourceFacts:
        """Return what it is; raise as `refuse_lost_files`.

        Raise Conflict for a site that is being made or taken apart.
        """
        site = settled(self.site.shortname, "copied")
        facts = site_facts(self._installation, site)
        refuse_lost_files(self._installation, site)
        return facts

    def copy_database(self, target: SiteDatabase, server: DatabaseServer) -> None:
        """Make the target database a consistent copy; the site goes on serving."""
        database = self._installation.site_database(self.site)
        copy_between(self._installation, (self.site.server, database), (server, target))

    def copy_files(self, target: Path) -> str:
        """Link or copy the site's files; raise as `refuse_lost_files`."""
        refuse_lost_files(self._installation, self.site)
        return copy_files(self._installation, Path(self.site.dataroot), target)


class SnapshotSource:
    """A snapshot: loaded from the store, files that its site still has are shared."""

    def __init__(self, installation: Installation, snapshot_id: str) -> None:
        self._installation = installation
        self.row = snapshots.usable(snapshot_id)

    def facts(self) -> SourceFacts:
        """Return what it is; raise as the store does."""
        manifest = open_snapshots(self._installation).read_manifest(self.row.id)
        site = Site.objects.filter(shortname=self.row.site_shortname).first()
        engine = engine_of(manifest)
        if site is not None and site.server.engine == engine:
            server = site.server
        else:
            server = servers.first_of(engine)
        return SourceFacts(
            name=f"snapshot {self.row.id}",
            wwwroot=manifest.site.wwwroot,
            table_prefix=manifest.prefix,
            moodle_release=manifest.moodle.release,
            moodle_version=manifest.moodle.version,
            versions_hash=manifest.moodle.component_hash,
            server=server,
            codebase=site.codebase.name if site else "",
            database_bytes=2 * self.row.database_bytes,
            files_bytes=self.row.files_bytes,
            is_dump=True,
        )

    def copy_database(self, target: SiteDatabase, server: DatabaseServer) -> None:
        """Load the snapshot's dump; raise Refused where the prefix is another."""
        manifest = open_snapshots(self._installation).read_manifest(self.row.id)
        refuse_unfit_snapshot(manifest, server.engine, manifest.moodle.version, target.prefix)
        load_database(self._installation, manifest, server, target)

    def copy_files(self, target: Path) -> str:
        """Fetch the snapshot's files."""
        store = open_snapshots(self._installation)
        site = Site.objects.filter(shortname=self.row.site_shortname).first()
        return fetch_files(
            self._installation,
            store.read_manifest(self.row.id),
            target,
            Path(site.dataroot) if site else None,
        )


def site_facts(installation: Installation, site: Site) -> SourceFacts:
    """Return what a site is at, asked of its own database.

    Raise Conflict for one whose installation or upgrade has not ended.
    """
    with connected(installation, site) as connection:
        config = core_settings(connection, "version", "release", VERSIONS_HASH, "upgraderunning")
    if not config.get(VERSIONS_HASH) or config.get("upgraderunning"):
        raise Conflict(
            "site.upgrading",
            f"The site {site.shortname} is being installed or upgraded.",
            "Let that end first.",
        )
    return SourceFacts(
        name=f"site {site.shortname}",
        wwwroot=site.wwwroot,
        table_prefix=site.table_prefix,
        moodle_release=config.get("release", ""),
        moodle_version=config.get("version", ""),
        versions_hash=config[VERSIONS_HASH],
        server=site.server,
        codebase=site.codebase.name,
        database_bytes=installation.engine(site.server).size(site.database),
        files_bytes=0,
        database=site.database,
    )


def refuse_lost_files(installation: Installation, site: Site) -> None:
    """Raise for a site whose files are gone: a copy of it would be taken for a whole one.

    NotFound (`filedir.missing`), Unavailable (`filedir.lost`, `filedir.unreadable`).
    """
    with connected(installation, site) as connection:
        contents.refuse_lost(connection, Path(site.dataroot))


def refuse_changed(source: str, told: Mapping[str, Any]) -> None:
    """Raise Conflict for a site that is moved, restored or held since its facts were looked up.

    It stays as it is until the transaction ends, in which the caller orders what copies it; from
    then on nothing else is ordered that would change it.
    """
    shortname = site_copied(source)
    if not shortname:
        return
    site = settled(shortname, "copied")
    if (site.wwwroot, site.database) != (told["wwwroot"], told["source_database"]):
        raise Conflict(
            "source.changed",
            f"The site {shortname} was moved or restored while this was prepared.",
            "Order it again; it is made of what the site is now.",
        )


def refuse_unfit(facts: SourceFacts, codebase: Codebase, server: DatabaseServer) -> None:
    """Raise Refused unless a copy of the source runs on the codebase and server as it is."""
    if facts.server.engine != server.engine:
        raise Refused(
            "source.engine",
            f"The {facts.name} is on {facts.server.engine}, {server.name} is {server.engine}.",
            f"Choose a {facts.server.engine} server with --server.",
        )
    tree = MoodleTree.open(Path(codebase.path))
    if all_versions_hash(tree) != facts.versions_hash:
        raise Refused(
            "source.version",
            f"The {facts.name} is at Moodle {facts.moodle_release}, and the codebase "
            f"{codebase.name} ({tree.version.release}) has other versions of core or plugins.",
            _way_to_fit(facts, codebase, tree),
        )


def _way_to_fit(facts: SourceFacts, codebase: Codebase, tree: MoodleTree) -> str:
    """Return in words what makes a copy of the source fit a codebase, or another codebase fit."""
    kind, _separator, name = facts.name.partition(" ")
    if kind == "template" and float(tree.version.version) >= float(facts.moodle_version):
        return (
            "Choose a codebase that fits with --codebase, or bring the template to this one: "
            f"vmoodle template refresh {name} --upgrade {codebase.name}"
        )
    return (
        "Choose a codebase that fits with --codebase, or upgrade the site it came from and "
        "capture that again."
    )


def refuse_another_prefix(facts: SourceFacts, server: DatabaseServer, prefix: str) -> None:
    """Raise Refused where a copy cannot have another prefix: not inside the source's own server."""
    if prefix != facts.table_prefix and (facts.server.id != server.id or facts.is_dump):
        raise Refused(
            "source.prefix",
            f"The {facts.name} has tables that begin with {facts.table_prefix}; a copy through a "
            "dump cannot begin with another prefix.",
            f"Leave out --prefix, or choose the server {facts.server.name}.",
        )


def copy_between(
    installation: Installation,
    source: tuple[DatabaseServer, SiteDatabase],
    target: tuple[DatabaseServer, SiteDatabase],
) -> None:
    """Copy a database: inside one server, else through a dump. The target's account is there."""
    (source_server, source_database), (target_server, target_database) = source, target
    engine: Engine = installation.engine(target_server)
    if source_server.id == target_server.id:
        # The server may still be making one for a process that was killed.
        engine.clone_database(source_database, target_database, replace=True)
        return
    with scratch(installation.home.run) as directory:
        path = directory / "dump"
        installation.engine(source_server).dump(source_database, path)
        engine.create_database(target_database)
        engine.restore(path, target_database)
