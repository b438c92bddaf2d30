"""Templates: a site captured without its identity, frozen, and kept ready to be copied."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.db import transaction

from vmoodle.engines.names import names_for
from vmoodle.errors import Refused
from vmoodle.installation import Installation
from vmoodle.lifecycle import dataroot, names, resources
from vmoodle.lifecycle.copy import identity
from vmoodle.lifecycle.copy.files import measure, require_files
from vmoodle.lifecycle.copy.sources import open_source, refuse_changed
from vmoodle.lifecycle.resources import ForHoldings, Holdings
from vmoodle.lifecycle.template import warm
from vmoodle.operations.plan import OperationKind, Step, StepContext, StepFunction
from vmoodle.registry import audit, operations, snapshots, templates
from vmoodle.registry.models import Operation, Template, TemplateState
from vmoodle.registry.source_names import SourceKind, parse_source
from vmoodle.secret import generate_password

CREATE_KIND = "template.create"
DELETE_KIND = "template.delete"
# Stands in a template's content where the source's own address stood. RFC 6761 lets nobody have it.
NEUTRAL_WWWROOT = "https://site.vmoodle.invalid"


def create(
    installation: Installation, name: str, source: str, *, people: bool = False, note: str = ""
) -> Operation:
    """Queue the capture of a site or snapshot as a template; a site serves on and is only read.

    `source` is `site:SHORTNAME` or `snapshot:ID`. Raise InvalidInput for an unusable name,
    NotFound, Conflict for a name that is taken or a site that is not settled, Unavailable for too
    little disk.
    """
    source, captured, snapshot = _whole_source(source)
    facts = open_source(installation, source).facts()
    values = reserved_values(
        installation, name, bytes_needed=facts.database_bytes + facts.files_bytes
    ) | {
        "source": captured,
        "snapshot": snapshot,
        "people": people,
        "note": note[:500],
        "moodle_version": facts.moodle_version,
        "moodle_release": facts.moodle_release,
        "versions_hash": facts.versions_hash,
        "wwwroot": NEUTRAL_WWWROOT,
        "server": facts.server,
        "table_prefix": facts.table_prefix,
    }
    with transaction.atomic():
        refuse_changed(source, facts.identity())
        templates.reserve(values)
        operation = operations.submit(
            CREATE_KIND,
            site=templates.subject(name),
            parameters={"source": source, **facts.identity()},
            node=installation.node,
        )
    audit.record(CREATE_KIND, name, outcome="submitted", source=source, people=people)
    return operation


def reserved_values(
    installation: Installation, name: str, *, bytes_needed: int = 0
) -> dict[str, Any]:
    """Return the names and places of a template to be made, after seeing that they are free.

    Raise InvalidInput for an unusable name, Conflict, Unavailable for too little disk.
    """
    names.template_name(name)
    templates.refuse_taken(name)
    directory = installation.dataroot_base / f".template-{name}"
    dataroot.refuse_unusable(installation, directory)
    dataroot.refuse_full(directory.parent, dataroot.FREE_BYTES_NEEDED + bytes_needed)
    prefix = installation.settings.sites.database_prefix
    database, account = names_for(templates.subject(name), prefix)
    return {
        "name": name,
        "database": database,
        "account": account,
        "password_encrypted": installation.encrypt(generate_password(32)),
        "directory": str(directory),
    }


def _whole_source(source: str) -> tuple[str, str, str]:
    """Return a source with its whole id, the site it is or was taken of, and a snapshot's id."""
    kind, rest = parse_source(source)
    if kind is not SourceKind.SNAPSHOT:
        return source, rest, ""
    row = snapshots.usable(rest)
    return SourceKind.SNAPSHOT.named(row.id), row.site_shortname, row.id


def delete(installation: Installation, name: str, *, typed: str) -> Operation:
    """Queue the deletion of a template and of its warm copies.

    `typed` is its name as a person typed it. Raise Refused without it, or when the ledger does not
    prove what would be destroyed; Conflict while a site is being made from it.
    """
    template = templates.find(name)
    if typed != name:
        raise Refused(
            "template.delete.unconfirmed",
            "The name was not typed as confirmation; nothing was deleted.",
            f"vmoodle template delete {name} --confirm {name}",
        )
    resources.refuse_unproven(of_template(installation, template))
    with transaction.atomic():
        operations.refuse_used(SourceKind.TEMPLATE.named(name))
        operations.give_way(templates.subject(name), warm.KIND)
        operation = operations.submit(
            DELETE_KIND,
            site=templates.subject(name),
            parameters={"state": template.state},
            node=installation.node,
        )
        templates.deleting(name)
    audit.record(DELETE_KIND, name, outcome="submitted", operation=operation.id)
    return operation


