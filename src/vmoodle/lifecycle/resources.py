"""A site's database and account: made and dropped by the ledger."""

from __future__ import annotations

from vmoodle.errors import Refused
from vmoodle.lifecycle.suspend import site_database
from vmoodle.operations.plan import StepContext
from vmoodle.registry import ledger, sites
from vmoodle.registry.models import Site


def make_account(context: StepContext) -> None:
    """Create the site's own database account."""
    site = sites.find(context.site)
    _plan(context, ledger.ACCOUNT, site, site.account)
    context.installation.engine(site.server).create_account(
        site_database(context.installation, site), if_missing=True
    )
    ledger.made(ledger.ACCOUNT, site.server.name, site.account)


def drop_account(context: StepContext) -> None:
    """Drop the site's account when the ledger proves it ours; no account is no error."""
    site = Site.objects.select_related("server").filter(shortname=context.site).first()
    if site is None or not _owned(context, ledger.ACCOUNT, site, site.account):
        return
    context.installation.engine(site.server).drop_account(site.account, if_exists=True)
    ledger.removed(ledger.ACCOUNT, site.server.name, site.account)


def make_database(context: StepContext) -> None:
    """Create the site's database, with rights for its account alone."""
    site = sites.find(context.site)
    _plan(context, ledger.DATABASE, site, site.database)
    context.installation.engine(site.server).create_database(
        site_database(context.installation, site), if_missing=True
    )
    ledger.made(ledger.DATABASE, site.server.name, site.database)


def drop_database(context: StepContext) -> None:
    """Drop the site's database when the ledger proves it ours; no database is no error."""
    site = Site.objects.select_related("server").filter(shortname=context.site).first()
    if site is None or not _owned(context, ledger.DATABASE, site, site.database):
        return
    context.installation.engine(site.server).drop_database(
        site_database(context.installation, site), if_exists=True
    )
    ledger.removed(ledger.DATABASE, site.server.name, site.database)


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


def _plan(context: StepContext, kind: str, site: Site, name: str) -> None:
    ledger.plan(kind, site.server.name, name, site=site.shortname, operation=context.operation_id)


def _owned(context: StepContext, kind: str, site: Site, name: str) -> bool:
    if ledger.is_ours(kind, site.server.name, name, site=site.shortname):
        return True
    context.say(f"the {kind} {name} is not in the ledger: nothing to drop")
    return False
