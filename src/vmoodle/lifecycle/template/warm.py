"""Warm copies: ready-made anonymous copies of a template that wait for a site.

A copy has a database with an account and password of its own, and a directory with the files. Who
deploys a site claims one: the registry and the ledger change, no data moves. Whoever executes
operations makes new ones in their place.
"""

from __future__ import annotations

import secrets
from pathlib import Path

from django.db import transaction

from vmoodle.errors import Conflict, InvalidInput
from vmoodle.installation import Installation
from vmoodle.lifecycle import dataroot, resources
from vmoodle.lifecycle.copy.files import require_files
from vmoodle.lifecycle.copy.sources import TemplateSource
from vmoodle.lifecycle.resources import Holdings
from vmoodle.operations.plan import OperationKind, Step, StepContext
from vmoodle.registry import audit, operations, templates
from vmoodle.registry.models import Operation, Template, WarmCopy, WarmCopyState
from vmoodle.secret import generate_password

KIND = "template.fill"
MOST_COPIES = 200
_ID_BYTES = 4


def keep(installation: Installation, name: str, count: int) -> Operation:
    """Let so many copies of a template wait from now on; queue making, or dropping, them.

    Where making copies is under way already, that operation makes or drops these too. Raise
    InvalidInput for a count that is none, NotFound, Conflict for a template that is not ready or
    held by an operation of another kind.
    """
    if not 0 <= count <= MOST_COPIES:
        raise InvalidInput(
            "template.warm.count",
            f"{count} copies cannot be kept.",
            f"0 to {MOST_COPIES}; each takes the space of a site.",
        )
    with transaction.atomic():
        templates.usable(name)
        operation = operations.under_way_on(templates.subject(name), KIND) or operations.submit(
            KIND, site=templates.subject(name), node=installation.node
        )
        templates.kept_warm(name, count)
        audit.record("template.warm", name, keep=count)
    return operation


def refill(installation: Installation, template: Template) -> None:
    """Queue making what is missing, unless an operation holds the template: that one refills."""
    if template.keep_warm <= len(_usable(template)):
        return
    try:
        operations.submit(KIND, site=templates.subject(template.name), node=installation.node)
    except Conflict:
        return


def of_copy(installation: Installation, copy: WarmCopy) -> Holdings:
    """Return what a warm copy has."""
    return Holdings(
        templates.warm_owner(copy.id),
        copy.server,
        installation.warm_database(copy),
        Path(copy.directory),
    )


def drop_all(context: StepContext, template: Template) -> None:
    """Drop every copy of a template."""
    for copy in templates.copies(template):
        _drop(context, copy)


def drop_stale(context: StepContext, template: Template) -> None:
    """Drop the copies of an older revision; the next deployment orders others."""
    for copy in templates.copies(template):
        if copy.revision != template.revision:
            _drop(context, copy)


def _usable(template: Template) -> list[WarmCopy]:
    return [
        copy
        for copy in templates.copies(template)
        if copy.state == WarmCopyState.READY and copy.revision == template.revision
    ]


def _drop(context: StepContext, copy: WarmCopy) -> None:
    """Drop a copy, unless a site has claimed it: from then on it is the site's."""
    if not templates.retire_copy(copy.id):
        return
    holdings = of_copy(context.installation, copy)
    resources.drop_database(context, holdings)
    resources.drop_account(context, holdings)
    dataroot.destroy(context, holdings)
    templates.forget_copy(copy.id)


def _trim(context: StepContext) -> None:
    """Drop the copies that are half-made, of an older revision, or more than wanted."""
    template = templates.find(templates.named_by(context.subject))
    usable = _usable(template)
    kept = {copy.id for copy in usable[: template.keep_warm]}
    for copy in templates.copies(template):
        if copy.id not in kept:
            _drop(context, copy)


def _fill(context: StepContext) -> None:
    installation = context.installation
    name = templates.named_by(context.subject)
    # Also what this very step left when it was killed: each copy is begun under a new name.
    _trim(context)
    while True:
        template = templates.usable(name)
        missing = template.keep_warm - len(_usable(template))
        if missing < 0:
            _trim(context)
        if missing <= 0 or operations.find(context.operation_id).cancel_requested:
            return
        _make(context, installation, template)
        context.say(f"{missing - 1} more to make" if missing > 1 else "all copies wait")


def _make(context: StepContext, installation: Installation, template: Template) -> None:
    copy_id = secrets.token_hex(_ID_BYTES)
    name = f"{installation.settings.sites.database_prefix}w_{copy_id}"
    copy = templates.add_copy(
        template,
        copy_id,
        {
            "database": name,
            "account": name,
            "password_encrypted": installation.encrypt(generate_password(32)),
            "directory": str(installation.dataroot_base / f".warm-{copy_id}"),
        },
    )
    holdings = of_copy(installation, copy)
    source = TemplateSource(installation, template.name)
    resources.make_account(context, holdings)
    resources.copy_database(
        context,
        holdings,
        lambda _engine, database: source.copy_database(database, holdings.server),
    )
    dataroot.make(context, holdings)
    source.copy_files(holdings.directory)
    require_files(installation, holdings, context.say)
    templates.copy_ready(copy.id)


FILL = OperationKind(
    KIND,
    "keep copies of a template ready",
    (
        Step("trim", "drop copies nobody can use", _trim, _trim),
        # What a failure leaves half-made is dropped, and so is what is whole and not wanted.
        Step("fill", "make copies", _fill, _trim),
    ),
    background=True,
)
