"""One role on several sites: a matrix of capabilities and sites that says where they differ."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from vmoodle.errors import NotFound
from vmoodle.moodle.role_definitions import Allow, RoleDefinition, SiteRoles

Value = TypeVar("Value", bound=Hashable)


class CellState(StrEnum):
    """Say how a site's cell stands to what its row is compared with."""

    SAME = "same"
    PERMISSION = "permission differs"
    MISSING = "not set"
    CONTEXT_LEVEL = "context level differs"
    UNKNOWN = "unknown capability"
    NO_ROLE = "no such role"


@dataclass(frozen=True)
class Cell:
    """One capability of the role on one site; None is not set, or not there.

    A cell whose permission differs may differ in its context level too.
    """

    state: CellState
    permission: int | None = None
    context_level: int | None = None
    context_level_differs: bool = False


@dataclass(frozen=True)
class Row:
    """One capability on all sites, and what it is compared with: the majority's, or one site's."""

    capability: str
    component: str
    permission: int | None
    context_level: int | None
    cells: Mapping[str, Cell]

    @property
    def differs(self) -> bool:
        """Tell whether any site stands out."""
        return any(cell.state != CellState.SAME for cell in self.cells.values())


@dataclass(frozen=True)
class FactRow:
    """Name, description, archetype, context levels or an allow table of the role, as text."""

    fact: str
    majority: str
    values: Mapping[str, str | None]

    @property
    def differing(self) -> tuple[str, ...]:
        """Return the sites that have the role and another value."""
        return tuple(
            site for site, value in self.values.items() if value not in (None, self.majority)
        )


@dataclass(frozen=True)
class RoleComparison:
    """Compare a role over sites; `without` have no such role."""

    role: str
    sites: tuple[str, ...]
    without: tuple[str, ...]
    rows: tuple[Row, ...]
    facts: tuple[FactRow, ...]

    @property
    def differing(self) -> tuple[Row, ...]:
        """Return the rows in which a site stands out."""
        return tuple(row for row in self.rows if row.differs)


def compare_role(
    role: str, sites: Mapping[str, SiteRoles], *, against: str | None = None
) -> RoleComparison:
    """Return the matrix of every capability that any of the sites knows.

    A row is compared with what most of the sites have that know the capability and the role; of
    two that are as frequent, with the one of the first site. `against` names a site to compare
    with instead. Raise NotFound `role.unknown` when no site, or that one, has the role.
    """
    having = {site: roles for site, roles in sites.items() if role in roles.roles}
    if not having or (against is not None and against not in having):
        raise NotFound(
            "role.unknown",
            f"No site has a role {role!r}." if against is None else f"{against} has no {role!r}.",
            "Roles are named by their shortname.",
        )
    judges = having if against is None else {against: having[against]}
    known: dict[str, str] = {}
    for roles in sites.values():
        for name, capability in roles.capabilities.items():
            known.setdefault(name, capability.component)
    rows = [
        _row(role, name, component, sites, judges)
        for name, component in sorted(known.items(), key=lambda item: (item[1], item[0]))
    ]
    without = tuple(site for site in sites if site not in having)
    return RoleComparison(
        role, tuple(sites), without, tuple(rows), tuple(_facts(role, sites, judges))
    )


def _row(
    role: str,
    capability: str,
    component: str,
    sites: Mapping[str, SiteRoles],
    judges: Mapping[str, SiteRoles],
) -> Row:
    knowing = [roles for roles in judges.values() if capability in roles.capabilities]
    permission = _most(roles.roles[role].permissions.get(capability) for roles in knowing)
    level = _most(roles.capabilities[capability].context_level for roles in knowing)
    cells = {
        site: _cell(role, capability, roles, permission, level) for site, roles in sites.items()
    }
    return Row(capability, component, permission, level, cells)


def _cell(
    role: str, capability: str, site: SiteRoles, permission: int | None, level: int | None
) -> Cell:
    if role not in site.roles:
        return Cell(CellState.NO_ROLE)
    if capability not in site.capabilities:
        return Cell(CellState.UNKNOWN)
    own = site.roles[role].permissions.get(capability)
    own_level = site.capabilities[capability].context_level
    # Where only other sites than the judge know it, there is no level to differ from.
    level_differs = level is not None and own_level != level
    state = CellState.SAME
    if own != permission:
        state = CellState.MISSING if own is None else CellState.PERMISSION
    elif level_differs:
        state = CellState.CONTEXT_LEVEL
    return Cell(state, own, own_level, level_differs)


def _facts(
    role: str, sites: Mapping[str, SiteRoles], judges: Mapping[str, SiteRoles]
) -> Iterable[FactRow]:
    all_facts = {
        site: facts(roles.roles[role]) if role in roles.roles else None
        for site, roles in sites.items()
    }
    for fact in facts(RoleDefinition(role)):
        values = {site: found[fact] if found else None for site, found in all_facts.items()}
        yield FactRow(fact, _most(values[site] for site in judges) or "", values)


def facts(role: RoleDefinition) -> dict[str, str]:
    """Return what there is to a role besides its permissions, as text, in a fixed order."""
    return {
        "name": role.name,
        "description": role.description,
        "archetype": role.archetype,
        "context levels": ", ".join(str(level) for level in sorted(role.context_levels)),
        **{
            f"allow {allow}": ", ".join(sorted(role.allows.get(allow, frozenset())))
            for allow in Allow
        },
    }


def _most(values: Iterable[Value | None]) -> Value | None:
    # most_common() keeps the order of the first appearance among those that are as frequent.
    common = Counter(values).most_common(1)
    return common[0][0] if common else None
