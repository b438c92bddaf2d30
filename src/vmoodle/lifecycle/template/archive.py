"""A template as one file: written from what is frozen, and what such a file says before it is used.

The manifest names Moodle, engine, prefix and who wrote it; nothing in it names a server, an account
or a password.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from vmoodle.errors import Conflict, Failed, Refused
from vmoodle.hook.address import parse_wwwroot
from vmoodle.installation import Installation
from vmoodle.lifecycle.snapshot.foreign import RULES, Rule, accepted, refuse_odd
from vmoodle.lifecycle.stored import DATABASE_PART
from vmoodle.moodle.files import moodledata
from vmoodle.operations.scratch import scratch
from vmoodle.registry import audit, templates
from vmoodle.registry.audit import current_actor
from vmoodle.registry.models import Template
from vmoodle.store import archive
from vmoodle.store.add import walk, walk_filedir
from vmoodle.store.manifest import (
    EngineFacts,
    Manifest,
    MoodleFacts,
    Part,
    SiteFacts,
    new_id,
)
from vmoodle.store.store import Store, open_store

KIND = "template.export"


@dataclass(frozen=True)
class ArchivedTemplate:
    """What a template's archive says of itself, in a form that the registry takes."""

    manifest: Manifest
    name: str
    people: bool
    wwwroot: str
    content_left: int


def export(installation: Installation, name: str, path: Path) -> list[str]:
    """Write a template into a new file, encrypted with the snapshots' key where there is one.

    Return sentences about files that are not what their names say; they are kept as they are. Raise
    NotFound, Conflict for a template that is not ready or was replaced meanwhile and for a file
    that is there, Failed for files that are gone, and as the engine and the archive do.
    """
    archive.refuse_existing(path)
    row = templates.usable(name)
    with scratch(installation.home.run) as directory:
        store = staged_store(directory, create=True)
        manifest, notices = _put(installation, row, store, directory)
        if templates.usable(name).revision != row.revision:
            raise Conflict(
                "template.changed",
                f"The template {name} was captured anew while it was read; nothing was written.",
                "Export it again.",
            )
        archive.export(manifest, store, path, key=installation.settings.snapshots.key or None)
    audit.record(KIND, name, moodle=row.moodle_release)
    return notices


def staged_store(directory: Path, *, create: bool = False) -> Store:
    """Open the store in a directory of the home's own, in which a template lies meanwhile."""
    return open_store(str(directory.resolve() / "store"), create=create)


def read_facts(path: Path, manifest: Manifest) -> ArchivedTemplate:
    """Return what an archive's manifest says; raise Refused for what is no template.

    Raise InvalidInput `template.archive.odd` for facts that no template of VMoodle's has: whoever
    wrote the file may have been anybody.
    """
    if manifest.kind != "template":
        raise Refused(
            "template.archive.kind",
            f"{path} is no template: it is a snapshot of the site {manifest.site.shortname!r}.",
            f"`vmoodle snapshot import {path}` takes it; `vmoodle template create NAME "
            "--from-snapshot ID` then makes a template of it.",
        )
    refuse_odd(path, manifest, _RULES)
    return ArchivedTemplate(
        manifest,
        manifest.extra.get("template", ""),
        manifest.extra.get("people") == "yes",
        manifest.site.wwwroot,
        _count(manifest.extra.get("content_left", "")),
    )


def _count(text: str) -> int:
    """Return a number of cells; 0 where there is none, as in an older release's archive."""
    return int(text) if re.fullmatch(r"[0-9]{1,9}", text) else 0


def _neutral(manifest: Manifest) -> bool:
    """Tell whether the address in its content is nobody's (RFC 6761)."""
    wwwroot = manifest.site.wwwroot
    if not accepted(parse_wwwroot, wwwroot):
        return False
    address = parse_wwwroot(wwwroot)
    return address.wwwroot == wwwroot and address.host.endswith(".invalid")


_RULES: tuple[Rule, ...] = (*RULES, ("neutral address", _neutral))


def _put(
    installation: Installation, row: Template, store: Store, directory: Path
) -> tuple[Manifest, list[str]]:
    """Put a template's database and files into a store; return their manifest, and what is odd."""
    engine = installation.engine(row.server)
    dump = directory / "dump"
    engine.dump(installation.template_database(row), dump)
    with store.writing():
        database = Part.of(DATABASE_PART, store.put_file(dump))
        files, notices = _put_files(row, store)
        server = engine.facts()
        manifest = Manifest(
            id=new_id(row.name),
            kind="template",
            created=datetime.now(UTC),
            created_by=current_actor(),
            note=row.note,
            site=SiteFacts(row.name, row.name, row.wwwroot),
            moodle=MoodleFacts(row.moodle_version, row.moodle_release, row.versions_hash),
            engine=EngineFacts(server.flavour, server.version),
            prefix=row.table_prefix,
            parts=(database, *files),
            extra={
                "template": row.name,
                "people": "yes" if row.people else "no",
                "content_left": str(row.content_left),
                "revision": str(row.revision),
                "captured": (row.refreshed_at or row.created_at).isoformat(timespec="seconds"),
                "captured_by": row.actor,
            },
        )
        store.write_manifest(manifest)
    return manifest, notices


def _put_files(row: Template, store: Store) -> tuple[list[Part], list[str]]:
    parts, notices = [], []
    for name, layout in moodledata.CONTENT.items():
        directory = Path(row.directory) / name
        if not directory.is_dir():
            continue
        files = walk_filedir(directory) if layout == "filedir" else walk(directory)
        added = store.add_files(name, files, layout="filedir" if layout == "filedir" else "tree")
        for finding in added.findings:
            if finding.code == "vanished":
                raise Failed(
                    "template.damaged",
                    f"The template {row.name} has lost the file {name}/{finding.name}.",
                    f"Capture it anew: vmoodle template refresh {row.name}",
                )
            notices.append(f"{name}/{finding.name}: {finding.message}")
        parts.append(added.part)
    return parts, notices
