"""What an administrator says of the sites a call is about: names, globs, labels, or all.

Or an expression (`--on`), which says more; `expression.py` reads it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vmoodle.errors import Conflict, InvalidInput
from vmoodle.fleet.parameter_words import called
from vmoodle.lifecycle import names
from vmoodle.registry import targets
from vmoodle.registry.models import Site, SiteState

if TYPE_CHECKING:
    from vmoodle.fleet.targets.choice import Choice
    from vmoodle.installation import Installation


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
            f"{called('all')} is every site; it goes with no name and no label.",
            f"Say either {called('all')}, or names, globs and labels.",
        )
    if not (selection.all_sites or selection.patterns or selection.labels):
        raise InvalidInput(
            "target.nothing",
            "No site is named.",
            f"Name sites, or a quoted glob as 'school*', or {called('label')} key=value, or "
            f"{called('all')}.",
        )


def choose_expression(
    installation: Installation, text: str, states: Collection[str] | None = None
) -> Choice:
    """Return the sites that an expression (`--on`) means; value queries are asked of the sites.

    Raise as `target_choice.choose_on`.
    """
    from vmoodle.fleet.targets.choice import choose_on
    from vmoodle.fleet.targets.value_query import asker

    return choose_on(text, asker(installation), states)


def save_group(name: str, text: str, note: str = "") -> None:
    """Keep an expression as `@name`.

    Raise InvalidInput `target.group.name`, `target.expression`, NotFound `target.group.unknown`.
    """
    from vmoodle.fleet.targets.choice import check_group
    from vmoodle.fleet.targets.expression import GROUP_NAME
    from vmoodle.registry import target_groups

    if not GROUP_NAME.fullmatch(name):
        raise InvalidInput(
            "target.group.name",
            f"{name!r} cannot be the name of a group.",
            "1 to 40 of a-z, 0-9, - and _, beginning and ending with a letter or digit.",
        )
    check_group(name, text)
    target_groups.save(name, text, note)


def delete_group(name: str) -> None:
    """Forget a group; raise NotFound, and Conflict `target.group.used` when another needs it."""
    from vmoodle.fleet.targets.expression import Group, atoms, read_expression
    from vmoodle.registry import target_groups

    users = [
        f"@{other}"
        for other, text in target_groups.texts().items()
        if any(isinstance(one, Group) and one.name == name for one in atoms(read_expression(text)))
    ]
    target_groups.find(name)
    if users:
        raise Conflict(
            "target.group.used",
            f"The group @{name} is part of {', '.join(sorted(users))}.",
            "Change those first with `vmoodle target save`.",
        )
    target_groups.delete(name)
