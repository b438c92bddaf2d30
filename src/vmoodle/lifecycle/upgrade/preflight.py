"""Whether a site can be upgraded to a codebase: looked at again just before it is touched."""

from __future__ import annotations

from pathlib import Path

from vmoodle.errors import Refused
from vmoodle.installation import Installation
from vmoodle.lifecycle import preflight
from vmoodle.lifecycle.lost import connected
from vmoodle.moodle.code.tree import MoodleTree
from vmoodle.moodle.upgrades.code import read_upgrade_code
from vmoodle.moodle.upgrades.finding import Level
from vmoodle.moodle.upgrades.path import can_come_from, short_release
from vmoodle.moodle.upgrades.site_checks import check_site, read_site_facts
from vmoodle.moodle.upgrades.tree_checks import check_machine, check_tree
from vmoodle.registry.models import Codebase, Site


def refuse_blocked(
    installation: Installation, site: Site, codebase: Codebase, accepted: list[str]
) -> None:
    """Raise Refused `upgrade.blocked` with all that Moodle's upgrade would break off at.

    Also what `preflight.check_runnable` raises. A blocker whose code is accepted is none.
    """
    preflight.check_runnable(installation, codebase, site.server)
    code = read_upgrade_code(MoodleTree.open(Path(codebase.path)))
    with connected(installation, site) as connection:
        facts = read_site_facts(connection)
    found = [
        *check_site(facts, code),
        *check_machine(code, installation.php.facts(), facts.server),
        *check_tree(code),
    ]
    said = [
        f"{one.message} [{one.code}]"
        for one in found
        if one.level is Level.BLOCKER and one.code not in accepted
    ]
    release = facts.versions.release
    if not can_come_from(release, code.requirements.source):
        said.append(
            f"Moodle {code.tree.version.series} takes sites from {code.requirements.source} on; "
            f"it is {short_release(release)}. [core.source]"
        )
    if said:
        raise Refused(
            "upgrade.blocked",
            " ".join(said),
            f"vmoodle upgrade plan --to {codebase.name} --on {site.shortname}",
        )
