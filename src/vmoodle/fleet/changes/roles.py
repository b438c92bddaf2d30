"""A command that changes roles: planned for a site, shown, applied in one transaction, taken back.

A command set gives the plans; this does the rest, the same for each of them.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from vmoodle.engines.protocol import SiteConnection
from vmoodle.errors import NotFound, VMoodleError
from vmoodle.fleet.change_rows import all_stay, change_table
from vmoodle.fleet.command import Command, Comparison, Effect, P
from vmoodle.fleet.copy_source import open_source
from vmoodle.fleet.result import Cell, Changed, Result, Table
from vmoodle.fleet.target_site import TargetSite
from vmoodle.moodle.roles.changes import Applied, apply_plans
from vmoodle.moodle.roles.definitions import SiteRoles, read_roles
from vmoodle.moodle.roles.plan import Part, RolePlan, key_words
from vmoodle.near import DID_YOU_MEAN

if TYPE_CHECKING:
    from vmoodle.installation import Installation

_LONGEST = 100
_SKIPPED = "skipped"


class RoleChange(Command[P]):
    """A change of roles by plans."""

    effect = Effect.WRITES
    idempotent: ClassVar[bool] = True
    comparison = Comparison.BY_ROW

    @classmethod
    def changes_nothing(cls, answer: Result) -> bool:
        """Tell whether all that is not as it should be is skipped."""
        return all_stay(answer, _SKIPPED)

    @abstractmethod
    def plans(self, site: SiteRoles) -> Iterable[RolePlan]:
        """Return what is to become of the roles of a site that was read with all of them."""

    def dry_run(self, site: TargetSite) -> Result:
        """Return each cell that would be changed, and those that cannot be, with the reason."""
        with site.connect() as connection:
            return told(self.plans(read_roles(connection)))

    def run(self, site: TargetSite) -> Result | Changed:
        """Change the cells; what is kept is each cell as it was."""
        with site.connect() as connection:
            plans = list(self.plans(read_roles(connection)))
        with site.change() as connection:
            applied = apply_plans(connection, plans)
        return changed(site, applied)

    def undo(self, site: TargetSite, kept: Any, *, dry: bool) -> Result | Changed:
        """Put each cell back to what it was; raise Conflict where one was changed since."""
        return take_back(site, kept, dry=dry)


def take_back(site: TargetSite, kept: Any, *, dry: bool) -> Result | Changed:
    """Put the cells of kept plans back; with `dry` only try it."""
    plans = [RolePlan.from_data(data) for data in kept]
    with site.change(dry=dry) as connection:
        applied = apply_plans(connection, plans)
    return told(one.done for one in applied) if dry else changed(site, applied)


def changed(site: TargetSite, applied: list[Applied], notes: Iterable[str] = ()) -> Changed:
    """Drop what is stale by now and return the answer of what was applied, and its undo."""
    stale = {change for one in applied for change in one.stale}
    late = site.drop_caches(stale) if stale else []
    answer = told((one.done for one in applied), [*notes, *late])
    kept = [one.undo.as_data() for one in reversed(applied) if one.done.changes]
    return Changed(answer, kept or None)


def told(plans: Iterable[RolePlan], notes: Iterable[str] = ()) -> Table:
    """Return a row for each cell of the plans, and one for each reason to skip some; the notes."""
    rows: list[tuple[Cell, ...]] = []
    for plan in plans:
        rows += [
            (plan.role, change.part, *(_short(text) for text in change.words), "")
            for change in plan.changes
        ]
        rows += _skipped(plan)
    return change_table(("role", "part", "key"), rows, notes)


def _skipped(plan: RolePlan) -> Iterator[tuple[str, ...]]:
    """Give a row for each reason, with all that is skipped for it: a site may lack a plugin."""
    keys: dict[tuple[Part, str], list[str]] = {}
    for one in plan.skipped:
        keys.setdefault((one.part, one.reason), []).append(key_words(one.part, one.key))
    for (part, reason), names in keys.items():
        count = f" {len(names)}" if len(names) > 1 else ""
        yield plan.role, part, ", ".join(names), "", "", f"{_SKIPPED}{count}: {reason}"


def skipped(answer: Result) -> list[tuple[str, str, str]]:
    """Return the part, the role and the reason of each row of an answer that skips something."""
    if not isinstance(answer, Table):
        return []
    rows = (dict(zip(answer.columns, row, strict=True)) for row in answer.rows)
    return [
        (str(row["part"]), str(row["role"]), str(row["note"]))
        for row in rows
        if str(row["note"]).startswith(_SKIPPED)
    ]


def refuse_unknown(
    roles: Iterable[str], answers: Mapping[str, Result], failures: Iterable[VMoodleError] = ()
) -> None:
    """Raise NotFound `role.unknown` for a role that none of the sites that were tried has."""
    unknown = [error for error in failures if error.code == "role.unknown"]
    if unknown and not answers:
        raise _unknown(unknown[0].message.partition("no role ")[2].rstrip("."), unknown[0].hint)
    lacking = [
        {role: reason for part, role, reason in skipped(answer) if part == Part.ROLE}
        for answer in answers.values()
    ]
    for role in roles if lacking else ():
        if all(role in one for one in lacking):
            raise _unknown(repr(role), did_you_mean(one[role] for one in lacking))


def did_you_mean(reasons: Iterable[str]) -> str:
    """Return what stands in one of the reasons of a name that is near; empty for none."""
    found = (reason.partition(DID_YOU_MEAN)[2] for reason in reasons)
    return next((f"{DID_YOU_MEAN}{rest}" for rest in found if rest), "")


def _unknown(role: str, hint: str) -> NotFound:
    return NotFound(
        "role.unknown",
        f"None of the sites has a role {role}.",
        hint or "Roles are named by their shortname: vmoodle role list --on '*'",
    )


def ask_source(
    installation: Installation, shortname: str, ask: Callable[[SiteConnection], SiteRoles]
) -> SiteRoles:
    """Return what one site, which need be no target, says of its roles; raise as `connect`."""
    with open_source(installation, shortname).connect() as connection:
        return replace(ask(connection), called=f"the site {shortname}")


def parts_named(names: Iterable[str]) -> Iterator[Part]:
    """Give the parts that words on the command line mean."""
    return (Part(name.replace("-", " ")) for name in names)


def _short(text: str) -> str:
    """Return a cell that fits beside others: a description is a page at times."""
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}…"
