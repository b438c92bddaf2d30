"""Make a site from a template or from another site: a copy with an identity of its own.

A copy that waits warm is claimed; otherwise database and files are copied. Identity is rewritten in
one transaction before PHP ever runs on the copy. The source is only read.

All of a copy is of that revision of a template which was there when the site was ordered.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from django.db import transaction

from vmoodle.errors import Conflict, VMoodleError
from vmoodle.installation import Installation
from vmoodle.lifecycle import dataroot, preflight, resources
from vmoodle.lifecycle.copy import fit, identity
from vmoodle.lifecycle.copy.files import require_files
from vmoodle.lifecycle.copy.sources import (
    Source,
    SourceFacts,
    open_source,
    refuse_another_prefix,
    refuse_changed,
    refuse_unfit,
)
from vmoodle.lifecycle.create import steps as new_site
from vmoodle.lifecycle.create.request import (
    SiteRequest,
    WantedSite,
    refuse_unusable,
    reserve,
    wanted_site,
)
from vmoodle.lifecycle.create.settings import SETTINGS
from vmoodle.lifecycle.resources import ForHoldings, removing
from vmoodle.lifecycle.template import warm
from vmoodle.moodle.identity.sanitise import find_policy
from vmoodle.operations.plan import OperationKind, Step, StepContext, StepFunction
from vmoodle.registry import codebases, servers, sites, templates
from vmoodle.registry.models import Operation, Template
from vmoodle.registry.source_names import SourceKind, parse_source

KIND = "site.deploy"
# The copy of the database and of the files, and room to work in.
SPACE_FACTOR = 1.1


def submit(
    installation: Installation, request: SiteRequest, source: str, *, sanitise: str = ""
) -> Operation:
    """Check the request against the source, reserve the site and queue its deployment.

    `source` is `template:NAME` or `site:SHORTNAME`, `sanitise` the name of a policy. Nothing is
    changed when it raises: InvalidInput, NotFound, Conflict for a source that is not ready or a
    name that is taken, Refused for a codebase, server or account that does not fit, Unavailable.
    """
    wanted = plan(installation, request, source, sanitise=sanitise)
    with transaction.atomic():
        refuse_changed(source, wanted.parameters)
        return reserve(installation, wanted, KIND, password=request.admin_password)


def plan(
    installation: Installation, request: SiteRequest, source: str, *, sanitise: str = ""
) -> WantedSite:
    """Return the site that would be made; change nothing, raise as `submit`."""
    refuse_unusable(request)
    if sanitise:
        find_policy(sanitise)
    facts = open_source(installation, source).facts()
    codebase = codebases.chosen(request.codebase or facts.codebase or _only_fitting(facts))
    server = servers.find(request.server) if request.server else facts.server
    refuse_unfit(facts, codebase, server)
    wanted = wanted_site(installation, request, codebase, server, table_prefix=facts.table_prefix)
    refuse_another_prefix(facts, server, wanted.values["table_prefix"])
    preflight.check(
        installation,
        codebase,
        server,
        wanted.address,
        wanted.values,
        bytes_needed=int(SPACE_FACTOR * (facts.database_bytes + facts.files_bytes)),
    )
    told = {
        "source": source,
        **facts.identity(),
        "rewrite": facts.has_addresses,
        "sanitise": sanitise,
        "revision": facts.revision,
    }
    return replace(wanted, parameters=told)


def _only_fitting(facts: SourceFacts) -> str:
    """Of several codebases return the one on which the copy runs as it is, empty for no such."""
    if len(codebases.every()) < 2:
        return ""
    fitting = fit.fitting_codebases(facts.versions_hash)
    return fitting[0] if len(fitting) == 1 else ""


def _source(context: StepContext) -> Source:
    return open_source(context.installation, str(context.parameters["source"]))


def _template(context: StepContext) -> str:
    """Return the name of the template that the site is made from, empty for another source."""
    kind, name = parse_source(str(context.parameters["source"]))
    return name if kind is SourceKind.TEMPLATE else ""


def _refuse_changed(context: StepContext, template: Template) -> None:
    """Raise Conflict where the template is at another revision than the site was ordered of."""
    # An older release ordered without a revision.
    if context.parameters.get("revision") not in {None, template.revision}:
        raise Conflict(
            "template.changed",
            f"The template {template.name} was captured anew or upgraded since the site was "
            "ordered.",
            "Order the site again; it is made from what the template holds now.",
        )


@contextmanager
def _one_revision(context: StepContext) -> Iterator[None]:
    """Raise Conflict where the template was at another revision before or after the block.

    What is exchanged amid a copy is dropped soon: that is the reason, whatever the copy met.
    """
    name = _template(context)
    if not name:
        yield
        return
    _refuse_changed(context, templates.find(name))
    try:
        yield
    finally:
        _refuse_changed(context, templates.find(name))


def _claim(context: StepContext) -> None:
    name = _template(context)
    # What is claimed already is whole, and of the revision that was ordered.
    if not name or _claimed_directory(context) is not None:
        return
    # While this operation is under way the template cannot be deleted; it could be before.
    template, site = templates.usable(name), sites.find(context.site)
    _refuse_changed(context, template)
    if site.table_prefix != template.table_prefix:
        return
    if template.server_id == site.server_id and templates.claim(
        template, context.site, context.operation_id
    ):
        context.say("a copy that waited was claimed")


def _claimed_directory(context: StepContext) -> Path | None:
    claimed = Operation.objects.get(id=context.operation_id).result.get("claimed")
    return Path(claimed) if claimed else None


def _given_up(context: StepContext) -> bool:
    """Tell whether an earlier attempt has begun to take back what was claimed."""
    return bool(Operation.objects.get(id=context.operation_id).result.get("given_up"))


def _give_up_claimed(context: StepContext) -> None:
    """Take away what was claimed: it has been written to, nobody else may have it."""
    directory = _claimed_directory(context)
    if directory is None:
        return
    context.keep({"given_up": True})
    removing(resources.drop_database)(context)
    removing(resources.drop_account)(context)
    dataroot.destroy_at(context, directory, owner=context.site)


def _taking_back(function: ForHoldings) -> StepFunction:
    """Return an undo after which the operation, tried again, copies instead of claiming."""

    def undo(context: StepContext) -> None:
        if _claimed_directory(context) is not None:
            context.keep({"given_up": True})
        removing(function)(context)

    return undo


def _take_back_account(context: StepContext) -> None:
    """Drop the account, and before it the database that came with it in a claimed copy."""
    if _claimed_directory(context) is not None:
        context.keep({"given_up": True})
        removing(resources.drop_database)(context)
    removing(resources.drop_account)(context)


def _database(context: StepContext) -> None:
    if _claimed_directory(context) is not None and not _given_up(context):
        return
    site = sites.find(context.site)
    with _one_revision(context):
        source = _source(context)
        resources.copy_database(
            context,
            resources.of_site(context.installation, site),
            lambda _engine, database: source.copy_database(database, site.server),
        )


def _files(context: StepContext) -> None:
    site = sites.find(context.site)
    holdings = resources.of_site(context.installation, site)
    claimed = _claimed_directory(context)
    if claimed is not None and not _given_up(context):
        dataroot.take_over(context, claimed, holdings)
        return
    if claimed is not None:
        dataroot.destroy_at(context, claimed, owner=context.site)
    with _one_revision(context):
        dataroot.make(context, holdings)
        context.say(_source(context).copy_files(holdings.directory))
        require_files(context.installation, holdings, context.say)


def _identity(context: StepContext) -> None:
    installation, site = context.installation, sites.find(context.site)
    operation = Operation.objects.get(id=context.operation_id)
    done = identity.take_on(
        installation,
        site,
        from_wwwroot=str(context.parameters["wwwroot"]),
        rewrite_content=bool(context.parameters["rewrite"]),
        admin_password=installation.keyring.decrypt(operation.secret_encrypted),
        policy_name=str(context.parameters["sanitise"]),
        keep=context.keep,
    )
    context.say(done)
    _tell_left(context)


def _tell_left(context: StepContext) -> None:
    """Say of a template that it still has its source's address: the site has it too."""
    name = _template(context)
    left = templates.find(name).content_left if name else 0
    if left:
        context.say(
            f"{left} cell(s) have the address of what the template was captured from: they could "
            f"not be rewritten; the log of the template's operation names them"
        )


def _refill(context: StepContext) -> None:
    """Order copies in the place of the claimed one; a site is not taken back for want of it."""
    name = _template(context)
    if not name:
        return
    try:
        warm.refill(context.installation, templates.find(name))
    except VMoodleError as error:
        context.say(f"no copies were ordered: {error.message}")


DEPLOY = OperationKind(
    KIND,
    "make a site from a copy",
    (
        new_site.RESERVE,
        Step("claim", "look for a copy that waits", _claim, _give_up_claimed),
        replace(new_site.ACCOUNT, undo=_take_back_account),
        Step("database", "copy the database", _database, _taking_back(resources.drop_database)),
        Step("files", "copy the files", _files, _taking_back(dataroot.destroy)),
        new_site.ANNOUNCE,
        Step("identity", "give the copy its own identity", _identity),
        SETTINGS,
        new_site.PUBLISH,
        new_site.PROVE,
        Step("refill", "see to the copies that wait", _refill),
        new_site.FINISH,
    ),
    attention=new_site.attention,
)
