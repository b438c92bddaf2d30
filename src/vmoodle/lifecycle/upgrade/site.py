"""Upgrade one site: its database is copied, then Moodle's own upgrade runs on it.

While the site is closed it is published on the new codebase for the command line alone. One that
fails is put on the safety copy and on the codebase it had. Until the site is opened nobody but
Moodle's upgrade has written to it, so that going back loses nothing.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vmoodle.engines.protocol import SiteDatabase
from vmoodle.errors import Failed, Refused
from vmoodle.lifecycle import code_cache, interruption
from vmoodle.lifecycle.lost import connected
from vmoodle.lifecycle.prove import prove, reach
from vmoodle.lifecycle.publish import let_web_server_follow, publish
from vmoodle.lifecycle.upgrade import cron, moodledata, smoke
from vmoodle.lifecycle.upgrade.preflight import refuse_blocked
from vmoodle.moodle.care.maintenance import State, read_maintenance
from vmoodle.moodle.code.tree import MoodleTree
from vmoodle.moodle.database.site_schema import database_versions_hash
from vmoodle.moodle.scripts.upgrade import upgrade_site
from vmoodle.operations.plan import StepContext
from vmoodle.registry import codebases, ledger, operations, sites, upgrades
from vmoodle.registry.models import Codebase, Site, SiteState

_FOLLOW_SECONDS = 10.0
_SERVED_SECONDS = 120.0
"""For how long an upgraded site may have been open to visitors where it goes back by itself."""

_LOOK_SECONDS = 0.2


def check(context: StepContext) -> None:
    """Refuse what the plan would refuse by now; the site is not touched yet."""
    site = sites.find(context.site)
    if _results(context).get("upgrade"):
        return  # another attempt: it is amid its upgrade
    with connected(context.installation, site) as connection:
        upgrades.source_seen(context.operation_id, database_versions_hash(connection))
    accepted = [str(code) for code in context.parameters.get("accept", [])]
    refuse_blocked(context.installation, site, target(context), accepted)


def close(context: StepContext) -> None:
    """Answer 503, and let no cron run; from here on the site's downtime counts."""
    if "closed" not in _results(context):
        context.keep({"closed": time.time()})
    interruption.begin(context)
    cron.keep_out(context)


def open_again(context: StepContext) -> None:
    """Serve as before the operation, and prove it."""
    if "closed" in _results(context):
        cron.as_before(context)
    serve(context)


def serve(context: StepContext) -> None:
    """Let visitors and cron in, and prove that the site serves."""
    cron.let_in(context)
    _open(context)
    site = sites.find(context.site)
    if site.state == SiteState.ENABLED and _is_open_to_all(context, site):
        _prove(context, site)


def to_new_code(context: StepContext) -> None:
    """Publish the site, still closed, on the new codebase, and see that the web server follows."""
    _on_codebase(context, target(context))
    let_web_server_follow(context.installation)


def to_old_code(context: StepContext) -> None:
    """Publish the site, still closed, on the codebase it had; its data is what it was by now."""
    _on_codebase(context, codebases.find(str(context.parameters["from_codebase"])))
    if _results(context).get("upgrade"):
        moodledata.put_back(context)


def upgrade(context: StepContext) -> None:
    """Run Moodle's upgrade; one that was cut off begins again with what the safety copy has."""
    progress = _results(context).get("upgrade")
    if progress == "done":
        return
    if progress == "begun":
        _begin_anew(context)
    context.keep({"upgrade": "begun"})
    began = time.monotonic()
    site, codebase = sites.find(context.site), target(context)
    upgrade_site(
        MoodleTree.open(Path(codebase.path)),
        context.installation.php,
        site=site.shortname,
        timeout=float(context.parameters["timeout"]),
        redact=[context.installation.site_database(site).password],
        tell=context.say,
        compiled=code_cache.directory(context.installation, codebase),
    )
    smoke.refuse_other_versions(context.installation, site, codebase)
    context.keep({"upgrade": "done", "upgrade_ms": round((time.monotonic() - began) * 1000)})


def data_back(context: StepContext) -> None:
    """Put the site on its safety copy, where Moodle's upgrade may have touched its database."""
    site, kept = sites.find(context.site), _results(context)
    if not kept.get("upgrade") or site.database != kept["copied"]:
        return
    sites.on_database(site, str(kept["copy"]))
    publish(context.installation, site)
    context.say("the data is what it was before the upgrade")


