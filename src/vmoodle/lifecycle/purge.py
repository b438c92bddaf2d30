"""Destroy a site: only one that does not serve, and only what the ledger proves ours.

What was destroyed is certified in the operation's result: a list of things, never their contents.
"""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.utils import timezone

from vmoodle.errors import Conflict, Refused, VMoodleError
from vmoodle.installation import Installation
from vmoodle.lifecycle import dataroot, interruption, lost, resources
from vmoodle.lifecycle.publish import publish, withdraw
from vmoodle.lifecycle.resources import removing
from vmoodle.lifecycle.server import check_engine
from vmoodle.lifecycle.snapshot import snapshot
from vmoodle.lifecycle.stored import open_snapshots
from vmoodle.lifecycle.upgrade import safety_copy
from vmoodle.operations.plan import OperationKind, Step, StepContext
from vmoodle.registry import audit, ledger, operations, runs, servers, sites, snapshots
from vmoodle.registry.models import Operation, Site, SiteState, state_words
from vmoodle.registry.source_names import SourceKind

KIND = "site.purge"
_WAY_ON = {
    SiteState.ENABLED: "vmoodle site suspend {0}",
    SiteState.DELETED: "vmoodle site revive {0} brings it back; vmoodle site purge {0} ends it.",
}
_PURGEABLE = {SiteState.SUSPENDED, SiteState.DELETED, SiteState.ATTENTION}


def submit(
    installation: Installation,
    shortname: str,
    *,
    typed: str,
    now: bool = False,
    with_snapshots: bool = False,
) -> Operation:
    """Queue the destruction of a deleted site.

    One that needs attention is taken too, when no operation holds it. `typed` is its shortname as
    a person typed it; `now` does not wait for the end of the grace period, and takes a site that is
    only suspended, which has none, as well; `with_snapshots`
    deletes its snapshots as well. Raise Conflict for a site in another state, held, or within its
    grace period, Refused without the shortname typed, for a snapshot that somebody has pinned or
    when something of it could not be destroyed, Unavailable when its server does not answer or
    only reads.
    """
    site = sites.find(shortname)
    _refuse_unpurgeable(installation, site, typed, now=now)
    # Before the transaction: a server that is slow to answer must not hold up the registry.
    _ask_server(installation, site)
    with transaction.atomic():
        site = sites.held(shortname)
        _refuse_unpurgeable(installation, site, typed, now=now)
        operations.refuse_used(SourceKind.SITE.named(shortname))
        if with_snapshots:
            for row in snapshots.every(shortname):
                snapshots.refuse_pinned_by_hand(row)
                snapshot.refuse_used(row)
        operation = operations.submit(
            KIND,
            site=shortname,
            parameters={"state": site.state, "with_snapshots": with_snapshots},
            node=installation.node,
        )
        audit.record(KIND, shortname, outcome="submitted", operation=operation.id)
    return operation


def _refuse_unpurgeable(installation: Installation, site: Site, typed: str, *, now: bool) -> None:
    refuse_unless(site, _PURGEABLE, "purged")
    _refuse_in_grace(site, now=now)
    refuse_untyped(site.shortname, typed, "purge")
    refuse_indestructible(installation, site)


def _ask_server(installation: Installation, site: Site) -> None:
    """Raise what hinders the server from dropping something of the site, if it has anything."""
    if resources.on_server(resources.of_site(installation, site)):
        check_engine(installation.engine(site.server))


def _refuse_in_grace(site: Site, *, now: bool) -> None:
    if now:
        return
    if SiteState(site.state) == SiteState.SUSPENDED:
        raise Conflict(
            "site.purge.suspended",
            f"The site {site.shortname} is suspended and was not deleted; it is destroyed only on "
            "request, for it has no grace period and perhaps no snapshot.",
            f"vmoodle site delete {site.shortname} keeps it for a time; --now destroys it at once.",
        )
    if site.purge_after and site.purge_after > timezone.now():
        raise Conflict(
            "site.purge.grace",
            f"The site {site.shortname} is kept until {site.purge_after:%Y-%m-%d %H:%M} UTC.",
            f"vmoodle site revive {site.shortname} brings it back; --now does not wait.",
        )


def refuse_indestructible(installation: Installation, site: Site) -> None:
    """Raise Refused for what a later step would refuse, when the database is gone already."""
    holdings = resources.of_site(installation, site)
    if SiteState(site.state) in {SiteState.SUSPENDED, SiteState.DELETED} and not site.adopted:
        # Later some of it is gone; each step leaves what the ledger does not prove ours.
        resources.refuse_unproven(holdings)
    dataroot.refuse_indestructible(installation, holdings)


def submit_expired(installation: Installation) -> dict[str, Operation | VMoodleError]:
    """Queue the destruction of every deleted site whose grace period is over.

    Return by shortname its operation, or why not: one that cannot be purged stops no other.
    """
    outcome: dict[str, Operation | VMoodleError] = {}
    for site in sites.expired(timezone.now()):
        try:
            outcome[site.shortname] = submit(installation, site.shortname, typed=site.shortname)
        except VMoodleError as error:
            outcome[site.shortname] = error
    return outcome


def refuse_unless(site: Site, states: set[SiteState], verb: str) -> None:
    """Raise Conflict when a site is in none of these states."""
    state = SiteState(site.state)
    if state == SiteState.DELETED and state not in states:
        raise Conflict(
            "site.deleted",
            f"The site {site.shortname} is deleted already.",
            _WAY_ON[state].format(site.shortname),
        )
    if state not in states:
        raise Conflict(
            "site.enabled" if state == SiteState.ENABLED else "site.state",
            f"The site {site.shortname} {state_words(site.state)}; only a suspended site can be "
            f"{verb}.",
            _WAY_ON.get(state, "vmoodle site show {0}").format(site.shortname),
        )


