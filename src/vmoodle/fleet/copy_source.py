"""The site that something is copied from: named among the parameters, read, and never a target."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from pydantic import Field

from vmoodle.fleet.parameters import Parameters

if TYPE_CHECKING:
    from vmoodle.fleet.target_site import TargetSite
    from vmoodle.installation import Installation


class PerhapsFromSite(Parameters):
    """What is made so may have a source."""

    source: str = Field(default="", description="The site it comes from, by its shortname.")


class FromSite(PerhapsFromSite):
    """What is copied has a source."""

    source: str = Field(description="The site it comes from, by its shortname.")


def sources_of(given: Parameters) -> Collection[str]:
    """Return the sites that the parameters name as a source: to copy to all is to all others."""
    return [given.source] if isinstance(given, PerhapsFromSite) and given.source else []


def open_source(installation: Installation, shortname: str) -> TargetSite:
    """Return the source; raise as `target_site`."""
    # The registry's models can be had only after an installation is opened.
    from vmoodle.fleet.target_sites import target_site

    return target_site(installation, shortname)
