"""One role on several sites: what each has of it, as words by name, and where they differ."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from vmoodle.majority import majority_of
from vmoodle.moodle.roles.definitions import (
    NOT_SET,
    Allow,
    ContextLevel,
    RoleDefinition,
    SiteRoles,
    permission_word,
    word,
)

ROLE, THERE, NO_ROLE = "role", "there", "no such role"


class CellState(StrEnum):
    """Say how a site's cell stands to what its row is compared with."""

    SAME = "same"
    PERMISSION = "permission differs"
    MISSING = "not set"
    CONTEXT_LEVEL = "context level differs"
    UNKNOWN = "unknown capability"
    NO_ROLE = "no such role"
    FACT = "differs"
    SPLIT = "no majority"


@dataclass(frozen=True)
class Row:
    """One name on all sites: what it is compared with, what each site has, and how that stands.

    Nothing to compare with (`standard` is None) is a name that only others than the judge know, or
    one of which no value is the majority's (`is_split`): then all that know it stand out.
    """

    name: str
    standard: str | None
    values: Mapping[str, str]
    states: Mapping[str, CellState]
    is_split: bool = False

    @property
    def differing(self) -> tuple[str, ...]:
        """Return the sites that stand out; that one has not the role is told by one row alone."""
        silent = (CellState.SAME,) if self.name == ROLE else (CellState.SAME, CellState.NO_ROLE)
        return tuple(site for site, state in self.states.items() if state not in silent)


def column_of(role: str, site: SiteRoles, component: str = "") -> dict[str, str]:
    """Return what a site has of a role: facts by their name, `allow (course)` by capability.

    Every capability that the site knows is there; of one component only where one is named, and
    no facts then.
    """
    if role not in site.roles:
        return {ROLE: NO_ROLE}
    own = site.roles[role]
    return {
        ROLE: THERE,
        **({} if component else facts(own, site.shortnames)),
        **{
            one.name: f"{permission_word(own.permissions.get(one.name))}"
            f" ({word(ContextLevel, one.context_level)})"
            for one in site.capabilities.values()
            if component in ("", one.component)
        },
    }


def facts(role: RoleDefinition, others: Iterable[str]) -> dict[str, str]:
    """Return what there is to a role besides its permissions, as words; `others` are all roles."""
    levels = (word(ContextLevel, level) for level in sorted(role.context_levels))
    pairs = [(allow, other) for allow in Allow for other in others]
    return {
        "name": role.name,
        "description": role.description,
        "archetype": role.archetype,
        "context levels": ", ".join(levels),
        **{
            f"allow {allow} {other}": yes_no(other in role.allows.get(allow, ()))
            for allow, other in pairs
        },
    }


def compare_columns(
    columns: Mapping[str, Mapping[str, str]], standard: Mapping[str, str] | None = None
) -> list[Row]:
    """Return a row for each name that any site has, facts first, then by component.

    Last come those in which nothing stands out but that sites do not know the capability: sites of
    several versions of Moodle have many.

    A row is compared with what more than half of the sites have that know the name. `standard` is a
    column to compare with instead.
    """
    names = {name for column in (*columns.values(), standard or {}) for name in column}
    rows = [
        _row(name, columns, standard)
        for name in sorted(names, key=lambda name: (is_capability(name), name != ROLE, name))
    ]
    return sorted(rows, key=_only_unknown)


def is_capability(name: str) -> bool:
    """Tell whether a column's name is a capability, and not a fact."""
    return "/" in name and " " not in name


def yes_no(value: object) -> str:
    """Return the word for a truth."""
    return "yes" if value else "no"


def _only_unknown(row: Row) -> bool:
    found = set(row.states.values()) - {CellState.SAME, CellState.NO_ROLE}
    return found == {CellState.UNKNOWN}


def _row(
    name: str, columns: Mapping[str, Mapping[str, str]], standard: Mapping[str, str] | None
) -> Row:
    values = {site: column[name] for site, column in columns.items() if name in column}
    wanted = majority_of(values.values()) if standard is None else standard.get(name)
    if standard is None and wanted is None:
        return Row(name, None, values, _split(name, columns), is_split=True)
    # Nearly all are the same, which is told at once.
    states = {
        site: CellState.SAME if values.get(site) == wanted else _state(name, column, wanted)
        for site, column in columns.items()
    }
    return Row(name, wanted, values, states)


def _split(name: str, columns: Mapping[str, Mapping[str, str]]) -> dict[str, CellState]:
    """Say how the cells of a row stand of which none is the majority's."""
    return {
        site: CellState.SPLIT
        if name in column and column.get(ROLE) != NO_ROLE
        else _state(name, column, None)
        for site, column in columns.items()
    }


def _state(name: str, column: Mapping[str, str], wanted: str | None) -> CellState:
    """Say how a cell stands that is not the one wanted."""
    found = column.get(name)
    if column.get(ROLE) == NO_ROLE:
        return CellState.NO_ROLE
    if not is_capability(name):
        # A pair with a role that the site, or the one it is compared with, has not.
        return CellState.SAME if None in (found, wanted) else CellState.FACT
    if found is None:
        return CellState.UNKNOWN
    permission, _, level = found.rpartition(" ")
    # Where only other sites than the judge know it, it is not set there and has no level.
    permission_wanted, _, level_wanted = (wanted or f"{NOT_SET} {level}").rpartition(" ")
    if permission != permission_wanted:
        return CellState.MISSING if permission == NOT_SET else CellState.PERMISSION
    return CellState.SAME if level == level_wanted else CellState.CONTEXT_LEVEL
