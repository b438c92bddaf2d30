"""See that what was upgraded works: its versions, its login page, Moodle's own checks."""

from __future__ import annotations

from pathlib import Path

from vmoodle.errors import Failed
from vmoodle.hook.address import parse_wwwroot
from vmoodle.hook.check import read_page
from vmoodle.installation import Installation
from vmoodle.lifecycle.lost import connected
from vmoodle.lifecycle.script import run_on
from vmoodle.moodle.code.tree import MoodleTree
from vmoodle.moodle.code.versions import all_versions_hash
from vmoodle.moodle.database.site_admins import read_administrator_ids
from vmoodle.moodle.database.site_schema import database_versions_hash
from vmoodle.moodle.scripts import health_checks
from vmoodle.registry.models import Codebase, Site

_LIVE_ADMINS = """
    SELECT COUNT(*) FROM {{user}} WHERE deleted = 0 AND suspended = 0 AND id IN ({ids})
"""


def refuse_other_versions(installation: Installation, site: Site, codebase: Codebase) -> None:
    """Raise Failed `upgrade.other` unless the database has the versions of the codebase."""
    with connected(installation, site) as connection:
        found = database_versions_hash(connection)
    if found != all_versions_hash(MoodleTree.open(Path(codebase.path))):
        raise Failed(
            "upgrade.other",
            f"After the upgrade Moodle has other versions than the codebase {codebase.name}.",
            "Its files changed meanwhile, or a plugin's version is not what is read from them.",
        )


def refuse_no_login(
    installation: Installation, site: Site, place: tuple[str, int], *, tls: bool = False
) -> None:
    """Raise Failed `upgrade.login` unless the login page has its form and an administrator may.

    The page is asked of the server at `place`.
    """
    status, text = read_page(
        parse_wwwroot(site.wwwroot), "/login/index.php", connect_to=place, tls=tls
    )
    if status not in {200, 302, 303} or (status == 200 and "logintoken" not in text):
        raise Failed(
            "upgrade.login",
            f"The login page of {site.wwwroot} answers {status or text}, without its form.",
            "Look at PHP's error log.",
        )
    with connected(installation, site) as connection:
        ids = read_administrator_ids(connection)
        sql = _LIVE_ADMINS.format(ids=", ".join(map(str, ids)) or "NULL")
        if not connection.query(sql)[0][0]:
            raise Failed(
                "upgrade.login",
                "No site administrator can log in after the upgrade.",
                "Look at who administers the site: the setting `siteadmins`.",
            )


def refuse_no_checks(installation: Installation, site: Site) -> int | None:
    """Return what Moodle's checks ended with, None where it has none.

    Raise Failed `upgrade.checks` when they cannot be run; what they find is not the upgrade's.
    """
    tree = MoodleTree.open(Path(site.codebase.path))
    if not (tree.root / health_checks.SCRIPT).is_file():
        return None
    ended = run_on(installation, site, [health_checks.SCRIPT])
    if ended.exit_status not in health_checks.EXIT_STATUSES:
        raise Failed(
            "upgrade.checks",
            f"Moodle's checks cannot be run after the upgrade (status {ended.exit_status}).",
            ended.output[-300:].strip() or "PHP's error log says more.",
        )
    return ended.exit_status
