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
from vmoodle.lifecycle import dataroot, resources
from vmoodle.lifecycle.copy import identity
from vmoodle.lifecycle.copy.files import measure
from vmoodle.lifecycle.copy.sources import SiteSource, refuse_changed
from vmoodle.lifecycle.resources import ForHoldings, Holdings
from vmoodle.lifecycle.template import warm
from vmoodle.lifecycle.template.template import copy_database, copy_files, name_of
from vmoodle.operations.plan import OperationKind, Step, StepContext, StepFunction
from vmoodle.registry import audit, operations, servers, templates
from vmoodle.registry.models import Operation, Template
from vmoodle.registry.source_names import SourceKind
from vmoodle.secret import Secret, generate_password

KIND = "template.refresh"


def submit(installation: Installation, name: str, *, source: str = "") -> Operation:
    """Queue capturing a template anew, from its own source or from another site.

    Raise NotFound, Conflict for a template or site that is not ready and for a template that has no
    site as its source, Unavailable for too little disk.
    """
    template = templates.usable(name)
    if not source:
        _refuse_sourceless(template)
    chosen = source or template.source
    facts = SiteSource(installation, chosen).facts()
    dataroot.refuse_full(
        installation.dataroot_base, dataroot.FREE_BYTES_NEEDED + facts.database_bytes
    )
    with transaction.atomic():
        refuse_changed(SourceKind.SITE.named(chosen), facts.identity())
        operations.give_way(templates.subject(name), warm.KIND)
        operation = operations.submit(
            KIND,
            site=templates.subject(name),
            parameters={
                "source": SourceKind.SITE.named(chosen),
                **facts.identity(),
                "server": facts.server.name,
                "prefix": facts.table_prefix,
                "moodle_version": facts.moodle_version,
                "moodle_release": facts.moodle_release,
                "versions_hash": facts.versions_hash,
                **places_beside(installation, name),
            },
            node=installation.node,
            secret_encrypted=installation.encrypt(generate_password(32)),
        )
        audit.record(KIND, name, outcome="submitted", source=chosen)
    return operation


def _refuse_sourceless(template: Template) -> None:
    """Raise Conflict for a template that was not captured from a site as it stands."""
    if template.source == templates.IMPORTED:
        why = "was imported: there is no site here that it was captured from"
    elif template.snapshot:
        why = f"holds the snapshot {template.snapshot}, not the site {template.source} as it is now"
    else:
        return
    raise Conflict(
        "template.sourceless",
        f"The template {template.name} {why}.",
        "Name a site with --from, or bring it to a newer codebase with --upgrade.",
    )


def places_beside(installation: Installation, name: str) -> dict[str, str]:
    """Return the parameters that name an unused database and directory for what is made beside."""
    token = secrets.token_hex(4)
    return {
        "database": f"{installation.settings.sites.database_prefix}t_{token}",
        "directory": str(installation.dataroot_base / f".template-{name}-{token}"),
    }


def beside(context: StepContext) -> Holdings:
    """Return what is made beside what the template has; after the exchange, what it had before."""
    operation = operations.find(context.operation_id)
    made = operation.parameters | {"account": operation.parameters["database"]}
    what = operation.result.get("before") or made
    # It is taken when all is dropped that it opened.
    sealed = operation.secret_encrypted
    password = context.installation.keyring.decrypt(sealed) if sealed else Secret("")
    return Holdings(
        context.subject,
        servers.find(what["server"]),
        SiteDatabase(what["database"], what["account"], password, what["prefix"]),
        Path(what["directory"]),
    )


def making(function: ForHoldings) -> StepFunction:
    """Return a step that makes something beside; a new attempt after the exchange makes nothing."""

    def act(context: StepContext) -> None:
        if "before" not in operations.find(context.operation_id).result:
            function(context, beside(context))

    return act


def _removing(function: ForHoldings) -> StepFunction:
    return lambda context: function(context, beside(context))


def _strip(context: StepContext, holdings: Holdings) -> None:
    template = templates.find(name_of(context))
    done = identity.strip(
        context.installation,
        holdings,
        people=template.people,
        old=str(context.parameters["wwwroot"]),
        new=template.wwwroot,
    )
    # What is upgraded has what it had: the address in those cells is not the one looked for here.
    upgraded = {"content_left": template.content_left} if "captured" in context.parameters else {}
    files, size = measure(holdings.directory)
    context.keep(
        {
            **done.facts,
            **upgraded,
            "database_bytes": context.installation.engine(holdings.server).size(
                holdings.database.name
            ),
            "files_count": files,
            "files_bytes": size,
        }
    )
    for line in done.lines:
        context.say(line)


def _exchange(context: StepContext) -> None:
    templates.exchanged(name_of(context), context.operation_id)


def _drop_old(context: StepContext) -> None:
    holdings = beside(context)
    resources.drop_database(context, holdings)
    resources.drop_account(context, holdings)
    dataroot.destroy(context, holdings)
    operations.take_secret(context.operation_id)


def _drop_stale(context: StepContext) -> None:
    template = templates.find(name_of(context))
    warm.drop_stale(context, template)
    kind = operations.find(context.operation_id).kind
    audit.record(kind, template.name, operation=context.operation_id)


WHEN_REVERTED = "The template is as it was before."
ACCOUNT = Step(
    "account",
    "create a database account",
    making(resources.make_account),
    _removing(resources.drop_account),
)
DATABASE = Step(
    "database",
    "copy the database",
    making(copy_database),
    _removing(resources.drop_database),
)
FILES = Step("files", "copy the files", making(copy_files), _removing(dataroot.destroy))
ENDING = (
    Step("identity", "take the identity out", making(_strip)),
    Step("exchange", "exchange old and new", _exchange, None),
    Step("drop", "drop what it held before", _drop_old, None),
    Step("copies", "drop copies of the old revision", _drop_stale, None),
)
REFRESH = OperationKind(
    KIND,
    "capture a template anew",
    (ACCOUNT, DATABASE, FILES, *ENDING),
    when_reverted=WHEN_REVERTED,
)
