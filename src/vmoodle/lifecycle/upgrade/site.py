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
from vmoodle.errors import Failed
from vmoodle.hook.address import parse_wwwroot
from vmoodle.hook.check import read_page
from vmoodle.lifecycle import code_cache, interruption, web_map
from vmoodle.lifecycle.lost import connected
from vmoodle.lifecycle.prove import prove, reach
from vmoodle.lifecycle.publish import publish
from vmoodle.lifecycle.script import run_on_one
from vmoodle.lifecycle.upgrade import cron, moodledata
from vmoodle.lifecycle.upgrade.preflight import refuse_blocked
from vmoodle.moodle.care.maintenance import State, read_maintenance
from vmoodle.moodle.code.tree import MoodleTree
from vmoodle.moodle.code.versions import all_versions_hash
from vmoodle.moodle.database.site_schema import database_versions_hash
from vmoodle.moodle.scripts import health_checks
from vmoodle.moodle.scripts.upgrade import upgrade_site
from vmoodle.operations.plan import StepContext
from vmoodle.registry import codebases, ledger, operations, sites, upgrades
from vmoodle.registry.models import Codebase, Site, SiteState

_FOLLOW_SECONDS = 10.0
_LOOK_SECONDS = 0.2
_LIVE_ADMINS = """
    SELECT COUNT(*) FROM {{user}} WHERE deleted = 0 AND suspended = 0 AND id IN ({ids})
"""


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
    web_map.refuse_trouble(context.installation)


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
    _refuse_other_versions(context, site, codebase)
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
    """Close what was opened and is to go back."""
    context.keep({"opened": None})
    interruption.begin(context)
    cron.show_page(context)


def downtime_ms(result: Mapping[str, Any]) -> int | None:
    """Return for how long the site was closed, None where it was not."""
    if not result.get("closed") or not result.get("opened"):
        return None
    return max(0, round((float(result["opened"]) - float(result["closed"])) * 1000))


def target(context: StepContext) -> Codebase:
    """Return the codebase that the site is upgraded to."""
    return codebases.find(str(context.parameters["codebase"]))


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


def _refuse_other_versions(context: StepContext, site: Site, codebase: Codebase) -> None:
    with connected(context.installation, site) as connection:
        found = database_versions_hash(connection)
    if found != all_versions_hash(MoodleTree.open(Path(codebase.path))):
        raise Failed(
            "upgrade.other",
            f"After the upgrade Moodle has other versions than the codebase {codebase.name}.",
            "Its files changed meanwhile, or a plugin's version is not what is read from them.",
        )


def _refuse_no_login(context: StepContext, site: Site) -> None:
    """Raise Failed unless the login page has its form and an administrator may use it."""
    address = parse_wwwroot(site.wwwroot)
    with reach(context.installation, site) as (place, tls):
        status, text = read_page(address, "/login/index.php", connect_to=place, tls=tls)
    if status not in {200, 302, 303} or (status == 200 and "logintoken" not in text):
        raise Failed(
            "upgrade.login",
            f"The login page of {site.wwwroot} answers {status or text}, without its form.",
            "The site went back to what it was; look at PHP's error log.",
        )
    with connected(context.installation, site) as connection:
        rows = connection.query("SELECT value FROM {config} WHERE name = 'siteadmins'")
        ids = [one for one in str(rows[0][0] if rows else "").split(",") if one.isdigit()]
        sql = _LIVE_ADMINS.format(ids=", ".join(ids) or "NULL")
        if not connection.query(sql)[0][0]:
            raise Failed(
                "upgrade.login",
                "No site administrator can log in after the upgrade.",
                "The site went back to what it was.",
            )


def _refuse_no_checks(context: StepContext, site: Site) -> None:
    """Raise Failed when Moodle's checks cannot be run; what they find is not the upgrade's."""
    tree = MoodleTree.open(Path(site.codebase.path))
    if not (tree.root / health_checks.SCRIPT).is_file():
        return
    ended = run_on_one(context.installation, site.shortname, [health_checks.SCRIPT])
    if ended.exit_status not in health_checks.EXIT_STATUSES:
        raise Failed(
            "upgrade.checks",
            f"Moodle's checks cannot be run after the upgrade (status {ended.exit_status}).",
            ended.output[-300:].strip() or "PHP's error log says more.",
        )
    context.keep({"checks": ended.exit_status})


def _on_codebase(context: StepContext, codebase: Codebase) -> None:
    site = sites.find(context.site)
    sites.on_codebase(site, codebase)
    publish(context.installation, site)


def _results(context: StepContext) -> dict[str, Any]:
    return dict(operations.find(context.operation_id).result)
