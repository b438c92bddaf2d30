"""Apply a role's plan to a site, in the connection's one transaction.

Rows of lower contexts, which are overrides for one course or category, are never touched. After
the commit drop the caches of `Applied.stale` (`caches/invalidation.py`). Moodle's log gets no
event.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from vmoodle.engines.protocol import SiteConnection
from vmoodle.errors import Refused, changed_since
from vmoodle.moodle.caches.invalidation import Change
from vmoodle.moodle.database.site_admins import first_administrator
from vmoodle.moodle.database.site_schema import marks
from vmoodle.moodle.database.system_context import SYSTEM_CONTEXT, system_context
from vmoodle.moodle.roles.definitions import (
    Allow,
    RoleDefinition,
    SiteRoles,
    read_roles,
    unknown_role,
)
from vmoodle.moodle.roles.plan import FIELDS, CellChange, CellValue, Part, RolePlan, Skipped

_ROWS_AT_ONCE = 500
Item = TypeVar("Item")


@dataclass(frozen=True)
class Applied:
    """Say what was changed, and in `stale` which kinds of change Moodle has cached.

    `done` has the cells that were written, and not those that were right already: its reverse is
    the undo, a plan like another.
    """

    done: RolePlan
    stale: frozenset[Change]

    @property
    def undo(self) -> RolePlan:
        """Return the plan that takes back what was done."""
        return self.done.reversed()


def apply_plans(connection: SiteConnection, plans: Sequence[RolePlan]) -> list[Applied]:
    """Write several plans in their order, as `apply_plan`; one without changes is only told.

    Call it first in a transaction: what is read before the roles are locked may be old by then,
    and MariaDB goes on showing it.
    """
    lock_roles(connection, [plan.role for plan in plans if plan.changes])
    return [
        apply_plan(connection, plan) if plan.changes else Applied(plan, frozenset())
        for plan in plans
    ]


def lock_roles(connection: SiteConnection, shortnames: Iterable[str]) -> None:
    """Let nobody else change these roles before the transaction has ended."""
    names = sorted(set(shortnames))
    if names:
        connection.query(
            f"SELECT id FROM {{role}} WHERE shortname IN ({marks(names)}) ORDER BY id FOR UPDATE",  # noqa: S608
            names,
        )


def apply_plan(connection: SiteConnection, plan: RolePlan) -> Applied:
    """Write the cells of a plan that are not right yet, as the site's first administrator.

    Raise NotFound `role.unknown`, Conflict `role.changed` when a cell is neither as it was when
    planned nor as it is to be, Refused `role.used` for a role that was made, is to go, and has
    been assigned or overridden meanwhile. Nothing is changed then.
    """
    # Two that change the role wait for each other; so does Moodle's own form.
    connection.query("SELECT id FROM {role} WHERE shortname = %s FOR UPDATE", (plan.role,))
    site = read_roles(connection, [plan.role])
    current = site.roles.get(plan.role)
    is_new = any(change.part == Part.ROLE and change.new for change in plan.changes)
    if current is None and not is_new:
        if any(change.part == Part.ROLE for change in plan.changes):
            return Applied(RolePlan(plan.role), frozenset())
        raise unknown_role(plan.role, site.shortnames)
    pending, skipped = _pending(plan, site, current)
    writer = _Writer(connection, plan.role)
    writer.write(pending)
    return Applied(RolePlan(plan.role, tuple(pending), skipped), _stale(pending))


def _pending(
    plan: RolePlan, site: SiteRoles, current: RoleDefinition | None
) -> tuple[list[CellChange], tuple[Skipped, ...]]:
    pending, moved, skipped = [], [], list(plan.skipped)
    for change in plan.changes:
        if change.part == Part.PERMISSION and change.key not in site.capabilities:
            skipped.append(
                Skipped(change.part, change.key, "the site does not know the capability")
            )
        elif change.part.allow and change.key not in {*site.shortnames, plan.role}:
            skipped.append(Skipped(change.part, change.key, "the site has no such role"))
        else:
            found = _cell(current, change)
            if found == change.new:
                continue
            # A role that is made has none of its cells before.
            if found != change.old and current is not None:
                moved.append(change)
            pending.append(change)
    if moved:
        first = moved[0]
        raise changed_since(
            "role.changed",
            f"the role {plan.role!r} in {len(moved)} places, the first is {first.part} {first.key}",
            "Look at it by `vmoodle role show`, and do it anew.",
        )
    return pending, tuple(dict.fromkeys(skipped))


def _cell(role: RoleDefinition | None, change: CellChange) -> CellValue:
    if change.part == Part.ROLE:
        return role is not None
    role = role or RoleDefinition("")
    if change.part in FIELDS:
        return str(getattr(role, change.part))
    if change.part == Part.CONTEXT_LEVEL:
        return int(change.key) in role.context_levels
    if change.part == Part.PERMISSION:
        return role.permissions.get(change.key)
    return change.key in role.allows.get(change.part.allow or Allow.ASSIGN, frozenset())


def _stale(changes: Iterable[CellChange]) -> frozenset[Change]:
    kinds = {
        Part.ROLE: Change.ROLES,
        **dict.fromkeys(FIELDS, Change.ROLES),
        Part.CONTEXT_LEVEL: Change.ROLE_CONTEXT_LEVELS,
        Part.PERMISSION: Change.ROLE_PERMISSIONS,
    }
    return frozenset(kinds.get(change.part, Change.ROLE_ALLOWS) for change in changes)


class _Writer:
    """Write the cells of one role."""

    def __init__(self, connection: SiteConnection, role: str) -> None:
        self._connection, self._shortname = connection, role

    def write(self, changes: Sequence[CellChange]) -> None:
        of = {part: [c for c in changes if c.part == part] for part in Part}
        if any(change.new for change in of[Part.ROLE]):
            self._create()
        ids = self._ids()
        role = ids.get(self._shortname)
        if role is None or not changes:
            return
        if of[Part.ROLE] and not of[Part.ROLE][0].new:
            self._remove(role)
            return
        for part in FIELDS:
            for change in of[part]:
                self._connection.execute(
                    f"UPDATE {{role}} SET {part} = %s WHERE id = %s",  # noqa: S608
                    (change.new, role),
                )
        self._rows("role_context_levels", "contextlevel", role, of[Part.CONTEXT_LEVEL], int)
        for part, found in of.items():
            if part.allow:
                self._rows(part.allow.table, part.allow.column, role, found, ids.__getitem__)
        self._permissions(role, of[Part.PERMISSION])

    def _ids(self) -> dict[str, int]:
        rows = self._connection.query("SELECT shortname, id FROM {role}")
        return {str(name): int(number) for name, number in rows}

    def _create(self) -> None:
        # lib/accesslib.php, create_role, 4.5 and 5.1.
        ((order,),) = self._connection.query("SELECT MAX(sortorder) FROM {role}")
        self._connection.execute(
            "INSERT INTO {role} (name, shortname, description, sortorder, archetype)"
            " VALUES ('', %s, '', %s, '')",
            (self._shortname, int(order or 0) + 1),
        )

    def _remove(self, role: int) -> None:
        """Take back a role that nobody has used; delete_role of lib/accesslib.php."""
        for table, condition, what in _USES:
            ((count,),) = self._connection.query(
                f"SELECT COUNT(*) FROM {{{table}}} WHERE {condition}",  # noqa: S608
                (role,),
            )
            if count:
                raise Refused(
                    "role.used",
                    f"The role {self._shortname!r} is not taken back: {count} {what}.",
                    "Unassign it first, or delete it in the site's own administration.",
                )
        for table, column in _ROWS_OF_A_ROLE:
            self._connection.execute(
                f"DELETE FROM {{{table}}} WHERE {column} = %s",  # noqa: S608
                (role,),
            )

    def _rows(
        self,
        table: str,
        column: str,
        role: int,
        changes: Sequence[CellChange],
        number: Callable[[str], int],
    ) -> None:
        gone = [number(change.key) for change in changes if not change.new]
        if gone:
            self._connection.execute(
                f"DELETE FROM {{{table}}} WHERE roleid = %s AND {column} IN ({marks(gone)})",  # noqa: S608
                (role, *gone),
            )
        rows = [(role, number(change.key)) for change in changes if change.new]
        self._insert(table, ("roleid", column), rows)

    def _permissions(self, role: int, changes: Sequence[CellChange]) -> None:
        if not changes:
            return
        system = system_context(self._connection)
        where = "roleid = %s AND contextid = %s AND capability"
        # A row with 0, which Moodle does not write, would stand in the way of a new one.
        for group in _portions([change.key for change in changes]):
            self._connection.execute(
                f"DELETE FROM {{role_capabilities}} WHERE {where} IN ({marks(group)})",  # noqa: S608
                (role, system, *group),
            )
        modifier, now = first_administrator(self._connection), int(time.time())
        self._insert(
            "role_capabilities",
            ("contextid", "roleid", "capability", "permission", "timemodified", "modifierid"),
            [
                (system, role, change.key, change.new, now, modifier)
                for change in changes
                if change.new is not None
            ],
        )

    def _insert(
        self, table: str, columns: Sequence[str], rows: Sequence[tuple[object, ...]]
    ) -> None:
        one = f"({marks(columns)})"
        for group in _portions(rows):
            self._connection.execute(
                f"INSERT INTO {{{table}}} ({', '.join(columns)})"  # noqa: S608
                f" VALUES {', '.join(one for _ in group)}",
                [value for row in group for value in row],
            )


# What makes a role one that is used: it is not taken back then.
_USES = (
    ("role_assignments", "roleid = %s", "assignments of it"),
    ("enrol", "roleid = %s", "enrolment methods give it"),
    (
        "role_capabilities",
        f"roleid = %s AND contextid NOT IN {SYSTEM_CONTEXT}",
        "overrides of it in lower contexts",
    ),
)
_ROWS_OF_A_ROLE = (
    ("role_capabilities", "roleid"),
    *((allow.table, column) for allow in Allow for column in ("roleid", allow.column)),
    ("role_names", "roleid"),
    ("role_context_levels", "roleid"),
    ("role", "id"),
)


def _portions(items: Sequence[Item]) -> Iterable[Sequence[Item]]:
    return (items[at : at + _ROWS_AT_ONCE] for at in range(0, len(items), _ROWS_AT_ONCE))
