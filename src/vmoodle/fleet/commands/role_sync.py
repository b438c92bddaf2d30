"""Make roles of many sites what they are on one site, or in a file."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from vmoodle.errors import InvalidInput
from vmoodle.fleet.changes.roles import RoleChange, ask_source, parts_named
from vmoodle.fleet.commands.roles import AllowTables
from vmoodle.fleet.copy_source import FromSite, PerhapsFromSite
from vmoodle.fleet.parameter_words import called
from vmoodle.fleet.parameters import Constant, LongText
from vmoodle.moodle.roles.definitions import SiteRoles, named, read_roles
from vmoodle.moodle.roles.documents import from_yaml
from vmoodle.moodle.roles.plan import ALL_PARTS, RolePlan
from vmoodle.moodle.roles.sync import RoleSource, plan_all_allows, plan_roles

if TYPE_CHECKING:
    from vmoodle.installation import Installation


class RolesToSync(PerhapsFromSite):
    """Which roles, of which site or file, and what of them."""

    role: list[str] = Field(
        default_factory=list, description="Roles by shortname; * and ? too. Of a file all."
    )
    document: Annotated[str, LongText()] = Field(
        default="", description="Definitions in YAML, in place of a site."
    )
    part: list[
        Literal[
            "name", "description", "archetype", "context-level", "permission", "allow-assign",
            "allow-override", "allow-switch", "allow-view",
        ]
    ] = Field(default_factory=list, description="Only these parts of a role.")  # fmt: skip
    keep: bool = Field(default=False, description="Remove nothing that a site has beyond it.")
    create: bool = Field(default=True, description="Make a role that a site has not.")
    settled: Annotated[dict[str, Any], Constant(dict)] = Field(default_factory=dict)
    """What the source said when this was ordered."""


class SyncRoles(RoleChange[RolesToSync]):
    """Make roles the same as those of a source."""

    name = "role.sync"
    title = "Make roles what they are on one site or in a file; overrides in courses stay."
    model = RolesToSync

    @classmethod
    def settle(cls, given: RolesToSync, installation: Installation) -> RolesToSync:
        """Return the parameters with the definitions of the source."""
        if bool(given.source) == bool(given.document):
            raise InvalidInput(
                "role.source",
                "Say what the roles are to be: those of one site, or those of one file.",
                f"{called('source')} SITE, or {called('document')} FILE",
            )
        settled = (
            _of_documents(given) if given.document else _of_site(given, installation)
        ).as_data()
        return given.model_copy(update={"settled": settled})

    def plans(self, site: SiteRoles) -> Iterable[RolePlan]:
        """Return what makes the site's roles the source's."""
        return plan_roles(
            RoleSource.from_data(self.given.settled),
            site,
            parts=frozenset(parts_named(self.given.part)) or ALL_PARTS,
            remove=not self.given.keep,
            create=self.given.create,
        )


class AllowsToSync(FromSite, AllowTables):
    """Which pairs of roles, of which site."""

    role: list[str] = Field(
        default_factory=list, description="Only pairs with one of these roles; all without."
    )
    settled: Annotated[dict[str, Any], Constant(dict)] = Field(default_factory=dict)
    """What the source said when this was ordered."""


class SyncAllows(RoleChange[AllowsToSync]):
    """Make the allow tables the same as those of a source."""

    name = "role.sync-allows"
    title = "Make which roles may assign, override, switch to and see which what it is on one site."
    model = AllowsToSync

    @classmethod
    def settle(cls, given: AllowsToSync, installation: Installation) -> AllowsToSync:
        """Return the parameters with the tables of the source."""
        site = ask_source(installation, given.source, read_roles)
        roles = named(given.role, site.shortnames, site.called)
        settled = RoleSource.of_site(site, []).as_data()
        return given.model_copy(update={"role": roles, "settled": settled})

    def plans(self, site: SiteRoles) -> Iterable[RolePlan]:
        """Return what makes the site's pairs the source's."""
        source = RoleSource.from_data(self.given.settled)
        return plan_all_allows(source, site, self.given.allows, self.given.role)


def _of_site(given: RolesToSync, installation: Installation) -> RoleSource:
    if not given.role:
        raise InvalidInput(
            "role.which", "No role is named.", "Name roles by their shortname; '*' is all."
        )
    site = ask_source(installation, given.source, read_roles)
    return RoleSource.of_site(site, named(given.role, site.shortnames, site.called))


def _of_documents(given: RolesToSync) -> RoleSource:
    found = {definition.shortname: (definition, parts) for definition, parts in
             from_yaml(given.document)}  # fmt: skip
    wanted = named(given.role or ["*"], list(found), "the file")
    return RoleSource(
        tuple(found[name][0] for name in wanted), {name: found[name][1] for name in wanted}
    )
