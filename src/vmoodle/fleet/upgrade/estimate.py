"""How long a site's upgrade may take: by its rehearsal, by those of others, by what was done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from vmoodle.errors import VMoodleError
from vmoodle.moodle.code.tree import MoodleTree
from vmoodle.moodle.code.versions import all_versions_hash
from vmoodle.moodle.plugins.states import CodeState, compare_versions
from vmoodle.moodle.upgrades.state import SiteVersions

ESTIMATE = "estimate."
BY_REHEARSAL, BY_ANOTHER, BY_UPGRADES = (
    f"{ESTIMATE}rehearsal", f"{ESTIMATE}another", f"{ESTIMATE}upgrades",
)  # fmt: skip
OF_REHEARSALS = (BY_REHEARSAL, BY_ANOTHER)

_MOST_UPGRADES = 50
_ALIKE = 4
"""A site of up to so many times the size, or of as small a part, is alike."""


@dataclass(frozen=True)
class Rehearsed:
    """What came of the newest rehearsal of a site from one set of versions."""

    shortname: str
    source_hash: str
    size: int
    milliseconds: int
    day: str
    failure: str = ""


@dataclass(frozen=True)
class Upgraded:
    """What the upgrade of a site from a version to the same code took."""

    shortname: str
    source_version: str
    milliseconds: int


@dataclass(frozen=True)
class Estimate:
    """For how long Moodle's upgrade may run, and why that is thought."""

    code: str
    milliseconds: int
    why: str


@dataclass(frozen=True)
class Known:
    """What is known of the way to a code tree; newest first."""

    rehearsed: Sequence[Rehearsed] = field(default_factory=tuple)
    upgraded: Sequence[Upgraded] = field(default_factory=tuple)

    def as_facts(self) -> dict[str, Any]:
        """Return it as JSON will hold it."""
        return asdict(self)

    @classmethod
    def restored(cls, facts: Mapping[str, Any]) -> Known:
        """Return what `as_facts` gave."""
        return cls(
            tuple(Rehearsed(**one) for one in facts.get("rehearsed", ())),
            tuple(Upgraded(**one) for one in facts.get("upgraded", ())),
        )

    def failed(self, shortname: str, site: SiteVersions) -> str:
        """Return with what the newest rehearsal of the site failed, empty where it did not."""
        own = self._own(shortname, site)
        return own.failure if own else ""

    def estimate(self, shortname: str, site: SiteVersions, size: int) -> Estimate | None:
        """Return what the site's upgrade may take, None where nothing like it was ever done.

        A rehearsal of the site itself counts before one of a site of alike size with the same
        versions, and that before upgrades from the same version. What a smaller site took is
        stretched to this one's size; what a larger one took is not shortened: most of an upgrade
        does not depend on the size.
        """
        own = self._own(shortname, site)
        if own and not own.failure:
            return Estimate(BY_REHEARSAL, own.milliseconds, f"rehearsed {own.day}")
        if other := self._alike(site, size):
            stretched = round(other.milliseconds * max(1.0, size / max(1, other.size)))
            why = f"by the rehearsal of {other.shortname}, {other.day}"
            return Estimate(BY_ANOTHER, stretched, why)
        done = [one for one in self.upgraded if _is_same(one.source_version, site.version)]
        if done:
            own_ones = [one.milliseconds for one in done if one.shortname == shortname]
            all_ones = [one.milliseconds for one in done]
            taken = round(own_ones[0] if own_ones else median(all_ones))
            return Estimate(BY_UPGRADES, taken, f"by {len(done)} upgrade(s) from that version")
        return None

    def _own(self, shortname: str, site: SiteVersions) -> Rehearsed | None:
        return next((one for one in self._on_way(site) if one.shortname == shortname), None)

    def _alike(self, site: SiteVersions, size: int) -> Rehearsed | None:
        """Return the rehearsal of the site that is nearest in size, if that is near."""

        def distance(one: Rehearsed) -> float:
            small, large = sorted((max(1, one.size), max(1, size)))
            return large / small

        good = [one for one in self._on_way(site) if not one.failure]
        nearest = min(good, key=distance, default=None)
        return nearest if nearest and distance(nearest) <= _ALIKE else None

    def _on_way(self, site: SiteVersions) -> list[Rehearsed]:
        return [one for one in self.rehearsed if one.source_hash == site.versions_hash]


def _is_same(one: str, other: str) -> bool:
    return compare_versions(one, other) is CodeState.SAME


def look_up(path: Path) -> Known:
    """Return what the registry knows of the way to a tree, nothing where it cannot be read."""
    # The registry's models can be had only after an installation is opened.
    from vmoodle.registry import rehearsals, upgrades
    from vmoodle.registry.models import Site
    from vmoodle.registry.rehearsal_models import RehearsalState

    try:
        versions = all_versions_hash(MoodleTree.open(path))
    except VMoodleError:
        return Known()
    keys = dict(Site.objects.values_list("shortname", "session_key"))
    rehearsed = [
        Rehearsed(
            # What was of the name before is another site, whose time is as good as any other's.
            row.shortname
            if keys.get(row.shortname) == row.site_key
            else f"an earlier {row.shortname}",
            row.source_hash,
            row.database_bytes,
            row.upgrade_ms or 0,
            f"{row.created_at:%Y-%m-%d}",
            f"{row.error_message} [{row.error_code}]" if row.state == RehearsalState.FAILED else "",
        )
        for row in rehearsals.to(versions)
    ]
    upgraded = [
        Upgraded(row.shortname, row.source_version, row.upgrade_ms)
        for row in upgrades.taken(versions, _MOST_UPGRADES)
        if row.upgrade_ms is not None
    ]
    return Known(tuple(rehearsed), tuple(upgraded))
