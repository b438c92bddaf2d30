"""The safety copy of a site's database: made within its window, kept for a while, and let go.

What takes long and can be done while the site serves is done before it is closed; what it holds is
read once nobody can write any more.
"""

from __future__ import annotations

import time
from datetime import timedelta
from pathlib import Path

from django.utils import timezone

from vmoodle.engines.protocol import SiteDatabase
from vmoodle.errors import VMoodleError
from vmoodle.installation import Installation
from vmoodle.lifecycle import resources
from vmoodle.lifecycle.resources import Holdings
from vmoodle.lifecycle.upgrade import moodledata
from vmoodle.operations.plan import StepContext
from vmoodle.registry import ledger, operations, sites, upgrade_copies
from vmoodle.registry.models import Site
from vmoodle.registry.upgrade_models import UpgradeCopy


def prepare(context: StepContext) -> None:
    """Do what the copy takes and can be done beforehand; nothing where it was made by now."""
    site, kept = sites.find(context.site), operations.find(context.operation_id).result
    if kept.get("upgrade"):
        return
    chosen = holdings(context, site, other_name(context, site))
    engine, database = context.installation.engine(site.server), chosen.database
    resources.plan(context, ledger.DATABASE, chosen, database.name, engine.database_exists)
    own = context.installation.site_database(site)
    context.keep({"prepared": engine.prepare_clone(own, database)})


def drop_prepared(context: StepContext) -> None:
    """Drop what was prepared, unless all of the copy was dropped by now."""
    site = sites.find(context.site)
    name = other_name(context, site)
    if ledger.is_ours(ledger.DATABASE, site.server.name, name, owner=site.shortname):
        drop(context)


def make(context: StepContext) -> None:
    """Make the copy, on the same server and for the same account.

    One that Moodle's upgrade has run behind is the only whole copy there is: it is left alone.
    """
    site, kept = sites.find(context.site), operations.find(context.operation_id).result
    if kept.get("upgrade") and site.database == kept.get("copied"):
        return
    spare = other_name(context, site)
    chosen, own = holdings(context, site, spare), context.installation.site_database(site)
    moodledata.keep_settings(context)
    engine = context.installation.engine(site.server)
    resources.plan(context, ledger.DATABASE, chosen, spare, engine.database_exists)
    # Filled once only: what a killed attempt has begun to fill is made anew.
    context.keep({"prepared": ""})
    began = time.monotonic()
    method = engine.clone_database(
        own, chosen.database, replace=True, prepared=str(kept.get("prepared") or "")
    )
    ledger.made(ledger.DATABASE, chosen.server.name, spare)
    how = "inside the server" if method == "server" else "by a dump"
    context.say(f"the safety copy was made {how} in {time.monotonic() - began:.1f} s")
    context.keep({"copied": site.database, "copy": spare, "upgrade": ""})


def drop(context: StepContext) -> None:
    """Drop of the two databases the one the site is not on."""
    site = sites.find(context.site)
    resources.drop_database(context, holdings(context, site, other_name(context, site)))
    moodledata.forget(context)


def release(context: StepContext) -> None:
    """Keep the copy as the way back for so long as the settings say, or let it go at once.

    The site is upgraded and serves: what cannot be dropped is told, and is no failure.
    """
    hours = context.installation.settings.upgrades.keep_copy_hours
    site = sites.find(context.site)
    try:
        older = upgrade_copies.of(site)
        if older is not None and older.operation_id != context.operation_id:
            let_go(context.installation, older)
        if not hours:
            drop(context)
    except VMoodleError as error:
        context.say(f"a safety copy is left: {error.message}")
        return
    if hours:
        upgrade_copies.keep(
            site,
            operation_id=context.operation_id,
            database=other_name(context, site),
            codebase=str(context.parameters["from_codebase"]),
            until=timezone.now() + timedelta(hours=hours),
        )
        context.say(
            f"the way back is kept for {hours} hour(s): vmoodle upgrade back {context.site}"
        )


def let_go(installation: Installation, row: UpgradeCopy) -> None:
    """Drop a copy that was kept, and with it the way back; one that is gone is no error."""
    site: Site = row.site
    name = row.database
    ours = ledger.is_ours(ledger.DATABASE, site.server.name, name, owner=site.shortname)
    if ours and name != site.database:
        own = installation.site_database(site)
        engine = installation.engine(site.server)
        database = SiteDatabase(name, own.account, own.password, own.prefix)
        engine.drop_database(database, if_exists=True)
        ledger.removed(ledger.DATABASE, site.server.name, name)
    moodledata.kept_settings(installation, row.operation_id).unlink(missing_ok=True)
    upgrade_copies.gone(row)


def let_go_due(installation: Installation) -> int:
    """Drop the copies that were kept long enough; return how many. A worker calls it often."""
    count = 0
    for row in upgrade_copies.take_due(timezone.now()):
        try:
            let_go(installation, row)
        except VMoodleError:
            continue  # a server that is away: the next look finds it again
        count += 1
    return count


def let_go_of(context: StepContext) -> None:
    """Drop the copy of a site that is being destroyed."""
    row = upgrade_copies.of_name(context.site)
    if row is not None:
        let_go(context.installation, row)


def other_name(context: StepContext, site: Site) -> str:
    """Return of the operation's two databases the one the site is not on."""
    names = [str(context.parameters["database"]), str(context.parameters["old_database"])]
    return names[1] if site.database == names[0] else names[0]


def holdings(context: StepContext, site: Site, name: str) -> Holdings:
    """Return a database of that name as the site's, beside the one it is on."""
    own = context.installation.site_database(site)
    database = SiteDatabase(name, own.account, own.password, own.prefix)
    return Holdings(site.shortname, site.server, database, Path(site.dataroot))
