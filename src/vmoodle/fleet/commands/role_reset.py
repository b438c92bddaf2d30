"""Reset roles of many sites to their archetypes, as Moodle does it itself."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from pydantic import Field

from vmoodle.errors import VMoodleError
from vmoodle.fleet.command import Command, Comparison, Effect
from vmoodle.fleet.parameters import Parameters
from vmoodle.fleet.result import Changed, Result
from vmoodle.fleet.role_change import changed, refuse_unknown, take_back, told
from vmoodle.fleet.target_site import TargetSite
from vmoodle.moodle.caches.invalidation import Change
from vmoodle.moodle.roles.changes import Applied
from vmoodle.moodle.roles.definitions import named, read_role_list
from vmoodle.moodle.roles.plan import RolePlan
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
    def judge(
        cls, given: RolesToReset, answers: Mapping[str, Result], failures: Collection[VMoodleError]
    ) -> None:
        """Raise NotFound `role.unknown` where none of the sites has one of the roles."""
        refuse_unknown(given.role, answers, failures)

    def dry_run(self, site: TargetSite) -> Result:
        """Return what Moodle's reset would change."""
        plans, bare = self._ask(site, apply=False)
        return told(plans, _notes(bare))

    def run(self, site: TargetSite) -> Result | Changed:
        """Have Moodle reset the roles; what is kept is each permission as it was."""
        plans, bare = self._ask(site, apply=True)
        stale = frozenset({Change.ROLE_PERMISSIONS})
        return changed(site, [Applied(plan, stale) for plan in plans], _notes(bare))

    def undo(self, site: TargetSite, kept: Any, *, dry: bool) -> Result | Changed:
        """Put each permission back to what it was; raise Conflict where one was changed since."""
        return take_back(site, kept, dry=dry)

    def _ask(self, site: TargetSite, *, apply: bool) -> tuple[list[RolePlan], list[str]]:
        """Ask Moodle; raise NotFound `role.unknown` before, where there is no such role."""
        with site.connect() as connection:
            shortnames = [one.shortname for one in read_role_list(connection)]
        roles = named(self.given.role, shortnames)
        return read_output(site.run_code(CODE, what=WHAT, given=as_input(roles, apply=apply)))


def _notes(bare: list[str]) -> list[str]:
    return [f"{role} has no archetype: a reset leaves it no permission" for role in bare]
