"""What a sync would change of a role on one site: a list of cells, each with its old and new value.

A plan is data: shown, stored as JSON, applied (`changes.py`), and reversed into its own undo.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Any

from vmoodle.errors import InvalidInput
from vmoodle.moodle.roles.definitions import (
    ARCHETYPES,
    Allow,
    ContextLevel,
    Permission,
    RoleDefinition,
    SiteRoles,
    permission_word,
    unknown_role,
    word,
)
from vmoodle.near import near

CellValue = str | int | bool | None


class Part(StrEnum):
    """Name the kind of a cell; its `key` is a context level, a capability, or another role."""

    ROLE = "role"
    NAME = "name"
    DESCRIPTION = "description"
    ARCHETYPE = "archetype"
    CONTEXT_LEVEL = "context level"
    PERMISSION = "permission"
    ALLOW_ASSIGN = "allow assign"
    ALLOW_OVERRIDE = "allow override"
    ALLOW_SWITCH = "allow switch"
    ALLOW_VIEW = "allow view"

    @property
    def allow(self) -> Allow | None:
        """Return the allow table that the part is about, None for another part."""
        return Allow(self.split()[1]) if self.startswith("allow ") else None


ALL_PARTS = frozenset(Part)
FIELDS = (Part.NAME, Part.DESCRIPTION, Part.ARCHETYPE)
_ALLOW_PARTS = tuple(part for part in Part if part.allow)


@dataclass(frozen=True)
class CellChange:
    """One cell: its value before and after. None (or False) is no row."""

    part: Part
    key: str
    old: CellValue
    new: CellValue

    def reversed(self) -> CellChange:
        """Return the change back."""
        return replace(self, old=self.new, new=self.old)

    @property
    def words(self) -> tuple[str, str, str]:
        """Return the key and both values as a person says them; that of the role itself is none."""
        return key_words(self.part, self.key), self._word(self.old), self._word(self.new)

    def _word(self, value: CellValue) -> str:
        if self.part in FIELDS:
            return str(value or "")
        if self.part == Part.PERMISSION:
            return permission_word(value)
        if self.part == Part.ROLE:
            return "there" if value else "not there"
        return "yes" if value else "no"


def key_words(part: Part, key: str) -> str:
    """Return a cell's key as a person says it."""
    return word(ContextLevel, int(key)) if part == Part.CONTEXT_LEVEL else key


@dataclass(frozen=True)
class Skipped:
    """A cell of the definition that this site cannot have, and why."""

    part: Part
    key: str
    reason: str


