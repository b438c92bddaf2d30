"""Reset roles of many sites to their archetypes, as Moodle does it itself."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from pydantic import Field

from vmoodle.engines.protocol import SiteConnection
from vmoodle.errors import VMoodleError
from vmoodle.fleet.change_rows import all_stay
from vmoodle.fleet.changes.roles import changed, refuse_unknown, take_back, told
from vmoodle.fleet.command import Command, Comparison, Effect
from vmoodle.fleet.parameters import Parameters
from vmoodle.fleet.result import Changed, Result
from vmoodle.fleet.target_site import TargetSite, unheard
from vmoodle.moodle.caches.invalidation import Change
from vmoodle.moodle.roles.changes import Applied
from vmoodle.moodle.roles.definitions import SiteRoles, named, read_role_list, read_roles
from vmoodle.moodle.roles.plan import CellChange, Part, RolePlan
from vmoodle.moodle.roles.reset import CODE, WHAT, as_input, read_output


class RolesToReset(Parameters):
    """Which roles."""

    role: list[str] = Field(description="Roles by shortname; * and ? too.")


class ResetRoles(Command[RolesToReset]):
    """Give roles the permissions of their archetypes again."""

    name = "role.reset"
    title = "Reset roles to the permissions of their archetypes, by Moodle itself."
    effect = Effect.WRITES
    model = RolesToReset
    idempotent = True
    comparison = Comparison.BY_ROW
    scripts = True

    @classmethod
    def changes_nothing(cls, answer: Result) -> bool:
        """Tell whether the roles are reset already, or have no archetype."""
        return all_stay(answer)

    @classmethod
    def judge(
        cls, given: RolesToReset, answers: Mapping[str, Result], failures: Collection[VMoodleError]
    ) -> None:
        """Raise NotFound `role.unknown` where none of the sites has one of the roles."""
        refuse_unknown(given.role, answers, failures)

    def dry_run(self, site: TargetSite) -> Result:
        """Return what Moodle's reset would change."""
        with site.connect() as connection:
            roles = self._names(connection)
        plans, bare = _ask(site, roles, apply=False)
        return told(plans, _notes(bare))

    def run(self, site: TargetSite) -> Result | Changed:
        """Have Moodle reset the roles; what is kept is each permission as it was."""
        with site.connect() as connection:
            roles = self._names(connection)
            before = read_roles(connection, roles)
        try:
            plans, bare = _ask(site, roles, apply=True)
        except VMoodleError as error:
            plans, bare = _made(site, before, error)
        stale = frozenset({Change.ROLE_PERMISSIONS})
        return changed(site, [Applied(plan, stale) for plan in plans], _notes(bare))

    def undo(self, site: TargetSite, kept: Any, *, dry: bool) -> Result | Changed:
        """Put each permission back to what it was; raise Conflict where one was changed since."""
        return take_back(site, kept, dry=dry)

    def _names(self, connection: SiteConnection) -> list[str]:
        """Return the roles; raise NotFound `role.unknown` where there is no such role."""
        shortnames = [one.shortname for one in read_role_list(connection)]
        return list(named(self.given.role, shortnames))


def _ask(site: TargetSite, roles: list[str], *, apply: bool) -> tuple[list[RolePlan], list[str]]:
    return read_output(site.run_code(CODE, what=WHAT, given=as_input(roles, apply=apply)))


def _made(
    site: TargetSite, before: SiteRoles, error: VMoodleError
) -> tuple[list[RolePlan], list[str]]:
    """Return what Moodle made where it did not say it; raise the error where that is nothing.

    It may have ended after its commit, by a limit or in what a plugin does at the very end.
    """
    try:
        with site.connect() as connection:
            after = read_roles(connection, before.roles)
    except VMoodleError as unread:
        raise unheard(f"{error.message} The roles cannot be read: {unread.message}") from error
    plans = [
        RolePlan(name, tuple(_changes(role.permissions, after.roles[name].permissions)))
        for name, role in before.roles.items()
        if name in after.roles
    ]
    if not any(plan.changes for plan in plans):
        raise error
    return plans, [name for name, role in before.roles.items() if not role.archetype]


def _changes(old: Mapping[str, int], new: Mapping[str, int]) -> Iterator[CellChange]:
    for key in sorted({*old, *new}):
        if old.get(key) != new.get(key):
            yield CellChange(Part.PERMISSION, key, old.get(key), new.get(key))


def _notes(bare: list[str]) -> list[str]:
    return [f"{role} has no archetype: a reset leaves it no permission" for role in bare]
