"""Adopt an existing Moodle: registered, published and proved, and not changed at all.

What it consists of was not made by VMoodle. The ledger does not have it, so no operation drops it,
until the administrator hands it over.
"""

from __future__ import annotations

from pathlib import Path

from django.db import transaction

from vmoodle.errors import Conflict, Refused
from vmoodle.installation import Installation
from vmoodle.lifecycle import dataroot
from vmoodle.lifecycle.adopt.checks import Adoptable, KnownIdentifiers, examine
from vmoodle.lifecycle.adopt.request import AdoptRequest, complete
from vmoodle.lifecycle.create import steps as new_site
from vmoodle.lifecycle.prove import prove
from vmoodle.operations.plan import OperationKind, Step, StepContext
from vmoodle.registry import audit, ledger, operations, sites
from vmoodle.registry.models import Operation, Site

KIND = "site.adopt"
OWN_KIND = "site.own"


def plan(
    installation: Installation,
    request: AdoptRequest,
    config: Path | None = None,
    known: KnownIdentifiers | None = None,
) -> Adoptable:
    """Return what would be adopted, and what to know of it; change nothing, raise as `submit`."""
    return examine(installation, complete(request, config), known)


def submit(
    installation: Installation,
    request: AdoptRequest,
    config: Path | None = None,
    *,
    take_ownership: bool = False,
    typed: str = "",
    known: KnownIdentifiers | None = None,
) -> Operation:
    """Check an existing Moodle, register it and queue its publication.

    With `take_ownership`, and its shortname `typed` by a person, VMoodle may drop its database and
    moodledata later as if it had made them. Nothing is changed when it raises: as `complete` and
    `examine` do, and Refused for a handing over that was not typed.
    """
    if take_ownership:
        _refuse_untyped(request.shortname, typed)
    found = plan(installation, request, config, known)
    shortname = found.values["shortname"]
    if take_ownership:
        dataroot.refuse_unsafe_base(installation, Path(found.values["dataroot"]).parent)
    with transaction.atomic():
        operation = operations.submit(
            KIND,
            site=shortname,
            parameters={
                "notes": list(found.notes),
                "unproved": found.unproved,
                "own": take_ownership,
                "suspended": request.suspended,
            },
            node=installation.node,
        )
        sites.reserve(found.values, found.labels)
    audit.record(
        KIND, shortname, outcome="submitted", url=found.address.wwwroot, own=take_ownership
    )
    return operation


def take_ownership(installation: Installation, shortname: str, *, typed: str) -> Operation:
    """Queue the handing over of an adopted site's database and moodledata to VMoodle.

    From then on restoring replaces and purging drops them; its account is never dropped. Raise
    Conflict for a site that was not adopted or that is held, Refused when it was not typed or when
    VMoodle could not remove the directory safely.
    """
    _refuse_untyped(shortname, typed)
    with transaction.atomic():
        site = sites.held(shortname)
        if not site.adopted:
            raise Conflict(
                "adopt.own.made",
                f"VMoodle made the site {shortname}; there is nothing to hand over.",
                f"vmoodle site show {shortname}",
            )
        dataroot.refuse_unsafe_base(installation, Path(site.dataroot).parent)
        operation = operations.submit(OWN_KIND, site=shortname, node=installation.node)
        audit.record(OWN_KIND, shortname, outcome="submitted", operation=operation.id)
    return operation


def _refuse_untyped(shortname: str, typed: str) -> None:
    if typed != shortname:
        raise Refused(
            "adopt.own.unconfirmed",
            "Handing over lets VMoodle drop the database and the moodledata; the shortname was "
            "not typed.",
            f"vmoodle site adopt {shortname} --take-ownership --confirm {shortname}",
        )


def _tell(context: StepContext) -> None:
    for note in context.parameters["notes"]:
        context.say(f"note: {note}")
    context.keep({"notes": list(context.parameters["notes"])})


def _prove(context: StepContext) -> None:
    site = sites.find(context.site)
    if context.parameters["unproved"]:
        context.say(f"not proved by its name: {context.parameters['unproved']}")
        context.keep({"wwwroot": site.wwwroot, "proved": False})
        return
    answer = prove(context.installation, site)
    context.say(answer.summary())
    context.keep({"wwwroot": site.wwwroot, "title": answer.title, "proved": True})


def _own(context: StepContext) -> None:
    if not context.parameters.get("own", True):
        return
    site = sites.find(context.site)
    for kind, place, name in _things(site):
        ledger.plan(kind, place, name, owner=site.shortname, operation=context.operation_id)
        ledger.made(kind, place, name)
    context.say("its database and moodledata are VMoodle's from now on")


def _disown(context: StepContext) -> None:
    site = Site.objects.select_related("server").filter(shortname=context.site).first()
    for thing in _things(site) if site is not None else ():
        if ledger.planned_by(*thing, operation=context.operation_id):
            ledger.removed(*thing)


def _things(site: Site) -> tuple[tuple[str, str, str], ...]:
    """Return what is handed over. The account may be others' too, and is not."""
    return (
        (ledger.DATABASE, site.server.name, site.database),
        (ledger.DIRECTORY, "", site.dataroot),
    )


def _owned(context: StepContext) -> None:
    audit.record(OWN_KIND, context.site, operation=context.operation_id)


ADOPT = OperationKind(
    KIND,
    "adopt an existing Moodle",
    (
        new_site.RESERVE,
        Step("tell", "say what to know of it", _tell),
        new_site.PUBLISH,
        Step("prove", "request the front page", _prove),
        Step("own", "see whose it is", _own, _disown),
        new_site.FINISH,
    ),
    when_reverted="It is no site of VMoodle's, and nothing of it was changed.",
    attention=new_site.attention,
)
OWN = OperationKind(
    OWN_KIND,
    "hand an adopted site over",
    (
        Step("own", "write it into the ledger", _own, _disown),
        Step("finish", "write the audit trail", _owned),
    ),
    when_reverted="It is as it was: VMoodle drops nothing of it.",
)