@dataclass(frozen=True)
class RolePlan:
    """Say what becomes of one role of one site; without changes the role is as it should be."""

    role: str
    changes: tuple[CellChange, ...] = ()
    skipped: tuple[Skipped, ...] = ()

    def reversed(self) -> RolePlan:
        """Return the plan that takes this one back."""
        return RolePlan(self.role, tuple(change.reversed() for change in reversed(self.changes)))

    def as_data(self) -> dict[str, Any]:
        """Return the plan as JSON can hold it."""
        return {
            "role": self.role,
            "changes": [[change.part, change.key, change.old, change.new]
                        for change in self.changes],
            "skipped": [[skipped.part, skipped.key, skipped.reason] for skipped in self.skipped],
        }  # fmt: skip

    @classmethod
    def from_data(cls, data: Any) -> RolePlan:
        """Return the plan that `as_data` gave; raise InvalidInput `role.plan`."""
        try:
            return cls(
                str(data["role"]),
                tuple(
                    CellChange(Part(part), str(key), _cell_value(old), _cell_value(new))
                    for part, key, old, new in data["changes"]
                ),
                tuple(
                    Skipped(Part(part), str(key), str(reason))
                    for part, key, reason in data.get("skipped", ())
                ),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InvalidInput(
                "role.plan", "That is no plan of a role.", "Give one that VMoodle made."
            ) from error


def plan_role(
    definition: RoleDefinition,
    site: SiteRoles,
    *,
    parts: Iterable[Part] = ALL_PARTS,
    remove: bool = True,
    create: bool = True,
    roles_known: Collection[str] | None = None,
    only: Collection[str] | None = None,
) -> RolePlan:
    """Return what makes the site's role the definition, in the given parts.

    Without `remove` nothing the site has beyond the definition goes. What the site does not know,
    a capability or another role, is skipped. `roles_known` are the roles of the site that the
    definition is from: what this site allows with other roles stays. `only` are the capabilities
    whose permissions are looked at, such as those of one component (`capabilities_of`).
    Raise NotFound `role.unknown` for a missing role that is not to be made, InvalidInput
    `role.definition` for a definition that Moodle would not take.
    """
    check_definition(definition)
    wanted = frozenset(parts)
    current = site.roles.get(definition.shortname)
    changes: list[CellChange] = []
    if current is None:
        if not create:
            raise unknown_role(definition.shortname, site.shortnames)
        current = RoleDefinition(definition.shortname)
        changes.append(CellChange(Part.ROLE, "", False, True))
        # A new role has its fields whatever is synced else: Moodle's form asks for them.
        wanted |= set(FIELDS)
    changes += _fields(definition, current)
    changes += _levels(definition, current, remove)
    changes += [
        change
        for change in _permissions(definition, current, remove)
        if only is None or change.key in only
    ]
    known = {*site.shortnames, definition.shortname}
    for part in _ALLOW_PARTS:
        changes += [
            change
            for change in _allowed(part, definition, current, remove)
            if change.new or roles_known is None or change.key in roles_known
        ]
    kept, skipped = [], []
    for change in changes:
        if change.part not in wanted and change.part != Part.ROLE:
            continue
        if reason := _unknown(change, site, known):
            skipped.append(Skipped(change.part, change.key, reason))
        else:
            kept.append(change)
    return RolePlan(definition.shortname, tuple(kept), tuple(skipped))


def capabilities_of(component: str, *sites: SiteRoles) -> frozenset[str]:
    """Return the capabilities of a component (`mod_quiz`, `moodle`) that any of the sites knows."""
    return frozenset(
        capability.name
        for site in sites
        for capability in site.capabilities.values()
        if capability.component == component
    )


def plan_permissions(
    patterns: Iterable[str], capability: str, permission: int | None, site: SiteRoles
) -> list[RolePlan]:
    """Return what gives the roles that names and patterns mean this one permission.

    A role that is named and not there is skipped, and told.
    """
    plans: dict[str, RolePlan] = {}
    for pattern in patterns:
        meant = [name for name in site.shortnames if fnmatchcase(name, pattern)]
        plans |= {name: plan_permission(name, capability, permission, site) for name in meant}
        if not meant:
            reason = f"{NO_ROLE}. {near(pattern, site.shortnames)}".removesuffix(". ")
            plans[pattern] = RolePlan(pattern, (), (Skipped(Part.ROLE, "", reason),))
    return list(plans.values())


def near_capability(capability: str, site: SiteRoles, otherwise: str = "") -> str:
    """Return the question whether another capability was meant; `otherwise` where none is near."""
    return near(capability, site.capabilities, otherwise, alike=0.8)


def plan_permission(
    role: str, capability: str, permission: int | None, site: SiteRoles
) -> RolePlan:
    """Return what gives the role this one permission, or with None takes it away.

    Raise NotFound `role.unknown`, InvalidInput `role.definition` for no permission.
    """
    current = site.role(role).permissions
    check_definition(RoleDefinition(role, permissions={capability: permission or 1}))
    if capability not in site.capabilities:
        reason = f"{_NO_CAPABILITY}. {near_capability(capability, site)}".removesuffix(". ")
        return RolePlan(role, (), (Skipped(Part.PERMISSION, capability, reason),))
    old = current.get(capability)
    if old == permission:
        return RolePlan(role)
    return RolePlan(role, (CellChange(Part.PERMISSION, capability, old, permission),))


def check_definition(definition: RoleDefinition) -> None:
    """Raise InvalidInput `role.definition` for a definition that Moodle would not take."""
    wrong = next(_wrong(definition), None)
    if wrong:
        raise InvalidInput(
            "role.definition",
            f"The definition of the role {definition.shortname!r} is wrong: {wrong}.",
            "See docs/reference/roles.md for what a definition holds.",
        )


def _wrong(definition: RoleDefinition) -> Iterator[str]:
    # admin/roles/classes/define_role_table_advanced.php, read_submitted_permissions, 4.5 and 5.1.
    if not definition.shortname or len(definition.shortname) > 100:
        yield "a shortname has 1 to 100 characters"
    if definition.shortname != definition.shortname.strip():
        yield "a shortname has no space around it"
    if len(definition.name) > 255:
        yield "a name has at most 255 characters"
    if definition.archetype and definition.archetype not in ARCHETYPES:
        yield f"Moodle has no archetype {definition.archetype!r}"
    for level in sorted(definition.context_levels - set(ContextLevel)):
        yield f"Moodle has no context level {level}"
    for capability, permission in definition.permissions.items():
        if permission not in set(Permission):
            yield f"{permission} is no permission ({capability})"


NO_ROLE = "the site has no such role"
_NO_CAPABILITY = "the site does not know the capability"


def _unknown(change: CellChange, site: SiteRoles, known: set[str]) -> str:
    """Return why the site cannot have the cell; empty where it can."""
    if change.part == Part.PERMISSION and change.key not in site.capabilities:
        return _NO_CAPABILITY
    if change.part.allow and change.key not in known:
        return NO_ROLE
    return ""


def _fields(definition: RoleDefinition, current: RoleDefinition) -> Iterator[CellChange]:
    for part in FIELDS:
        old, new = getattr(current, part), getattr(definition, part)
        if old != new:
            yield CellChange(part, "", old, new)


def _levels(
    definition: RoleDefinition, current: RoleDefinition, remove: bool
) -> Iterator[CellChange]:
    for level in sorted(definition.context_levels - current.context_levels):
        yield CellChange(Part.CONTEXT_LEVEL, str(level), False, True)
    for level in sorted(current.context_levels - definition.context_levels) if remove else ():
        yield CellChange(Part.CONTEXT_LEVEL, str(level), True, False)


def _permissions(
    definition: RoleDefinition, current: RoleDefinition, remove: bool
) -> Iterator[CellChange]:
    names: Mapping[str, int] = definition.permissions
    for name in sorted({*names, *(current.permissions if remove else ())}):
        old, new = current.permissions.get(name), names.get(name)
        if old != new:
            yield CellChange(Part.PERMISSION, name, old, new)


def _allowed(
    part: Part, definition: RoleDefinition, current: RoleDefinition, remove: bool
) -> Iterator[CellChange]:
    allow = part.allow
    if allow is None:
        return
    new, old = definition.allows.get(allow, frozenset()), current.allows.get(allow, frozenset())
    for role in sorted(new - old):
        yield CellChange(part, role, False, True)
    for role in sorted(old - new) if remove else ():
        yield CellChange(part, role, True, False)


def _cell_value(value: object) -> CellValue:
    if value is None or isinstance(value, str | int):
        return value
    raise ValueError(value)
