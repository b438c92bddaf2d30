"""The site that something is copied from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from vmoodle.fleet.parameters import Parameters

if TYPE_CHECKING:
    from vmoodle.fleet.target_site import TargetSite
    from vmoodle.installation import Installation

THE_SOURCE = "the source itself"
"""What a copy answers for the site it is from: to copy to all sites is to copy to all others."""


class FromSite(Parameters):
    """What is copied has a source."""

    source: str = Field(description="The site it comes from, by its shortname.")


def open_source(installation: Installation, shortname: str) -> TargetSite:
    """Return the source; raise as `target_site`."""
    # The registry's models can be had only after an installation is opened.
    from vmoodle.fleet.target_sites import target_site

    return target_site(installation, shortname)