def of_template(installation: Installation, template: Template) -> Holdings:
    """Return what a template has."""
    return Holdings(
        templates.subject(template.name),
        template.server,
        installation.template_database(template),
        Path(template.directory),
    )


def name_of(context: StepContext) -> str:
    """Return the name of the template that an operation holds."""
    return templates.named_by(context.subject)


def for_template(function: ForHoldings) -> StepFunction:
    """Return a step on what the operation's template has; no template is no error."""

    def act(context: StepContext) -> None:
        template = Template.objects.select_related("server").filter(name=name_of(context)).first()
        if template is not None:
            function(context, of_template(context.installation, template))

    return act


def forget(context: StepContext) -> None:
    """Give the reserved name up."""
    templates.forget(name_of(context))


def reserved(context: StepContext) -> None:
    """See that the name is reserved, as it was when the operation was queued."""
    templates.find(name_of(context))


def copy_database(context: StepContext, holdings: Holdings) -> None:
    """Make the database a copy of the operation's source's."""
    source = open_source(context.installation, str(context.parameters["source"]))
    resources.copy_database(
        context,
        holdings,
        lambda _engine, database: source.copy_database(database, holdings.server),
    )


def copy_files(context: StepContext, holdings: Holdings) -> None:
    """Make the directory and fill it with the source's files."""
    dataroot.make(context, holdings)
    source = open_source(context.installation, str(context.parameters["source"]))
    context.say(source.copy_files(holdings.directory))
    require_files(context.installation, holdings, context.say)


def _strip(context: StepContext) -> None:
    template = templates.find(name_of(context))
    done = identity.strip(
        context.installation,
        of_template(context.installation, template),
        people=template.people,
        old=str(context.parameters["wwwroot"]),
        new=template.wwwroot,
    )
    templates.measured(template.name, done.facts)
    for line in done.lines:
        context.say(line)


def finish(context: StepContext) -> None:
    """Measure what the template holds and let sites be made from it."""
    installation, template = context.installation, templates.find(name_of(context))
    holdings = of_template(installation, template)
    engine = installation.engine(template.server)
    files, size = measure(holdings.directory)
    templates.measured(
        template.name,
        {
            "database_bytes": engine.size(template.database),
            "files_bytes": size,
            "files_count": files,
        },
    )
    templates.ready(template.name)
    kind = operations.find(context.operation_id).kind
    audit.record(kind, template.name, operation=context.operation_id)


def attention(context: StepContext) -> None:
    """Let the template say that its operation stopped half-way."""
    templates.needs_attention(
        name_of(context), f"operation {context.operation_id} stopped half-way"
    )


def _closed(context: StepContext) -> None:
    """See that no site is made from it any more; nothing when it is forgotten already."""
    templates.deleting(name_of(context))


def _open_again(context: StepContext) -> None:
    templates.back_to(name_of(context), TemplateState(str(context.parameters["state"])))


def _drop_copies(context: StepContext) -> None:
    template = Template.objects.filter(name=name_of(context)).first()
    if template is not None:
        templates.kept_warm(template.name, 0)
        warm.drop_all(context, template)


def _forgotten(context: StepContext) -> None:
    templates.forget(name_of(context))
    audit.record(DELETE_KIND, name_of(context), operation=context.operation_id)


ACCOUNT = Step(
    "account",
    "create the database account",
    for_template(resources.make_account),
    for_template(resources.drop_account),
)
CREATE = OperationKind(
    CREATE_KIND,
    "capture a template",
    (
        Step("reserve", "reserve the name", reserved, forget),
        ACCOUNT,
        Step(
            "database",
            "copy the database",
            for_template(copy_database),
            for_template(resources.drop_database),
        ),
        Step("files", "copy the files", for_template(copy_files), for_template(dataroot.destroy)),
        Step("identity", "take the identity out", _strip),
        Step("finish", "measure it", finish),
    ),
    attention=attention,
)
DELETE = OperationKind(
    DELETE_KIND,
    "delete a template",
    (
        Step("close", "let no site be made from it", _closed, _open_again),
        Step("copies", "drop the copies that wait", _drop_copies, None),
        Step("database", "drop the database", for_template(resources.drop_database), None),
        Step("account", "drop the account", for_template(resources.drop_account), None),
        Step("files", "remove the files", for_template(dataroot.destroy), None),
        Step("forget", "forget the template", _forgotten, None),
    ),
    when_reverted="Nothing was deleted; the template is as it was before.",
    attention=attention,
)
