"""A site's database and account: made and dropped by the ledger."""

from __future__ import annotations

from collections.abc import Callable

from vmoodle.errors import Conflict, Refused
from vmoodle.operations.plan import StepContext
from vmoodle.registry import ledger, sites
from vmoodle.registry.models import Site


def make_account(context: StepContext) -> None:
    """Create the site's own database account; never take over one that is there already."""
    site = sites.find(context.site)
    engine = context.installation.engine(site.server)
    _plan(context, ledger.ACCOUNT, site, site.account, engine.account_exists)
    engine.create_account(context.installation.site_database(site), if_missing=True)
    ledger.made(ledger.ACCOUNT, site.server.name, site.account)


def drop_account(context: StepContext) -> None:
    """Drop the site's account when the ledger proves it ours; no account is no error."""
    site = Site.objects.select_related("server").filter(shortname=context.site).first()
    if site is None or not _owned(context, ledger.ACCOUNT, site, site.account):
        return
    engine = context.installation.engine(site.server)
    # A server that only reads by now has nothing to be asked where nothing was made.
    if engine.account_exists(site.account):
        engine.drop_account(site.account, if_exists=True)
    ledger.removed(ledger.ACCOUNT, site.server.name, site.account)


def make_database(context: StepContext) -> None:
    """Create the site's database for its account alone; never take over one that is there."""
    site = sites.find(context.site)
    engine = context.installation.engine(site.server)
    _plan(context, ledger.DATABASE, site, site.database, engine.database_exists)
    engine.create_database(context.installation.site_database(site), if_missing=True)
    ledger.made(ledger.DATABASE, site.server.name, site.database)


def drop_database(context: StepContext) -> None:
    """Drop the site's database when the ledger proves it ours; no database is no error."""
    site = Site.objects.select_related("server").filter(shortname=context.site).first()
    if site is None or not _owned(context, ledger.DATABASE, site, site.database):
        return
    engine = context.installation.engine(site.server)
    # On MariaDB rights outlive their database, so there it is asked to be dropped all the same.
    engine.drop_database(context.installation.site_database(site), if_exists=True)
    ledger.removed(ledger.DATABASE, site.server.name, site.database)


def taken(kind: str, name: str, place: str) -> Conflict:
    """Return the error for a database or account of somebody else's that has a site's name."""
    return Conflict(
        f"engine.{kind}.exists",
        f"The {kind} {name} exists on {place} and VMoodle did not make it for this site.",
        "Choose another shortname, or another sites.database_prefix in vmoodle.toml.",
    )


def refuse_unproven(site: Site) -> None:
    """Raise Refused when the ledger does not prove that database, account and files are ours."""
    wanted = (
        (ledger.DATABASE, site.server.name, site.database),
        (ledger.ACCOUNT, site.server.name, site.account),
        (ledger.DIRECTORY, "", site.dataroot),
    )
    for kind, place, name in wanted:
        if not ledger.is_ours(kind, place, name, site=site.shortname):
            raise Refused(
                "ledger.unproven",
                f"The ledger does not prove that VMoodle made the {kind} {name}.",
                "`vmoodle doctor` compares the ledger with what is there. Nothing was deleted.",
            )


def on_server(site: Site) -> bool:
    """Tell whether the ledger has a database or an account of the site on its server."""
    return any(
        ledger.is_ours(kind, site.server.name, name, site=site.shortname)
        for kind, name in ((ledger.DATABASE, site.database), (ledger.ACCOUNT, site.account))
    )


def _plan(
    context: StepContext, kind: str, site: Site, name: str, exists: Callable[[str], bool]
) -> None:
    """Write a resource down before it is made, unless somebody else's has its name by now."""
    place = site.server.name
    mine = ledger.planned_by(kind, place, name, operation=context.operation_id)
    if not mine and exists(name):
        raise taken(kind, name, place)
    ledger.plan(kind, place, name, site=site.shortname, operation=context.operation_id)


def _owned(context: StepContext, kind: str, site: Site, name: str) -> bool:
    if ledger.is_ours(kind, site.server.name, name, site=site.shortname):
        return True
    context.say(f"the {kind} {name} is not in the ledger: nothing to drop")
    return False
