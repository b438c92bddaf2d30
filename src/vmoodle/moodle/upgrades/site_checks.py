"""What hinders the upgrade of one site, and whether it must be closed meanwhile."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from vmoodle.engines.protocol import SiteConnection
from vmoodle.moodle.code.environment import version_tuple
from vmoodle.moodle.database.site_schema import read_schema
from vmoodle.moodle.plugins.states import CodeState
from vmoodle.moodle.upgrades.code import UpgradeCode
from vmoodle.moodle.upgrades.finding import UpgradeFinding, blocker, warning
from vmoodle.moodle.upgrades.path import short_release
from vmoodle.moodle.upgrades.pending import Pending, PluginDrift, drift, pending
from vmoodle.moodle.upgrades.state import SiteVersions, read_site_versions

MNET = "auth_mnet"
_TASKS = ("task_scheduled", "task_adhoc")
_MOST_NAMES = 8


@dataclass(frozen=True)
class SiteFacts:
    """What a plan takes from a site's database; `server` is flavour and version."""

    versions: SiteVersions
    server: tuple[str, str]
    tasks_at_work: int
    mnet_users: int


def read_site_facts(connection: SiteConnection) -> SiteFacts:
    """Read a site's database for a plan."""
    versions = read_site_versions(connection)
    mnet = 0
    if MNET in versions.plugins:
        sql = "SELECT COUNT(*) FROM {user} WHERE auth = 'mnet' AND deleted = 0"
        mnet = int(connection.query(sql)[0][0])
    return SiteFacts(versions, _server(connection), tasks_at_work(connection), mnet)


def outage(site: SiteVersions, code: UpgradeCode, *, same_path: bool) -> str:
    """Return whether Moodle wants the site closed while it is upgraded, and why.

    As `admin/cli/upgrade.php --is-maintenance-required` does (4.2 to 5.1).
    """
    if not pending(site, code).is_pending:
        return "none: nothing is to be upgraded"
    if not site.components_hash:
        return "required: this Moodle cannot tell what changes"
    if not same_path:
        return "required: the code is at another path"
    if site.components_hash != code.components_hash:
        return "required: definitions in db directories change"
    return "not required"


def check_site(site: SiteFacts, code: UpgradeCode) -> Iterator[UpgradeFinding]:
    """Give what hinders the site's upgrade to the tree, and what it loses by it."""
    versions, release = site.versions, code.tree.version.release
    if pending(versions, code) is Pending.OLDER:
        yield blocker(
            "core.downgrade",
            f"The site is at {versions.release}, which is later than {release}.",
            "Moodle has no way back: restore a snapshot, or choose a later codebase.",
        )
    if versions.upgrade_ends > time.time():
        yield blocker(
            "upgrade.running",
            "An upgrade is under way on it.",
            "Wait until it ends; after one that was killed Moodle waits five minutes.",
        )
    if site.tasks_at_work:
        yield warning(
            "cron.running",
            f"{site.tasks_at_work} of its tasks are at work.",
            "Let them end before the upgrade begins.",
        )
    found = list(drift(versions, code))
    yield from _check_plugins(found, code)
    if site.mnet_users and MNET not in code.disk and version_tuple(release) >= (5,):
        yield warning(
            "mnet.logins",
            f"{site.mnet_users} user(s) log in from other sites by Moodle Network, which Moodle "
            "has no longer from 5.0 on.",
            "Give them another way to log in before the upgrade.",
        )


def _check_plugins(found: list[PluginDrift], code: UpgradeCode) -> Iterator[UpgradeFinding]:
    release = short_release(code.tree.version.release)
    removed = [one.component for one in found if one.what is CodeState.MISSING and one.standard]
    for one in found:
        if one.what is CodeState.MISSING and one.component in code.standard:
            yield blocker(
                "plugin.missing",
                f"{one.component} is Moodle's own, is installed, and not in the tree.",
                f"Complete the tree: put in its directory of Moodle {release}.",
            )
        elif one.what is CodeState.MISSING and not one.standard:
            yield blocker(
                "plugin.missing",
                f"{one.component} is installed, and not in the tree.",
                "Put a version of it that fits into the tree, or uninstall it first.",
            )
        elif one.what is CodeState.DOWNGRADE:
            yield blocker(
                "plugin.downgrade",
                f"{one.component} is installed as {one.installed}; the tree has {one.disk}.",
                "Put that version or a later one into the tree.",
            )
    if removed:
        more = f" and {len(removed) - _MOST_NAMES} more" if len(removed) > _MOST_NAMES else ""
        yield warning(
            "plugin.removed",
            f"Moodle {release} has no longer "
            f"{', '.join(removed[:_MOST_NAMES])}{more}; the upgrade removes most of such plugins "
            "with their data.",
            "Put their code into the tree where they are to stay.",
        )


def _server(connection: SiteConnection) -> tuple[str, str]:
    said = str(connection.query("SELECT version()")[0][0])
    if said.startswith("PostgreSQL"):
        return "postgresql", said.split()[1]
    return ("mariadb" if "mariadb" in said.lower() else "mysql"), said


def tasks_at_work(connection: SiteConnection) -> int:
    """Return how many tasks are running; one whose process is gone from this machine is not."""
    schema = read_schema(connection, _TASKS)
    count = 0
    for table in _TASKS:
        if schema.has(table, "timestarted"):
            rows = connection.query(
                f"SELECT hostname, pid FROM {{{table}}} WHERE timestarted > 0"  # noqa: S608
            )
            count += sum(not _has_died(host, pid) for host, pid in rows)
    return count


def _has_died(host: object, pid: object) -> bool:
    here = host is not None and str(host) == socket.gethostname()
    return here and bool(pid) and not Path(f"/proc/{pid}").exists()
