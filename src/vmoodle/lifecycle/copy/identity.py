"""Give a copy an identity of its own, or take a copy's identity out: each in one transaction.

It happens before PHP ever runs on the copy: its first boot would freeze the old identity in caches.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vmoodle.engines.protocol import SiteConnection
from vmoodle.hook.address import parse_wwwroot
from vmoodle.installation import Installation
from vmoodle.lifecycle.resources import Holdings
from vmoodle.moodle.code.schedule import random_tasks
from vmoodle.moodle.code.tree import MoodleTree
from vmoodle.moodle.database import content_urls
from vmoodle.moodle.database.content_urls import LeftCell
from vmoodle.moodle.identity import sanitise
from vmoodle.moodle.identity.assume import NewIdentity, assume
from vmoodle.moodle.identity.scrub import scrub
from vmoodle.moodle.identity.unjudged import to_look_at
from vmoodle.registry import sites
from vmoodle.registry.models import Site
from vmoodle.secret import Secret


@dataclass(frozen=True)
class Stripped:
    """Say in words what was done, a line each, and what a template then holds."""

    lines: tuple[str, ...]
    facts: dict[str, Any]


def strip(
    installation: Installation, holdings: Holdings, *, people: bool, old: str, new: str
) -> Stripped:
    """Make a template's database identity-free, its own addresses replaced by a neutral one.

    Its facts: how many cells of its content have addresses (`content_urls`), and in how many the
    old one had to stay (`content_left`).
    """
    engine = installation.engine(holdings.server)
    with engine.connect(holdings.database, read_only=False) as connection:
        scrubbed = scrub(connection, people=people)
        rewritten = content_urls.rewrite(connection, old, new, others=_neighbours(old))
        # Not what was rewritten: nothing is, where a killed process had done it already.
        addresses = len(content_urls.find(connection, new))
    words = f"{scrubbed.rows} rows taken out, {rewritten.addresses} own addresses made neutral"
    if scrubbed.unjudged:
        words += f"; {to_look_at(scrubbed.unjudged)}"
    cells = {(cell.table, cell.column, cell.row) for cell in rewritten.left}
    return Stripped(
        (words, *_left(rewritten.left)), {"content_urls": addresses, "content_left": len(cells)}
    )


def take_on(
    installation: Installation,
    site: Site,
    *,
    from_wwwroot: str,
    rewrite_content: bool,
    admin_password: Secret,
    policy_name: str,
    keep: Callable[[Mapping[str, Any]], None] = lambda _facts: None,
) -> str:
    """Make a copy the site the registry describes; return in words what was done.

    `from_wwwroot` is the address in its content, looked for only with `rewrite_content`. A policy
    makes the copy safe to use; `keep` is called with the columns that it does not judge.
    """
    tree = MoodleTree.open(site.codebase.path)
    identity = NewIdentity(
        wwwroot=site.wwwroot,
        name=site.name,
        shortname=site.shortname,
        dataroot=site.dataroot,
        admin_user=site.admin_user,
        admin_email=site.admin_email,
        admin_password=admin_password,
        old_wwwroot=from_wwwroot,
    )
    said: list[str] = []
    engine = installation.engine(site.server)
    with engine.connect(installation.site_database(site), read_only=False) as connection:
        if rewrite_content:
            report = content_urls.rewrite(
                connection, from_wwwroot, site.wwwroot, others=_neighbours(from_wwwroot)
            )
            said.append(f"{report.addresses} addresses rewritten")
            said += _left(report.left)
        if policy_name:
            said += _sanitised(connection, policy_name, keep)
        assume(connection, identity, random_tasks=random_tasks(tree))
    return "; ".join(said) or "identity rewritten"


def _sanitised(
    connection: SiteConnection, policy_name: str, keep: Callable[[Mapping[str, Any]], None]
) -> list[str]:
    """Sanitise the copy by a policy; return in words what was done and what is to be looked at."""
    # Nobody can work out who is behind a made-up name: the seed is kept nowhere.
    done = sanitise.apply(connection, sanitise.find_policy(policy_name), secrets.token_hex(16))
    said = [f"policy {policy_name}: {done.rows} rows changed"]
    if done.unjudged:
        said.append(to_look_at(done.unjudged))
        keep({"unjudged": list(done.unjudged)})
    return said


def _left(cells: Sequence[LeftCell]) -> list[str]:
    return [
        f"left as it is: {cell.table}.{cell.column} {cell.row} ({cell.reason})" for cell in cells
    ]


def _neighbours(wwwroot: str) -> list[str]:
    return sites.others_on_host(parse_wwwroot(wwwroot).host, but=wwwroot)
