"""Delete a site: only one that does not serve, and only what the ledger proves ours."""

from __future__ import annotations

from django.db import transaction

from vmoodle.errors import Conflict, Refused
from vmoodle.installation import Installation
from vmoodle.lifecycle import dataroot, resources
from vmoodle.lifecycle.publish import publish, withdraw
from vmoodle.lifecycle.server import check_engine
from vmoodle.operations.plan import OperationKind, Step, StepContext
from vmoodle.registry import audit, operations, sites
from vmoodle.registry.models import Operation, Site, SiteState

KIND = "site.delete"
# One that needs attention is half gone already; an operation that still has it is asked first.
_DELETABLE = {SiteState.SUSPENDED, SiteState.ATTENTION}


def submit(installation: Installation, shortname: str, *, typed: str) -> Operation:
    """Queue the deletion of a suspended site; `typed` is its shortname as a person typed it.

    A site that needs attention is taken too, when no operation holds it. Raise Conflict for a site
    in another state or that is held, Refused without the shortname typed or when something of it
    could not be destroyed, Unavailable when its server does not answer or only reads.
    """
    site = sites.find(shortname)
    _refuse_undeletable(installation, site, typed)
    # Before the transaction: a server that is slow to answer must not hold up the registry.
    _ask_server(installation, site)
    with transaction.atomic():
        site = sites.held(shortname)
        _refuse_undeletable(installation, site, typed)
        operation = operations.submit(
            KIND, site=shortname, parameters={"state": site.state}, node=installation.node
        )
        audit.record("site.delete", shortname, outcome="submitted", operation=operation.id)
    return operation


def _refuse_undeletable(installation: Installation, site: Site, typed: str) -> None:
    if SiteState(site.state) not in _DELETABLE:
        raise _not_suspended(site)
    if typed != site.shortname:
        raise Refused(
            "site.delete.unconfirmed",
            "The shortname was not typed as confirmation; nothing was deleted.",
            f"vmoodle site delete {site.shortname} --confirm {site.shortname}",
        )
    _refuse_indestructible(installation, site)


def _ask_server(installation: Installation, site: Site) -> None:
    """Raise what hinders the server from dropping something of the site, if it has anything."""
    if resources.on_server(site):
        check_engine(installation.engine(site.server))


def _not_suspended(site: Site) -> Conflict:
    return Conflict(
        "site.enabled",
        f"The site {site.shortname} is {site.state}; only a suspended site can be deleted.",
        f"vmoodle site suspend {site.shortname}",
    )


def _refuse_indestructible(installation: Installation, site: Site) -> None:
    """Raise Refused for what a later step would refuse, when the database is gone already."""
    if SiteState(site.state) == SiteState.SUSPENDED:
        # Later some of it is gone; each step leaves what the ledger does not prove ours.
        resources.refuse_unproven(site)
    dataroot.refuse_indestructible(installation, site)


def _check(context: StepContext) -> None:
    """Refuse a site that is not as it was ordered to be deleted."""
    site = Site.objects.filter(shortname=context.site).first()
    if site is None:
        return
    if SiteState(site.state) not in _DELETABLE | {SiteState.DELETING}:
        raise _not_suspended(site)
    _refuse_indestructible(context.installation, site)
    _ask_server(context.installation, site)


def _withdraw(context: StepContext) -> None:
    site = Site.objects.filter(shortname=context.site).first()
    if site is not None:
        sites.deleting(site)
        withdraw(context.installation, site, tombstone=True)


def _publish_again(context: StepContext) -> None:
    site = sites.find(context.site)
    if context.parameters.get("state") == SiteState.ATTENTION:
        sites.needs_attention(site, "deletion was taken back")
    else:
        sites.suspended(site, "deletion was taken back")
    publish(context.installation, site)


def _forget(context: StepContext) -> None:
    site = Site.objects.filter(shortname=context.site).first()
    if site is not None:
        withdraw(context.installation, site, tombstone=True)
        sites.forget(site, leave_tombstone=True)
    audit.record("site.delete", context.site, operation=context.operation_id)


def _attention(context: StepContext) -> None:
    site = Site.objects.filter(shortname=context.site).first()
    if site is not None:
        sites.needs_attention(site, f"operation {context.operation_id} stopped half-way")
        publish(context.installation, site)


DELETE = OperationKind(
    KIND,
    "delete a site",
    (
        Step("check", "see that the site can be deleted", _check),
        Step("withdraw", "take the address off the map", _withdraw, _publish_again),
        Step("database", "drop the database", resources.drop_database, None),
        Step("account", "drop the database account", resources.drop_account, None),
        Step("dataroot", "remove moodledata", dataroot.destroy, None),
        Step("forget", "forget the site", _forget, None),
    ),
    when_reverted="Nothing was deleted; the site is as it was before.",
    attention=_attention,
)
