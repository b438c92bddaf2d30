"""Which sites a call is about: shortnames, globs, labels, or all; chosen here and nowhere else."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from vmoodle.errors import InvalidInput, NotFound
from vmoodle.lifecycle import names
from vmoodle.registry import sites
from vmoodle.registry.models import Site, SiteState

_GLOB = re.compile(r"[*?\[]")


@dataclass(frozen=True)
class Selection:
    """What an administrator says of the sites meant.

    `patterns` are shortnames and globs, `labels` are key=value and narrow what the patterns say;
    alone they choose from all sites. `all_sites` is said alone.
    """

    patterns: Sequence[str] = ()
    labels: Sequence[str] = field(default_factory=list)
    all_sites: bool = False

    @property
    def names_one(self) -> bool:
        """Tell whether it is one site, named in full."""
        return (
            len(self.patterns) == 1
            and not (self.all_sites or self.labels)
            and not _is_glob(self.patterns[0])
        )


def choose(selection: Selection, states: Collection[SiteState] | None = None) -> list[Site]:
    """Return the sites meant, by shortname, each once.

    Of those that a glob, a label or all speaks of, only those in one of `states`; one that is
    named in full is meant whatever its state. Raise InvalidInput when nothing is said or too much,
    NotFound for a name that is no site's and for a selection that no site meets.
    """
    _refuse_unclear(selection)
    wanted = names.labels(list(selection.labels))
    chosen = sites.every()
    for key, value in wanted.items():
        chosen = chosen.filter(labels__key=key, labels__value=value)
    candidates = {site.shortname: site for site in chosen}
    found: dict[str, Site] = {}
    for pattern in selection.patterns or ["*"]:
        if not _is_glob(pattern):
            site = sites.find(pattern)
            if site.shortname in candidates:
                found[pattern] = site
            continue
        met = {
            name: site
            for name, site in candidates.items()
            if fnmatch.fnmatchcase(name, pattern) and (states is None or site.state in states)
        }
        if not met:
            raise _none(selection, pattern, states)
        found |= met
    if not found:
        raise _none(selection, ", ".join(selection.patterns), states)
    return [found[name] for name in sorted(found)]


def _refuse_unclear(selection: Selection) -> None:
    if selection.all_sites and (selection.patterns or selection.labels):
        raise InvalidInput(
            "target.all",
            "--all is every site; it goes with no name and no label.",
            "Say either --all, or names, globs and labels.",
        )
    if not (selection.all_sites or selection.patterns or selection.labels):
        raise InvalidInput(
            "target.nothing",
            "No site is named.",
            "Name sites, or a quoted glob as 'school*', or --label key=value, or --all.",
        )


def _none(selection: Selection, pattern: str, states: Collection[SiteState] | None) -> NotFound:
    said = [] if selection.all_sites or not selection.patterns else [pattern]
    said += [f"--label {label}" for label in selection.labels]
    which = f" that is {' or '.join(sorted(states))}" if states else ""
    return NotFound(
        "target.none",
        f"There is no site{which} for {' '.join(said) or '--all'}.",
        "`vmoodle site list` shows the sites and their states.",
    )


def _is_glob(pattern: str) -> bool:
    return bool(_GLOB.search(pattern))
