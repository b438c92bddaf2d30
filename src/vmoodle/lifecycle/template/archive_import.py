"""Make a template from an archive: all of it checked and taken into the home, then made hot.

The file is read once, by whoever orders the import; the operation works on what was taken in, which
it removes at its end, however it ends.
"""

from __future__ import annotations

from pathlib import Path

from django.db import transaction

from vmoodle.errors import Failed, Refused
from vmoodle.installation import Installation
from vmoodle.lifecycle import dataroot, resources
from vmoodle.lifecycle.copy import fit
from vmoodle.lifecycle.resources import Holdings
from vmoodle.lifecycle.snapshot.foreign import archive_key
from vmoodle.lifecycle.stored import DATABASE_PART, engine_of, fetch_files, load_database
from vmoodle.lifecycle.template import template
from vmoodle.lifecycle.template.archive import (
    ArchivedTemplate,
    read_facts,
    staged_store,
)
from vmoodle.lifecycle.template.template import for_template, name_of
from vmoodle.moodle.database import content_urls
from vmoodle.moodle.database.site_schema import VERSIONS_HASH, core_settings
from vmoodle.operations.plan import OperationKind, Step, StepContext
from vmoodle.operations.scratch import discard, prepared
from vmoodle.registry import audit, operations, servers, templates
from vmoodle.registry.models import DatabaseServer, Operation
from vmoodle.store import archive
from vmoodle.store.manifest import Manifest
from vmoodle.store.store import Store

KIND = "template.import"


def submit(
    installation: Installation, path: Path, *, name: str = "", server: str = ""
) -> Operation:
    """Check all of an archive, take it into the home and queue making a template of it.

    `name` and `server` are the archive's own and the first of its engine when not given. Nothing is
    changed when it raises: InvalidInput for a file that is damaged or says odd things, Refused for
    a snapshot's and for a server of another engine, Conflict for a name that is taken, NotFound,
    Unavailable for too little disk.
    """
    key = archive_key(installation, path)
    facts = read_facts(path, archive.inspect(path, key=key))
    wanted = name or facts.name
    values = template.reserved_values(installation, wanted, bytes_needed=_bytes_needed(facts))
    chosen = _server(facts.manifest, server)
    dataroot.refuse_full(installation.home.run, dataroot.FREE_BYTES_NEEDED + path.stat().st_size)
    with prepared(installation.home.run) as directory:
        store = staged_store(directory, create=True)
        facts = read_facts(path, archive.import_(path, store, key=key))
        with transaction.atomic():
            templates.reserve(values | _described(facts, chosen))
            operation = operations.submit(
                KIND,
                site=templates.subject(wanted),
                parameters={"scratch": directory.name, "manifest": facts.manifest.id},
                node=installation.node,
            )
            audit.record(KIND, wanted, outcome="submitted", archive=facts.manifest.id)
    return operation


def _bytes_needed(facts: ArchivedTemplate) -> int:
    # A dump is about half of the database it came from: it holds no index.
    return facts.manifest.bytes + facts.manifest.part(DATABASE_PART).bytes


def _server(manifest: Manifest, name: str) -> DatabaseServer:
    engine = engine_of(manifest)
    server = servers.find(name) if name else servers.first_of(engine)
    if server.engine != engine:
        raise Refused(
            "source.engine",
            f"The template was captured on {manifest.engine.flavour}; the server {server.name} is "
            f"{server.engine}.",
            f"Choose a {engine} server with --server.",
        )
    return server


def _described(facts: ArchivedTemplate, server: DatabaseServer) -> dict[str, object]:
    manifest = facts.manifest
    return {
        "source": templates.IMPORTED,
        "people": facts.people,
        "note": manifest.note[:500],
        "moodle_version": manifest.moodle.version,
        "moodle_release": manifest.moodle.release,
        "versions_hash": manifest.moodle.component_hash,
        "wwwroot": facts.wwwroot,
        "content_left": facts.content_left,
        "server": server,
        "table_prefix": manifest.prefix,
    }


def _staged(context: StepContext) -> tuple[Store, Manifest]:
    store = staged_store(context.installation.home.run / str(context.parameters["scratch"]))
    return store, store.read_manifest(str(context.parameters["manifest"]))


def _unreserve(context: StepContext) -> None:
    template.forget(context)
    discard(context.installation.home.run, str(context.parameters["scratch"]))


def _load(context: StepContext, holdings: Holdings) -> None:
    store, manifest = _staged(context)
    installation = context.installation
    resources.copy_database(
        context,
        holdings,
        lambda _engine, database: load_database(
            installation, manifest, holdings.server, database, store
        ),
    )
    with installation.engine(holdings.server).connect(holdings.database) as connection:
        found = core_settings(connection, "version", VERSIONS_HASH)
    if found != {
        "version": manifest.moodle.version,
        VERSIONS_HASH: manifest.moodle.component_hash,
    }:
        raise Failed(
            "template.archive.other",
            "The archive's database is at other versions than its manifest says.",
            "Export the template again, with `vmoodle template export`.",
        )


def _fetch(context: StepContext, holdings: Holdings) -> None:
    store, manifest = _staged(context)
    dataroot.make(context, holdings)
    context.say(fetch_files(context.installation, manifest, holdings.directory, store=store))


def _finish(context: StepContext) -> None:
    row = templates.find(name_of(context))
    holdings = template.of_template(context.installation, row)
    with context.installation.engine(row.server).connect(holdings.database) as connection:
        cells = len(content_urls.find(connection, row.wwwroot))
    templates.measured(row.name, {"content_urls": cells})
    if not fit.fitting_codebases(row.versions_hash):
        context.say(
            f"no codebase here has its versions (Moodle {row.moodle_release}): add one, or bring "
            f"it to a newer one by `vmoodle template refresh {row.name} --upgrade CODEBASE`"
        )
    template.finish(context)
    discard(context.installation.home.run, str(context.parameters["scratch"]))


IMPORT = OperationKind(
    KIND,
    "import a template",
    (
        Step("reserve", "reserve the name", template.reserved, _unreserve),
        template.ACCOUNT,
        Step(
            "database",
            "load the database",
            for_template(_load),
            for_template(resources.drop_database),
        ),
        Step("files", "put the files", for_template(_fetch), for_template(dataroot.destroy)),
        Step("finish", "measure it", _finish),
    ),
    attention=template.attention,
)
