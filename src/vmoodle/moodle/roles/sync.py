"""Roles from one source, a site or documents, and what makes a site's roles the same.

A source is data: what it said when a sync was ordered is what every site gets.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from vmoodle.moodle.roles.allows import plan_allows
from vmoodle.moodle.roles.definitions import Allow, RoleDefinition, SiteRoles
from vmoodle.moodle.roles.documents import as_document, from_document
from vmoodle.moodle.roles.plan import (
    ALL_PARTS,
    NO_ROLE,
    CellChange,
    Part,
    RolePlan,
    Skipped,
    plan_role,
)


@dataclass(frozen=True)
class RoleSource:
    """Say what roles are to be, and of a source site which capabilities and roles it knows.

    What a source site does not know is left as it is on other sites. `allows` are the allow tables
    of all roles of the source site: who may assign a role that is made, and so on.
    """

    definitions: tuple[RoleDefinition, ...]
    parts: Mapping[str, frozenset[Part]] = field(default_factory=dict)
    """What each definition speaks of, by shortname; all where nothing is said."""
    capabilities: frozenset[str] | None = None
    allows: Mapping[str, Mapping[Allow, frozenset[str]]] = field(default_factory=dict)

    @classmethod
    def of_site(cls, site: SiteRoles, shortnames: Iterable[str]) -> RoleSource:
        """Return roles of a site that was read with all its roles; raise NotFound."""
        return cls(
            tuple(site.role(name) for name in shortnames),
            capabilities=frozenset(site.capabilities),
            allows={role.shortname: role.allows for role in site.roles.values()},
        )

    def only(self, capabilities: frozenset[str]) -> RoleSource:
        """Return of the source nothing but what its roles say about these capabilities."""
        return RoleSource(
            tuple(
                RoleDefinition(
                    one.shortname,
                    permissions={
                        name: value
                        for name, value in one.permissions.items()
                        if name in capabilities
                    },
                )
                for one in self.definitions
            ),
            capabilities=capabilities,
        )

    def as_data(self) -> dict[str, Any]:
        """Return the source as JSON can hold it."""
        return {
            "definitions": [as_document(one) for one in self.definitions],
            "parts": {name: sorted(parts) for name, parts in self.parts.items()},
            "capabilities": None if self.capabilities is None else sorted(self.capabilities),
            "allows": {
                role: {str(allow): sorted(others) for allow, others in allows.items()}
                for role, allows in self.allows.items()
            },
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> RoleSource:
        """Return the source that `as_data` gave."""
        capabilities = data["capabilities"]
        return cls(
            tuple(from_document(one)[0] for one in data["definitions"]),
            {name: frozenset(map(Part, parts)) for name, parts in data["parts"].items()},
            None if capabilities is None else frozenset(capabilities),
            {
                role: {Allow(allow): frozenset(others) for allow, others in allows.items()}
                for role, allows in data["allows"].items()
            },
        )

    def as_site(self) -> SiteRoles:
        """Return the allow tables of the source as those of a site."""
        roles = {name: RoleDefinition(name, allows=own) for name, own in self.allows.items()}
        return SiteRoles(roles, {}, tuple(roles))


def plan_roles(
    source: RoleSource,
    site: SiteRoles,
    *,
    parts: Collection[Part] = ALL_PARTS,
    only: Collection[str] | None = None,
    remove: bool = True,
    create: bool = True,
) -> list[RolePlan]:
    """Return what makes a site's roles the source's, in the order in which it is to be applied.

    The site was read with all its roles. As `plan.plan_role`, of which this is one for each
    role; roles may name others that are made with them, and of a role that is made the site's other
    roles get what the source's may do with it. `only` are the capabilities that are looked at.
    """
    names = [one.shortname for one in source.definitions]
    made = [name for name in names if name not in site.roles] if create else []
    grown = replace(site, shortnames=(*site.shortnames, *made))
    looked_at = source.capabilities if only is None else only
    plans = []
    for definition in source.definitions:
        if definition.shortname not in site.roles and not create:
            plans.append(RolePlan(definition.shortname, (), (Skipped(Part.ROLE, "", NO_ROLE),)))
            continue
        plans.append(
            plan_role(
                definition,
                grown,
                parts=source.parts.get(definition.shortname, ALL_PARTS) & frozenset(parts),
                remove=remove,
                roles_known=frozenset(source.allows) if source.allows else None,
                only=looked_at,
            )
        )
    plans += _towards(source, site, made, frozenset(parts))
    return list(_in_order(plans))


def plan_all_allows(
    source: RoleSource, site: SiteRoles, allows: Iterable[Allow], touching: Collection[str]
) -> list[RolePlan]:
    """Return what makes the allow tables the source's, of pairs with these roles or of all."""
    return plan_allows(source.as_site(), site, allows=allows, touching=touching or None)


def _towards(
    source: RoleSource, site: SiteRoles, made: Collection[str], parts: frozenset[Part]
) -> Iterator[RolePlan]:
    """Give what the site's other roles may do with roles that are made."""
    defined = {one.shortname for one in source.definitions}
    for role, allows in source.allows.items():
        if role in site.roles and role not in defined:
            changes = tuple(
                CellChange(Part(f"allow {allow}"), other, False, True)
                for allow, others in allows.items()
                for other in sorted(others & set(made))
                if Part(f"allow {allow}") in parts
            )
            if changes:
                yield RolePlan(role, changes)


def _in_order(plans: Iterable[RolePlan]) -> Iterator[RolePlan]:
    """Give first what needs no other role, then what roles may do with each other."""
    later = []
    for plan in plans:
        pairs = tuple(change for change in plan.changes if change.part.allow)
        rest = tuple(change for change in plan.changes if not change.part.allow)
        if rest or plan.skipped:
            yield RolePlan(plan.role, rest, plan.skipped)
        if pairs:
            later.append(RolePlan(plan.role, pairs))
    yield from later
