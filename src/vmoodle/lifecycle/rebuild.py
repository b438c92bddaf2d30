"""Write anew from the registry what the web server reads: each config.php, the hook, the map."""

from __future__ import annotations

from dataclasses import dataclass

from vmoodle.installation import Installation
from vmoodle.lifecycle.codebase import refresh_configs
from vmoodle.lifecycle.publish import publish_all
from vmoodle.progress import Tell, tell_nobody


@dataclass(frozen=True)
class Rebuilt:
    """How many sites stand in the map now, and how many config.php were of another release."""

    sites: int
    configurations: int


def rebuild(installation: Installation, tell: Tell = tell_nobody) -> Rebuilt:
    """Write each tree's config.php where it is another release's, the hook and the whole map."""
    tell("reading each tree's config.php")
    configurations = refresh_configs(installation)
    return Rebuilt(publish_all(installation, tell), configurations)