def open_upgraded(context: StepContext) -> None:
    """Serve on the new codebase and see that it does: front page, login, Moodle's checks."""
    cron.let_in(context)
    _open(context)
    site = sites.find(context.site)
    if site.state != SiteState.ENABLED:
        return
    if _is_open_to_all(context, site):
        _prove(context, site)
        _refuse_no_login(context, site)
    if "checks" not in _results(context):
        _refuse_no_checks(context, site)


def close_again(context: StepContext) -> None:
    """Close what was opened and is to go back; Refused `upgrade.served` as `_refuse_served`."""
    _refuse_served(context)
    context.keep({"opened": None})
    interruption.begin(context)
    cron.show_page(context)


def serves_upgraded(context: StepContext) -> bool:
    """Tell whether visitors are on the upgraded site by now."""
    kept = _results(context)
    return kept.get("upgrade") == "done" and bool(kept.get("opened"))


def downtime_ms(result: Mapping[str, Any]) -> int | None:
    """Return for how long the site was closed, None where it was not."""
    if not result.get("closed") or not result.get("opened"):
        return None
    return max(0, round((float(result["opened"]) - float(result["closed"])) * 1000))


def target(context: StepContext) -> Codebase:
    """Return the codebase that the site is upgraded to."""
    return codebases.find(str(context.parameters["codebase"]))


def _refuse_served(context: StepContext) -> None:
    """Raise Refused where visitors would lose what they wrote, until an administrator says so."""
    row = operations.find(context.operation_id)
    opened, told = row.result.get("opened"), row.result.get("told_served")
    served = time.time() - float(opened) if opened else 0.0
    if served < _SERVED_SECONDS or (told and row.attempt > told):
        return
    context.keep({"told_served": row.attempt})
    raise Refused(
        "upgrade.served",
        f"The upgraded site {context.site} has been open for {served / 60:.0f} min; to go back "
        "would lose what was written there since.",
        f"Look at it; then keep it: vmoodle operation retry {row.id}, or go back: vmoodle "
        f"operation revert {row.id}",
    )


def _open(context: StepContext) -> None:
    interruption.end(context)
    if context.parameters["state"] == SiteState.ENABLED and not _results(context).get("opened"):
        context.keep({"opened": time.time()})


def _prove(context: StepContext, site: Site) -> None:
    """Prove that the site serves; a web server that was just told of it is given some seconds."""
    told = context.installation.settings.web.map is not None
    limit = time.monotonic() + (_FOLLOW_SECONDS if told else 0)
    while True:
        try:
            context.say(prove(context.installation, site).summary())
        except Failed:
            if time.monotonic() > limit:
                raise
            time.sleep(_LOOK_SECONDS)
        else:
            return


def _is_open_to_all(context: StepContext, site: Site) -> bool:
    """Tell whether its own maintenance keeps visitors out: then there is no page to be seen."""
    with connected(context.installation, site) as connection:
        state = read_maintenance(connection, Path(site.dataroot)).state
    if state in (State.OPEN, State.LATER):
        return True
    context.say(f"its pages were not asked: by its own maintenance it is {state}")
    return False


def _begin_anew(context: StepContext) -> None:
    """Make the site's database again from the safety copy; only one that is ours is dropped."""
    site, kept = sites.find(context.site), _results(context)
    own = context.installation.site_database(site)
    if not ledger.is_ours(ledger.DATABASE, site.server.name, own.name, owner=site.shortname):
        raise Failed(
            "upgrade.interrupted",
            "The upgrade was cut off; the database was adopted and is not made anew.",
            "Run the upgrade again for this site.",
        )
    context.say("the upgrade was cut off: it begins again with the safety copy's data")
    copied = SiteDatabase(str(kept["copy"]), own.account, own.password, own.prefix)
    context.installation.engine(site.server).clone_database(copied, own, replace=True)


def _refuse_no_login(context: StepContext, site: Site) -> None:
    with reach(context.installation, site) as (place, tls):
        smoke.refuse_no_login(context.installation, site, place, tls=tls)


def _refuse_no_checks(context: StepContext, site: Site) -> None:
    checks = smoke.refuse_no_checks(context.installation, site)
    if checks is not None:
        context.keep({"checks": checks})


def _on_codebase(context: StepContext, codebase: Codebase) -> None:
    site = sites.find(context.site)
    sites.on_codebase(site, codebase)
    publish(context.installation, site)


def _results(context: StepContext) -> dict[str, Any]:
    return dict(operations.find(context.operation_id).result)
