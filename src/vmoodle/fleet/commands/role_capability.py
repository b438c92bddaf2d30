"""Single capabilities of roles on many sites: set, removed, or put back to what a source has."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from vmoodle.errors import InvalidInput, NotFound, VMoodleError
from vmoodle.fleet.changes.roles import (
    RoleChange,
    ask_source,
    did_you_mean,
    refuse_unknown,
    skipped,
)
from vmoodle.fleet.commands.roles import unknown_component
from vmoodle.fleet.copy_source import FromSite, PerhapsFromSite
from vmoodle.fleet.parameter_words import called
from vmoodle.fleet.parameters import Constant
from vmoodle.fleet.result import Result
from vmoodle.moodle.roles.definitions import Permission, SiteRoles, named, read_roles
from vmoodle.moodle.roles.plan import (
    Part,
    RolePlan,
    capabilities_of,
    near_capability,
    plan_permissions,
)
from vmoodle.moodle.roles.sync import RoleSource, plan_roles

if TYPE_CHECKING:
    from vmoodle.installation import Installation

_CAPABILITY = re.compile(r"[a-z][a-z0-9_]*/[a-z0-9_]+:[a-z0-9_]+")


class OneCapability(PerhapsFromSite):
    """Roles, a capability, and what it is to be."""

    role: list[str] = Field(description="Roles by shortname; * and ? too.")
    capability: str = Field(description="The capability, as mod/quiz:view.")
    permission: Literal["", "allow", "prevent", "prohibit", "inherit"] = Field(
        default="", description="What the roles are to have; inherit removes it."
    )
    settled: Annotated[dict[str, Any], Constant(dict)] = Field(default_factory=dict)
    """What the source said when this was ordered."""

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        refuse_no_capability(self.capability)
        for role in self.role:
            _refuse_no_role(role)
        if bool(self.permission) == bool(self.source):
            raise InvalidInput(
                "role.source",
                "Say what the capability is to be: one permission, or that of one site.",
                f"Give {called('permission')}, or {called('source')} SITE.",
            )
        return self


class SetCapability(RoleChange[OneCapability]):
    """Set or remove one capability of roles."""

    name = "role.capability"
    title = "Set or remove one capability of roles, or make it what it is on one site."
    model = OneCapability

    @classmethod
    def settle(cls, given: OneCapability, installation: Installation) -> OneCapability:
        """Return the parameters with the permissions of the source."""
        if not given.source:
            return given
        site = ask_source(installation, given.source, read_roles)
        known = known_capability(given.capability, site)
        roles = named(given.role, site.shortnames, site.called)
        settled = permissions_of(site, roles, {known}).as_data()
        return given.model_copy(update={"settled": settled})

    @classmethod
    def judge(
        cls, given: OneCapability, answers: Mapping[str, Result], failures: Collection[VMoodleError]
    ) -> None:
        """Raise NotFound for a role, or the capability, that none of the sites knows."""
        if not given.source:
            refuse_unknown(given.role, answers, failures)
            _refuse_unknown_capability(given, answers)

    def plans(self, site: SiteRoles) -> Iterable[RolePlan]:
        """Return what gives the roles the permission."""
        if self.given.source:
            return plan_source(self.given.settled, site)
        word = self.given.permission
        permission = None if word == "inherit" else Permission[word.upper()]
        return plan_permissions(self.given.role, self.given.capability, permission, site)


class CapabilitiesToSync(FromSite):
    """A capability or a component, of which site, and for which roles."""

    capability: str = Field(default="", description="One capability, as mod/quiz:view.")
    component: str = Field(default="", description="All of a component, as mod_quiz.")
    role: list[str] = Field(
        default_factory=list, description="Only these roles; all of the source without."
    )
    settled: Annotated[dict[str, Any], Constant(dict)] = Field(default_factory=dict)
    """What the source said when this was ordered."""

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if bool(self.capability) == bool(self.component):
            raise InvalidInput(
                "role.source",
                "Say which permissions: of one capability, or of one component.",
                f"{called('capability')} mod/quiz:view, or {called('component')} mod_quiz",
            )
        if self.capability:
            refuse_no_capability(self.capability)
        return self


class ResyncCapabilities(RoleChange[CapabilitiesToSync]):
    """Make one capability, or a component's, of all roles the same as on a source."""

    name = "role.resync"
    title = "Make a capability, or all of a component, of all roles what it is on one site."
    model = CapabilitiesToSync

    @classmethod
    def settle(cls, given: CapabilitiesToSync, installation: Installation) -> CapabilitiesToSync:
        """Return the parameters with the permissions of the source."""
        site = ask_source(installation, given.source, read_roles)
        if given.capability:
            capabilities = frozenset({known_capability(given.capability, site)})
        else:
            capabilities = capabilities_of(given.component, site)
            if not capabilities:
                raise unknown_component(given.component)
        roles = named(given.role or ["*"], site.shortnames, site.called)
        settled = permissions_of(site, roles, capabilities).as_data()
        return given.model_copy(update={"settled": settled})

    def plans(self, site: SiteRoles) -> Iterable[RolePlan]:
        """Return what makes the permissions the source's."""
        return plan_source(self.given.settled, site)


def permissions_of(
    site: SiteRoles, roles: Iterable[str], capabilities: Collection[str]
) -> RoleSource:
    """Return as a source only what roles say about these capabilities."""
    return RoleSource.of_site(site, roles).only(frozenset(capabilities))


def plan_source(settled: dict[str, Any], site: SiteRoles) -> list[RolePlan]:
    """Return what makes a site's permissions those of a source that has no other."""
    source = RoleSource.from_data(settled)
    return plan_roles(source, site, parts=[Part.PERMISSION], create=False)


def _refuse_unknown_capability(given: OneCapability, answers: Mapping[str, Result]) -> None:
    """Raise NotFound `role.capability` where no site with one of the roles knows it."""
    hints = []
    for answer in answers.values():
        reasons = skipped(answer)
        of_capability = [reason for part, _role, reason in reasons if part == Part.PERMISSION]
        roles_lacking = {role for part, role, _reason in reasons if part == Part.ROLE}
        if of_capability:
            hints.append(of_capability[0])
        elif roles_lacking != set(given.role):
            return
    if hints:
        raise NotFound(
            "role.capability",
            f"None of the sites knows the capability {given.capability!r}.",
            did_you_mean(hints) or "A capability is named as mod/quiz:view.",
        )


def known_capability(capability: str, site: SiteRoles) -> str:
    """Return the capability; raise NotFound `role.capability` where the source knows it not."""
    if capability in site.capabilities:
        return capability
    raise NotFound(
        "role.capability",
        f"{site.called.capitalize()} does not know the capability {capability!r}.",
        near_capability(capability, site, "A capability is named as mod/quiz:view."),
    )


def _refuse_no_role(text: str) -> None:
    """Raise InvalidInput `role.name` for a capability where a role is to be."""
    if "/" in text or ":" in text:
        raise InvalidInput(
            "role.name",
            f"{text!r} is no shortname of a role.",
            "One capability is set at a time: name it last, after the roles.",
        )


def refuse_no_capability(text: str) -> None:
    """Raise InvalidInput `role.capability.name` for what no capability is called."""
    if not _CAPABILITY.fullmatch(text):
        raise InvalidInput(
            "role.capability.name",
            f"{text!r} is no name of a capability.",
            "A capability is named as mod/quiz:view.",
        )
