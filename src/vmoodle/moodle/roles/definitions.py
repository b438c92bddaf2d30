"""What a site's roles are: read by shortname, with what they may at system level.

Ids differ from site to site, and rows of lower contexts are overrides for one course or category:
neither is part of a role's definition.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from fnmatch import fnmatchcase
from functools import lru_cache

from vmoodle.engines.protocol import SiteConnection
from vmoodle.errors import NotFound
from vmoodle.moodle.database.site_schema import marks
from vmoodle.moodle.database.system_context import SYSTEM_CONTEXT, SYSTEM_CONTEXT_LEVEL

# lib/accesslib.php, get_role_archetypes, 3.6 to 5.1.
ARCHETYPES = (
    "manager", "coursecreator", "editingteacher", "teacher", "student", "guest", "user",
    "frontpage",
)  # fmt: skip


NOT_SET = "not set"


class Permission(IntEnum):
    """What a role says about a capability; to inherit is to say nothing (lib/accesslib.php)."""

    ALLOW = 1
    PREVENT = -1
    PROHIBIT = -1000


class ContextLevel(IntEnum):
    """Where a role may be assigned and a capability be used (lib/accesslib.php)."""

    SYSTEM = SYSTEM_CONTEXT_LEVEL
    USER = 30
    COURSECAT = 40
    COURSE = 50
    MODULE = 70
    BLOCK = 80


class Allow(StrEnum):
    """What holders of one role may do with another: assign, override, switch to, see it."""

    ASSIGN = "assign"
    OVERRIDE = "override"
    SWITCH = "switch"
    VIEW = "view"

    @property
    def table(self) -> str:
        """Return the table of the pairs."""
        return f"role_allow_{self}"

    @property
    def column(self) -> str:
        """Return the column of the other role."""
        return f"allow{self}"


@dataclass(frozen=True)
class RoleDefinition:
    """Define a role: permissions by capability at system level, other roles by shortname."""

    shortname: str
    name: str = ""
    description: str = ""
    archetype: str = ""
    context_levels: frozenset[int] = frozenset()
    permissions: Mapping[str, int] = field(default_factory=dict)
    allows: Mapping[Allow, frozenset[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Capability:
    """Say of a capability where it is used and whose it is, as the site has it."""

    name: str
    context_level: int
    component: str


@dataclass(frozen=True)
class SiteRoles:
    """Hold roles of one site, all its capabilities, and the shortnames of all its roles."""

    roles: Mapping[str, RoleDefinition]
    capabilities: Mapping[str, Capability]
    shortnames: tuple[str, ...]
    called: str = field(default="the site", compare=False)

    def role(self, shortname: str) -> RoleDefinition:
        """Return a role; raise NotFound `role.unknown`."""
        if shortname in self.roles:
            return self.roles[shortname]
        raise unknown_role(shortname, self.shortnames, self.called)


@lru_cache(maxsize=1000)  # a comparison of a few hundred sites asks it a million times
def word(kind: type[IntEnum], value: object) -> str:
    """Return the word for a number, or the number where there is none."""
    return next((one.name.lower() for one in kind if one == value), str(value))


def permission_word(permission: object) -> str:
    """Return a permission as a person says it."""
    return NOT_SET if permission is None else word(Permission, permission)


def unknown_role(shortname: str, known: Collection[str], place: str = "the site") -> NotFound:
    """Return the error for a role that the site, or another place, has not."""
    return NotFound(
        "role.unknown",
        f"{place[:1].upper()}{place[1:]} has no role {shortname!r}.",
        f"There are: {', '.join(known)}.",
    )


def named(
    patterns: Iterable[str], shortnames: Collection[str], place: str = "the site"
) -> list[str]:
    """Return the roles that names and patterns mean, in their own order.

    Raise NotFound `role.unknown` for one that means none.
    """
    found: set[str] = set()
    for pattern in patterns:
        meant = {name for name in shortnames if fnmatchcase(name, pattern)}
        if not meant:
            raise unknown_role(pattern, shortnames, place)
        found |= meant
    return [name for name in shortnames if name in found]


def read_roles(connection: SiteConnection, shortnames: Iterable[str] | None = None) -> SiteRoles:
    """Return the named roles, or all: one query a subject, whatever their number.

    Names that the site has not are left out: ask the result's `role`.
    """
    rows = connection.query(
        "SELECT id, shortname, name, description, archetype FROM {role} ORDER BY sortorder"
    )
    names = {int(row[0]): str(row[1]) for row in rows}
    # In Python: MariaDB's comparison takes capital and small letters for the same.
    wanted = None if shortnames is None else set(shortnames)
    ids = [number for number, name in names.items() if wanted is None or name in wanted]
    levels = _context_levels(connection, ids)
    permissions = _permissions(connection, ids)
    allows = _allows(connection, ids, names)
    roles = {
        str(shortname): RoleDefinition(
            str(shortname), str(name or ""), str(description or ""), str(archetype or ""),
            frozenset(levels.get(number, ())), permissions.get(number, {}),
            {allow: frozenset(allows.get((number, allow), ())) for allow in Allow},
        )
        for number, shortname, name, description, archetype in rows
        if number in set(ids)
    }  # fmt: skip
    return SiteRoles(roles, read_capabilities(connection), tuple(names.values()))


@dataclass(frozen=True)
class RoleInUse:
    """Say what a role is called, and how often it is assigned, in all contexts."""

    shortname: str
    name: str
    archetype: str
    assignments: int


def read_role_list(connection: SiteConnection) -> list[RoleInUse]:
    """Return the roles of a site in its own order."""
    rows = connection.query(
        "SELECT r.shortname, r.name, r.archetype, COUNT(a.id) FROM {role} r"
        " LEFT JOIN {role_assignments} a ON a.roleid = r.id"
        " GROUP BY r.id, r.shortname, r.name, r.archetype, r.sortorder ORDER BY r.sortorder"
    )
    return [RoleInUse(str(s), str(n or ""), str(a or ""), int(count)) for s, n, a, count in rows]


def read_capabilities(connection: SiteConnection) -> dict[str, Capability]:
    """Return the capabilities a site knows, by name."""
    return {
        str(name): Capability(str(name), int(level), str(component))
        for name, level, component in connection.query(
            "SELECT name, contextlevel, component FROM {capabilities}"
        )
    }


def _context_levels(connection: SiteConnection, ids: list[int]) -> dict[int, set[int]]:
    found: dict[int, set[int]] = {}
    for role, level in connection.query(
        f"SELECT roleid, contextlevel FROM {{role_context_levels}} WHERE roleid IN ({marks(ids)})",  # noqa: S608
        ids,
    ):
        found.setdefault(int(role), set()).add(int(level))
    return found


def _permissions(connection: SiteConnection, ids: list[int]) -> dict[int, dict[str, int]]:
    found: dict[int, dict[str, int]] = {}
    for role, capability, permission in connection.query(
        "SELECT roleid, capability, permission FROM {role_capabilities}"  # noqa: S608
        f" WHERE contextid IN {SYSTEM_CONTEXT} AND permission <> 0 AND roleid IN ({marks(ids)})",
        ids,
    ):
        found.setdefault(int(role), {})[str(capability)] = int(permission)
    return found


def _allows(
    connection: SiteConnection, ids: list[int], names: Mapping[int, str]
) -> dict[tuple[int, Allow], set[str]]:
    each = " UNION ALL ".join(
        f"SELECT '{allow}', roleid, {allow.column} FROM {{{allow.table}}}"  # noqa: S608
        f" WHERE roleid IN ({marks(ids)})"
        for allow in Allow
    )
    found: dict[tuple[int, Allow], set[str]] = {}
    for allow, role, other in connection.query(each, ids * len(Allow)):
        # A row of a role that is gone stays in Moodle's tables now and then.
        if int(other) in names:
            found.setdefault((int(role), Allow(allow)), set()).add(names[int(other)])
    return found
