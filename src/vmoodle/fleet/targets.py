"""What an administrator says of the sites a call is about: names, globs, labels, or all."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from vmoodle.errors import InvalidInput
from vmoodle.lifecycle import names
from vmoodle.registry import targets
from vmoodle.registry.models import Site, SiteState


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
            and not targets.is_glob(self.patterns[0])
        )


def choose(selection: Selection, states: Collection[SiteState] | None = None) -> list[Site]:
    """Return the sites meant, as `registry/targets.py` chooses them.

    Raise InvalidInput when nothing is said or too much, NotFound for a name that is no site's and
    for a selection that no site meets.
    """
    _refuse_unclear(selection)
    labels = names.labels(list(selection.labels))
    return targets.choose(selection.patterns, labels, states)


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
