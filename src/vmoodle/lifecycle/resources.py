"""What belongs to one owner, made and taken away by the ledger: account, database, directory.

An owner is a site, a template or a warm copy. All three have the same things under other names, so
that a warm copy's become a site's by a change of the registry alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from vmoodle.engines.protocol import Engine, SiteDatabase
from vmoodle.errors import Conflict, Refused
from vmoodle.installation import Installation
from vmoodle.operations.plan import StepContext, StepFunction
from vmoodle.registry import ledger, sites
from vmoodle.registry.models import DatabaseServer, Site


@dataclass(frozen=True)
class Holdings:
    """Name what one owner has: a database and its account on a server, and a directory."""

    owner: str
    server: DatabaseServer
    database: SiteDatabase
    directory: Path


ForHoldings = Callable[[StepContext, Holdings], None]


def of_site(installation: Installation, site: Site) -> Holdings:
    """Return what a site has."""
    return Holdings(
        site.shortname, site.server, installation.site_database(site), Path(site.dataroot)
    )


def making(function: ForHoldings) -> StepFunction:
    """Return a step that makes something for the operation's site; raise NotFound for no site."""

    def act(context: StepContext) -> None:
        function(context, of_site(context.installation, sites.find(context.site)))

    return act


def removing(function: ForHoldings) -> StepFunction:
    """Return a step that takes something of the operation's site away; no site is no error."""

    def act(context: StepContext) -> None:
        site = Site.objects.select_related("server").filter(shortname=context.site).first()
        if site is not None:
            function(context, of_site(context.installation, site))

    return act


def make_account(context: StepContext, holdings: Holdings) -> None:
    """Create the database account; never take over one that is there already."""
    engine = context.installation.engine(holdings.server)
    plan(context, ledger.ACCOUNT, holdings, holdings.database.account, engine.account_exists)
    engine.create_account(holdings.database, if_missing=True)
    ledger.made(ledger.ACCOUNT, holdings.server.name, holdings.database.account)


def drop_account(context: StepContext, holdings: Holdings) -> None:
    """Drop the account when the ledger proves it the owner's; no account is no error."""
    if not owned(context, ledger.ACCOUNT, holdings, holdings.database.account):
        return
    engine = context.installation.engine(holdings.server)
    # A server that only reads by now has nothing to be asked where nothing was made.
    if engine.account_exists(holdings.database.account):
        engine.drop_account(holdings.database.account, if_exists=True)
    ledger.removed(ledger.ACCOUNT, holdings.server.name, holdings.database.account)


def make_database(context: StepContext, holdings: Holdings) -> None:
    """Create the database for its account alone; never take over one that is there."""
    engine = context.installation.engine(holdings.server)
    plan(context, ledger.DATABASE, holdings, holdings.database.name, engine.database_exists)
    engine.create_database(holdings.database, if_missing=True)
    ledger.made(ledger.DATABASE, holdings.server.name, holdings.database.name)


def copy_database(
    context: StepContext, holdings: Holdings, copy: Callable[[Engine, SiteDatabase], None]
) -> None:
    """Let `copy` make the database; what an interrupted attempt left of it is dropped first."""
    engine, database = context.installation.engine(holdings.server), holdings.database
    plan(context, ledger.DATABASE, holdings, database.name, engine.database_exists)
    engine.drop_database(database, if_exists=True)
    copy(engine, database)
    ledger.made(ledger.DATABASE, holdings.server.name, database.name)


def drop_database(context: StepContext, holdings: Holdings) -> None:
    """Drop the database when the ledger proves it the owner's; no database is no error."""
    if not owned(context, ledger.DATABASE, holdings, holdings.database.name):
        return
    engine = context.installation.engine(holdings.server)
    # On MariaDB rights outlive their database, so there it is asked to be dropped all the same.
    engine.drop_database(holdings.database, if_exists=True)
    ledger.removed(ledger.DATABASE, holdings.server.name, holdings.database.name)


def taken(kind: str, name: str, place: str) -> Conflict:
    """Return the error for a database or account of somebody else's that has the name."""
    return Conflict(
        f"engine.{kind}.exists",
        f"The {kind} {name} exists on {place} and VMoodle did not make it for this site.",
        "Choose another shortname, or another sites.database_prefix in vmoodle.toml.",
    )


def unproven(holdings: Holdings) -> list[tuple[str, str, str]]:
    """Return what of it the ledger does not prove to be the owner's: kind, place and name."""
    wanted = (
        (ledger.DATABASE, holdings.server.name, holdings.database.name),
        (ledger.ACCOUNT, holdings.server.name, holdings.database.account),
        (ledger.DIRECTORY, "", str(holdings.directory)),
    )
    return [thing for thing in wanted if not ledger.is_ours(*thing, owner=holdings.owner)]


def refuse_unproven(holdings: Holdings) -> None:
    """Raise Refused when the ledger does not prove that all of it is the owner's."""
    for kind, _place, name in unproven(holdings):
        raise Refused(
            "ledger.unproven",
            f"The ledger does not prove that VMoodle made the {kind} {name}.",
            "`vmoodle doctor` compares the ledger with what is there. Nothing was deleted.",
        )


def refuse_foreign(installation: Installation, site: Site, verb: str) -> None:
    """Raise Refused for an adopted site whose things VMoodle may not or cannot replace.

    It may not before they were handed over, and cannot where moodledata is outside of the base.
    """
    if not site.adopted:
        return
    instead = "Make a new site instead: vmoodle site create NEW --snapshot ID"
    for kind, _place, name in unproven(of_site(installation, site)):
        if kind != ledger.ACCOUNT:
            raise Refused(
                "site.adopted",
                f"{site.shortname} was adopted and is not {verb}: its {kind} {name} would be "
                "removed, and VMoodle did not make it.",
                f"{instead}; or hand it over: vmoodle site adopt {site.shortname} --take-ownership",
            )
    if Path(site.dataroot).parent != installation.dataroot_base:
        raise Refused(
            "site.adopted",
            f"{site.shortname} was adopted and is not {verb}: its moodledata {site.dataroot} lies "
            f"outside of the base {installation.dataroot_base}.",
            instead,
        )


def on_server(holdings: Holdings) -> bool:
    """Tell whether the ledger has a database or an account of the owner on the server."""
    wanted = (
        (ledger.DATABASE, holdings.database.name),
        (ledger.ACCOUNT, holdings.database.account),
    )
    return any(
        ledger.is_ours(kind, holdings.server.name, name, owner=holdings.owner)
        for kind, name in wanted
    )


def plan(
    context: StepContext, kind: str, holdings: Holdings, name: str, exists: Callable[[str], bool]
) -> None:
    """Write a resource down before it is made, unless somebody else's has its name by now."""
    place = holdings.server.name
    mine = ledger.planned_by(kind, place, name, operation=context.operation_id)
    if not mine and exists(name):
        raise taken(kind, name, place)
    ledger.plan(kind, place, name, owner=holdings.owner, operation=context.operation_id)


def owned(context: StepContext, kind: str, holdings: Holdings, name: str) -> bool:
    """Tell whether the ledger proves a resource the owner's, and say so where it does not."""
    if ledger.is_ours(kind, holdings.server.name, name, owner=holdings.owner):
        return True
    context.say(f"the {kind} {name} is not in the ledger: nothing to drop")
    return False
