"""Which sites are meant by shortnames, globs and labels; chosen here and nowhere else."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from vmoodle.errors import NotFound
from vmoodle.registry import sites
from vmoodle.registry.models import Site, SiteLabel, SiteState

_GLOB = re.compile(r"[*?\[]")


@dataclass(frozen=True, slots=True)
class SiteFacts:
    """What a selection may go by, of one site."""

    id: int
    shortname: str
    name: str
    wwwroot: str
    state: str
    codebase: str
    version: str
    release: str
    server: str


def facts() -> list[SiteFacts]:
    """Return what selections go by, of every site, by shortname."""
    rows = Site.objects.order_by("shortname").values_list(
        "id", "shortname", "name", "wwwroot", "state",
        "codebase__name", "codebase__version", "codebase__release", "server__name",
    )  # fmt: skip
    return [SiteFacts(*row) for row in rows]


def labels() -> dict[int, dict[str, str]]:
    """Return the labels of every site that has any, by the site's id."""
    found: dict[int, dict[str, str]] = {}
    for site_id, key, value in SiteLabel.objects.values_list("site_id", "key", "value"):
        found.setdefault(site_id, {})[key] = value
    return found


def is_glob(pattern: str) -> bool:
    """Tell whether a pattern is a glob, not a shortname."""
    return bool(_GLOB.search(pattern))


def choose(
    patterns: Sequence[str],
    labels: Mapping[str, str],
    states: Collection[SiteState] | None = None,
) -> list[Site]:
    """Return the sites meant, by shortname, each once. No pattern stands for any site.

    Of those that a glob or a label speaks of, only those in one of `states`; one that is named in
    full is meant whatever its state. Raise NotFound for a name that is no site's and for a pattern,
    or a selection, that no site meets.
    """
    found, unmet = choose_each(patterns, labels, states)
    for error in unmet.values():
        raise error
    return found


def choose_each(
    patterns: Sequence[str],
    labels: Mapping[str, str],
    states: Collection[SiteState] | None = None,
) -> tuple[list[Site], dict[str, NotFound]]:
    """Return the sites meant as `choose` does, and by pattern why it means none.

    Where the patterns have sites but the labels leave none of them, the pattern is empty.
    """
    chosen = sites.every()
    for key, value in labels.items():
        chosen = chosen.filter(labels__key=key, labels__value=value)
    candidates = {site.shortname: site for site in chosen}
    found: dict[str, Site] = {}
    unmet: dict[str, NotFound] = {}
    for pattern in patterns or ["*"]:
        if not is_glob(pattern):
            try:
                site = sites.find(pattern)
            except NotFound as error:
                unmet[pattern] = error
            else:
                found |= {pattern: site} if pattern in candidates else {}
            continue
        met = {
            name: site
            for name, site in candidates.items()
            if fnmatch.fnmatchcase(name, pattern) and (states is None or site.state in states)
        }
        if not met:
            unmet[pattern if patterns else ""] = _none(
                [pattern] if patterns else [], labels, states
            )
        found |= met
    if not (found or unmet):
        unmet[""] = _none(patterns, labels, states)
    return [found[name] for name in sorted(found)], unmet


def _none(
    patterns: Sequence[str], labels: Mapping[str, str], states: Collection[SiteState] | None
) -> NotFound:
    said = [", ".join(patterns)] if patterns else []
    said += [f"--label {key}={value}" for key, value in labels.items()]
    which = f" that is {' or '.join(sorted(states))}" if states else ""
    return NotFound(
        "target.none",
        f"There is no site{which} for {' '.join(said) or '--all'}.",
        "`vmoodle site list` shows the sites and their states.",
    )
