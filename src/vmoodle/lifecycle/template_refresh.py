"""Capture a template anew: beside what it holds now, then exchanged, then the old dropped.

Sites are made from the old revision until the exchange; warm copies of it are dropped afterwards.
"""

from __future__ import annotations

import secrets
from pathlib import Path

from django.db import transaction

from vmoodle.engines.protocol import SiteDatabase
from vmoodle.errors import Conflict
from vmoodle.installation import Installation
from vmoodle.lifecycle import dataroot, identity, resources, warm
from vmoodle.lifecycle.resources import ForHoldings, Holdings
from vmoodle.lifecycle.site_files import measure
from vmoodle.lifecycle.sources import SiteSource, open_source
from vmoodle.operations.plan import OperationKind, Step, StepContext, StepFunction
from vmoodle.registry import audit, operations, templates
from vmoodle.registry.models import Operation
from vmoodle.secret import generate_password

KIND = "template.refresh"


def submit(installation: Installation, name: str, *, source: str = "") -> Operation:
    """Queue capturing a template anew, from its own source or from another site.

    Raise NotFound, Conflict for a template or site that is not ready and for a template that was
    imported and so has no source, Unavailable for too little disk.
    """
    template = templates.usable(name)
    chosen = source or template.source
    if chosen == templates.IMPORTED:
        raise Conflict(
            "template.sourceless",
            f"The template {name} was imported: there is no site here that it was captured from.",
            "Name a site with --from, or bring it to a newer codebase with --upgrade.",
        )
    facts = SiteSource(installation, chosen).facts()
    dataroot.refuse_full(
        installation.dataroot_base, dataroot.FREE_BYTES_NEEDED + facts.database_bytes
    )
    token = secrets.token_hex(4)
    with transaction.atomic():
        operation = operations.submit(
            KIND,
            site=templates.subject(name),
            parameters={
                "source": f"site:{chosen}",
                "wwwroot": facts.wwwroot,
                "server": facts.server.name,
                "database": f"{installation.settings.sites.database_prefix}t_{token}",
                "directory": str(installation.dataroot_base / f".template-{name}-{token}"),
                "prefix": facts.table_prefix,
                "moodle_version": facts.moodle_version,
                "moodle_release": facts.moodle_release,
                "versions_hash": facts.versions_hash,
            },
            node=installation.node,
            secret_encrypted=installation.encrypt(generate_password(32)),
        )
        audit.record(KIND, name, outcome="submitted", source=chosen)
    return operation


def _name(context: StepContext) -> str:
    return context.subject.partition(":")[2]


def _beside(context: StepContext) -> Holdings:
    """Return what is made beside what the template has; after the exchange, what it had before."""
    from vmoodle.registry import servers

    operation = operations.find(context.operation_id)
    before = operation.result.get("before")
    if before:
        return Holdings(
            context.subject,
            servers.find(before["server"]),
            SiteDatabase(
                before["database"],
                before["account"],
                context.installation.keyring.decrypt(operation.secret_encrypted),
                before["prefix"],
            ),
            Path(before["directory"]),
        )
    database = str(context.parameters["database"])
    return Holdings(
        context.subject,
        servers.find(str(context.parameters["server"])),
        SiteDatabase(
            database,
            database,
            context.installation.keyring.decrypt(operation.secret_encrypted),
            str(context.parameters["prefix"]),
        ),
        Path(str(context.parameters["directory"])),
    )


def _with(function: ForHoldings) -> StepFunction:
    def act(context: StepContext) -> None:
        function(context, _beside(context))

    return act


def _database(context: StepContext) -> None:
    holdings = _beside(context)
    source = open_source(context.installation, str(context.parameters["source"]))
    resources.copy_database(
        context,
        holdings,
        lambda _engine, database: source.copy_database(database, holdings.server),
    )


def _files(context: StepContext) -> None:
    holdings = _beside(context)
    dataroot.make(context, holdings)
    source = open_source(context.installation, str(context.parameters["source"]))
    context.say(source.copy_files(holdings.directory))


def _strip(context: StepContext) -> None:
    template, holdings = templates.find(_name(context)), _beside(context)
    done, urls = identity.strip(
        context.installation,
        holdings,
        people=template.people,
        old=str(context.parameters["wwwroot"]),
        new=template.wwwroot,
    )
    files, size = measure(holdings.directory)
    context.keep(
        {
            "content_urls": urls,
            "database_bytes": context.installation.engine(holdings.server).size(
                holdings.database.name
            ),
            "files_count": files,
            "files_bytes": size,
        }
    )
    context.say(done)


def _exchange(context: StepContext) -> None:
    templates.exchanged(_name(context), context.operation_id)


def _drop_old(context: StepContext) -> None:
    holdings = _beside(context)
    resources.drop_database(context, holdings)
    resources.drop_account(context, holdings)
    dataroot.destroy(context, holdings)
    operations.take_secret(context.operation_id)


def _refill(context: StepContext) -> None:
    template = templates.find(_name(context))
    warm.drop_stale(context, template)
    audit.record(KIND, template.name, operation=context.operation_id)


REFRESH = OperationKind(
    KIND,
    "capture a template anew",
    (
        Step(
            "account",
            "create a database account",
            _with(resources.make_account),
            _with(resources.drop_account),
        ),
        Step("database", "copy the database", _database, _with(resources.drop_database)),
        Step("files", "copy the files", _files, _with(dataroot.destroy)),
        Step("identity", "take the identity out", _strip),
        Step("exchange", "exchange old and new", _exchange, None),
        Step("drop", "drop what it held before", _drop_old, None),
        Step("copies", "drop copies of the old revision", _refill, None),
    ),
    when_reverted="The template is as it was before.",
)