def refuse_untyped(shortname: str, typed: str, verb: str) -> None:
    """Raise Refused when the shortname was not typed as confirmation."""
    if typed != shortname:
        raise Refused(
            "site.delete.unconfirmed",
            "The shortname was not typed as confirmation; nothing was deleted.",
            f"vmoodle site {verb} {shortname} --confirm {shortname}",
        )


def _check(context: StepContext) -> None:
    """Refuse a site that is not as it was ordered to be destroyed."""
    site = Site.objects.select_related("server").filter(shortname=context.site).first()
    if site is not None:
        ordered = SiteState(context.parameters.get("state", SiteState.DELETED))
        if SiteState(site.state) not in {ordered, SiteState.DELETING, SiteState.ATTENTION}:
            raise Conflict(
                "site.state",
                f"The site {site.shortname} {state_words(site.state)} by now; its destruction was "
                f"ordered in the state '{ordered}'.",
                "Nothing was destroyed; order it again if it still is to be.",
            )
        refuse_indestructible(context.installation, site)
        _ask_server(context.installation, site)


def _withdraw(context: StepContext) -> None:
    site = Site.objects.filter(shortname=context.site).first()
    if site is not None:
        context.keep({"certificate": _certificate(context, site)})
        sites.deleting(site)
        withdraw(context.installation, site, tombstone=True)


def _certificate(context: StepContext, site: Site) -> dict[str, Any]:
    """Return what is about to be destroyed, as the ledger has it, and what is gone already.

    Another attempt keeps what the first one found: by now the ledger may have less.
    """
    before = operations.find(context.operation_id).result
    if certificate := before.get("certificate"):
        return dict(certificate)
    there: dict[bool, list[dict[str, str]]] = {True: [], False: []}
    for entry in ledger.entries(site.shortname):
        engine = context.installation.engine(servers.find(entry.place)) if entry.place else None
        thing = {"kind": entry.kind, "place": entry.place, "name": entry.name}
        there[lost.exists(entry, engine)].append(thing)
    size: int | None = None
    try:
        size = context.installation.engine(site.server).size(site.database)
    except VMoodleError:
        # A server that is down or a database that is gone: the steps that follow say so.
        context.say("the size of the database cannot be told")
    return {
        "site": site.shortname,
        "url": site.wwwroot,
        "name": site.name,
        "created": site.created_at.isoformat(),
        "operation": context.operation_id,
        "destroyed": there[True],
        "gone_already": there[False],
        "left": [
            {"kind": kind, "place": place, "name": name}
            for kind, place, name in resources.unproven(
                resources.of_site(context.installation, site)
            )
            if site.adopted
        ],
        "database_bytes": size,
        "snapshots_deleted": [row.id for row in snapshots.every(site.shortname)]
        if context.parameters.get("with_snapshots")
        else [],
    }


def _take_back(context: StepContext) -> None:
    site = sites.find(context.site)
    if context.parameters.get("state") == SiteState.DELETED:
        sites.kept_deleted(site, site.purge_after)
        return
    if context.parameters.get("state") == SiteState.ATTENTION:
        sites.needs_attention(site, "deletion was taken back")
    else:
        sites.suspended(site, "deletion was taken back")
    publish(context.installation, site)


def _snapshots(context: StepContext) -> None:
    """Let go of the site's snapshots: of the last one's pin, or of all of them when so ordered."""
    snapshots.unpinned_of_deletion(context.site)
    if context.parameters.get("with_snapshots"):
        for row in snapshots.every(context.site):
            snapshot.delete(context.installation, row.id)
            context.say(f"deleted the snapshot {row.id}")
        _clear_store(context)


def _clear_store(context: StepContext) -> None:
    """Remove from the store what no other snapshot needs and is old enough; the rest waits."""
    try:
        open_snapshots(context.installation).collect_garbage()
    except VMoodleError as error:
        context.say(f"their contents go with the next `snapshot prune`: {error.message}")


def _forget(context: StepContext) -> None:
    site = Site.objects.filter(shortname=context.site).first()
    if site is not None:
        withdraw(context.installation, site, tombstone=True)
        runs.forget_site(site.id)
        sites.forget(site, leave_tombstone=True)
    certificate = dict(operations.find(context.operation_id).result.get("certificate", {}))
    remaining = [row.id for row in snapshots.every(context.site)]
    context.keep(
        {
            "certificate": certificate
            | {"snapshots_remaining": remaining, "ended": timezone.now().isoformat()}
        }
    )
    audit.record(KIND, context.site, operation=context.operation_id)


PURGE = OperationKind(
    KIND,
    "destroy a site",
    (
        Step("check", "see that the site does not serve", _check),
        Step("withdraw", "take the address off the map", _withdraw, _take_back),
        Step("upgrade", "drop the safety copy of its last upgrade", safety_copy.let_go_of, None),
        Step("database", "drop the database", removing(resources.drop_database), None),
        Step("account", "drop the database account", removing(resources.drop_account), None),
        Step("dataroot", "remove moodledata", removing(dataroot.destroy), None),
        Step("snapshots", "let go of its snapshots", _snapshots, None),
        Step("forget", "forget the site", _forget, None),
    ),
    when_reverted="Nothing was destroyed; the site is as it was before.",
    attention=interruption.attention,
)
