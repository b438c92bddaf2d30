"""Roles over many sites: which there are, and where one differs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from vmoodle.errors import NotFound
from vmoodle.fleet.changes.roles import ask_source
from vmoodle.fleet.command import Command, Comparison, Effect
from vmoodle.fleet.parameters import Constant, Parameters, Search
from vmoodle.fleet.result import Compared, Matrix, Result, Table
from vmoodle.fleet.target_site import TargetSite
from vmoodle.moodle.roles.allows import allows_column
from vmoodle.moodle.roles.comparison import (
    NO_ROLE,
    ROLE,
    Row,
    column_of,
    compare_columns,
    is_capability,
)
from vmoodle.moodle.roles.definitions import Allow, SiteRoles, read_role_list, read_roles

if TYPE_CHECKING:
    from vmoodle.installation import Installation


def roles_offered(site: TargetSite) -> list[str]:
    """Return the shortnames of a site's roles."""
    with site.connect() as connection:
        return [one.shortname for one in read_role_list(connection)]


class ListRoles(Command[Parameters]):
    """Tell the roles of each site."""

    name = "role.list"
    title = "Tell the roles of sites, with their archetypes and how often they are assigned."
    effect = Effect.READS
    comparison = Comparison.MERGED

    def run(self, site: TargetSite) -> Result:
        """Return the roles in the site's own order."""
        with site.connect() as connection:
            found = read_role_list(connection)
        return Table(
            ("role", "name", "archetype", "assignments"),
            tuple((one.shortname, one.name, one.archetype, one.assignments) for one in found),
        )


class RoleMatrix(Command[Parameters]):
    """Put the roles of many sites side by side."""

    name = "role.matrix"
    title = "Compare which roles sites have, and of which archetype."
    effect = Effect.READS
    comparison = Comparison.MATRIX

    def run(self, site: TargetSite) -> Result:
        """Return each role's archetype."""
        with site.connect() as connection:
            found = read_role_list(connection)
        return Matrix({one.shortname: one.archetype or "no archetype" for one in found})

    @classmethod
    def compare(cls, given: Parameters, answers: Iterable[tuple[str, Result]]) -> list[Compared]:
        """Return a row for each role, also for those that all sites have."""
        from dataclasses import replace

        return [replace(row, shown=True) for row in super().compare(given, answers)]


class OneRole(Parameters):
    """A role, and what of it is looked at."""

    role: Annotated[str, Search(roles_offered)] = Field(description="The role's shortname.")
    component: str = Field(
        default="", description="Only capabilities of this component, as mod_quiz."
    )
    against: str = Field(
        default="", description="The site to compare with, in place of what most have."
    )
    all: bool = Field(default=False, description="Show what is the same on all of them too.")
    standard: Annotated[dict[str, str], Constant(dict)] = Field(default_factory=dict)
    """What the site to compare with has."""


class CompareRole(Command[OneRole]):
    """Put one role of many sites side by side."""

    name = "role.compare"
    title = "Compare a role over sites: its facts, and what it may by capability."
    effect = Effect.READS
    model = OneRole
    comparison = Comparison.MATRIX

    @classmethod
    def settle(cls, given: OneRole, installation: Installation) -> OneRole:
        """Return the parameters with what the site to compare with has."""
        if not given.against:
            return given
        source = ask_source(installation, given.against, lambda c: read_roles(c, [given.role]))
        source.role(given.role)
        standard = column_of(given.role, source, given.component)
        return given.model_copy(update={"standard": standard})

    def run(self, site: TargetSite) -> Result:
        """Return what the site has of the role, `allow (course)` by capability."""
        with site.connect() as connection:
            found = read_roles(connection, [self.given.role])
        return Matrix(column_of(self.given.role, found, self.given.component))

    @classmethod
    def compare(cls, given: OneRole, answers: Iterable[tuple[str, Result]]) -> list[Compared]:
        """Return the rows, facts first; raise NotFound for what no site knows."""
        columns = _columns(answers)
        standard = given.standard or None
        having = [*columns.values(), *([standard] if standard else [])]
        if columns and all(column.get(ROLE) == NO_ROLE for column in having):
            raise NotFound(
                "role.unknown",
                f"None of the sites has a role {given.role!r}.",
                "Roles are named by their shortname: vmoodle role list --on '*'",
            )
        if columns and given.component and not any(map(is_capability, _names(having))):
            raise unknown_component(given.component)
        return [
            _compared(row, given.against, shown=given.all)
            for row in compare_columns(columns, standard)
        ]


class AllowTables(Parameters):
    """Which of the tables of who may do what with other roles."""

    table: list[Literal["assign", "override", "switch", "view"]] = Field(
        default_factory=list, description="Only these: assign, override, switch, view."
    )

    @property
    def allows(self) -> tuple[Allow, ...]:
        """The tables that are meant."""
        return tuple(Allow(name) for name in self.table) or tuple(Allow)


class ComparedAllows(AllowTables):
    """Which of the tables, and what of them is shown."""

    all: bool = Field(default=False, description="Show what is the same on all of them too.")
    against: str = Field(
        default="", description="The site to compare with, in place of what most have."
    )
    standard: Annotated[dict[str, str], Constant(dict)] = Field(default_factory=dict)
    """What the site to compare with has."""


class CompareAllows(Command[ComparedAllows]):
    """Put the allow tables of many sites side by side."""

    name = "role.compare-allows"
    title = "Compare which roles may assign, override, switch to and see which."
    effect = Effect.READS
    model = ComparedAllows
    comparison = Comparison.MATRIX

    @classmethod
    def settle(cls, given: ComparedAllows, installation: Installation) -> ComparedAllows:
        """Return the parameters with what the site to compare with has."""
        if not given.against:
            return given
        source: SiteRoles = ask_source(installation, given.against, read_roles)
        return given.model_copy(update={"standard": allows_column(source, given.allows)})

    def run(self, site: TargetSite) -> Result:
        """Return yes or no for each pair of the site's roles."""
        with site.connect() as connection:
            found = read_roles(connection)
        return Matrix(allows_column(found, self.given.allows))

    @classmethod
    def compare(
        cls, given: ComparedAllows, answers: Iterable[tuple[str, Result]]
    ) -> list[Compared]:
        """Return the rows; a site that has not both roles does not stand out."""
        return [
            _compared(row, given.against, shown=given.all)
            for row in compare_columns(_columns(answers), given.standard or None)
        ]


def unknown_component(component: str) -> NotFound:
    """Return the error for a component of which no capability is known."""
    return NotFound(
        "role.component",
        f"No capability of a component {component!r} is known.",
        "A component is named as mod_quiz; Moodle's own is moodle.",
    )


def _columns(answers: Iterable[tuple[str, Result]]) -> dict[str, dict[str, str]]:
    return {
        site: {name: str(value) for name, value in result.cells.items()}
        for site, result in answers
        if isinstance(result, Matrix)
    }


def _names(columns: Iterable[dict[str, str]]) -> set[str]:
    return {name for column in columns for name in column}


def _compared(row: Row, against: str, *, shown: bool) -> Compared:
    return Compared(
        row.name,
        row.values,
        row.standard,
        tuple(sorted(row.states.keys() - row.values.keys())),
        states={site: str(row.states[site]) for site in row.differing},
        against=against,
        shown=shown,
        is_split=row.is_split,
    )
