"""Write anew from the registry what the web server reads: each config.php, the hook, the map."""

from __future__ import annotations

from dataclasses import dataclass

from vmoodle.errors import Refused
from vmoodle.installation import Installation
from vmoodle.lifecycle.codebase import refresh_configs
from vmoodle.lifecycle.publish import let_web_server_follow, publish_all, tombstones
from vmoodle.progress import Tell, tell_nobody
from vmoodle.registry import sites


@dataclass(frozen=True)
class Rebuilt:
    """How many sites stand in the map now, and how many config.php were of another release."""

    sites: int
    configurations: int


def rebuild(
    installation: Installation, tell: Tell = tell_nobody, *, may_empty: bool = False
) -> Rebuilt:
    """Write each tree's config.php where it is another release's, the hook and the whole map.

    Raise Failed `web.reload` where the web server's own map cannot follow; all else is done then.
    Raise Refused where a registry without any site would empty a map that sites are served by,
    unless it `may_empty` it.
    """
    served = installation.host_map.count()
    if served and not may_empty and not (sites.every().exists() or tombstones()):
        raise Refused(
            "hook.rebuild.empty",
            f"The registry has no site, and the map answers for {served} addresses.",
            "Put the registry back from a backup, or, if no site is left: vmoodle hook rebuild "
            "--empty",
        )
    tell("reading each tree's config.php")
    configurations = refresh_configs(installation)
    rebuilt = Rebuilt(publish_all(installation, tell), configurations)
    let_web_server_follow(installation)
    return rebuilt
