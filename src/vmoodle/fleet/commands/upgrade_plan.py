"""What an upgrade of sites to a codebase would meet: told before anything is touched."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import Field, model_validator

from vmoodle.errors import InvalidInput, VMoodleError
from vmoodle.fleet.code_trees import CodeTrees
from vmoodle.fleet.command import Command, Comparison, Effect
from vmoodle.fleet.parameters import Constant
from vmoodle.fleet.result import Cell, Result, Table
from vmoodle.fleet.target_site import TargetSite
from vmoodle.fleet.upgrade import estimate as upgrade_estimate
from vmoodle.fleet.upgrade.estimate import Known
from vmoodle.fleet.upgrade.space import CopySpace
from vmoodle.fleet.upgrade.target import ToCodebase
from vmoodle.moodle.code.environment import read_requirements
from vmoodle.moodle.code.tree import MoodleTree
from vmoodle.moodle.upgrades.code import UpgradeCode, read_upgrade_code
from vmoodle.moodle.upgrades.finding import Level, UpgradeFinding, blocker
from vmoodle.moodle.upgrades.path import Stop, can_come_from, find_path, short_release
from vmoodle.moodle.upgrades.pending import Pending, pending
from vmoodle.moodle.upgrades.site_checks import SiteFacts, check_site, outage, read_site_facts
from vmoodle.moodle.upgrades.state import read_installed_at
from vmoodle.moodle.upgrades.tree_checks import check_machine, check_tree

if TYPE_CHECKING:
    from vmoodle.installation import Installation

ACCEPTABLE = ("disk.full", "plugin.missing", "rehearsal.failed")
"""Blockers that stop Moodle's own upgrade not: somebody may take the risk."""
PLAN, READY, BLOCKED, NEEDLESS = "plan", "ready", "blocked", "needless"
_COLUMNS = ("level", "code", "what", "hint")


class Target(ToCodebase):
    """The codebase that sites are to be upgraded to, and which blockers are none."""

    to: str = Field(min_length=1, description="The codebase to upgrade to, by its name.")
    accept: list[str] = Field(
        default_factory=list,
        description="The code of a blocker that counts as a warning: "
        f"{', '.join(ACCEPTABLE)}. Repeatable.",
    )
    stops: Annotated[list[list[str]], Constant(list)] = Field(default_factory=list)
    """The fleet's codebases as name, release, least release to come from."""
    known: Annotated[dict[str, Any], Constant(dict)] = Field(default_factory=dict)
    """What rehearsals and upgrades to the same code have taken, as `Known` has it."""

    @model_validator(mode="after")
    def _can_be_accepted(self) -> Self:
        for code in self.accept:
            if code not in ACCEPTABLE:
                raise InvalidInput(
                    "upgrade.accept",
                    f"{code!r} is no blocker that can be accepted.",
                    f"Can be: {', '.join(ACCEPTABLE)}. Of others Moodle's upgrade would break off.",
                )
        return self


class UpgradePlan(Command[Target]):
    """Plan an upgrade: the path, what is in the way, what it costs."""

    name = "upgrade.plan"
    title = "Tell what an upgrade to a codebase would meet: path, blockers, warnings, outage."
    effect = Effect.READS
    model = Target
    comparison = Comparison.BY_ROW

    def __init__(self, given: Target) -> None:
        super().__init__(given)
        self._trees = CodeTrees(_read)
        self._space = CopySpace()
        self._stops = [Stop(*one) for one in given.stops]
        self._known = Known.restored(given.known)

    @classmethod
    def settle(cls, given: Target, installation: Installation) -> Target:  # noqa: ARG003
        """Look up the codebase, and all others as stops on the way."""
        from vmoodle.registry import codebases

        settled = given.settled()
        stops = [
            [row.name, row.release, source]
            for row in codebases.every()
            if (source := _source(Path(row.path))) is not None
        ]
        known = upgrade_estimate.look_up(Path(settled.path)).as_facts()
        return settled.model_copy(update={"stops": stops, "known": known})

    def run(self, site: TargetSite) -> Result:
        """Return rows for the plan, then for each blocker and warning."""
        path = Path(self.given.path)
        code, of_tree = self._trees.at(path)
        with site.connect() as connection:
            facts = read_site_facts(connection)
            installed_at = read_installed_at(connection)
        state = pending(facts.versions, code)
        if state is Pending.NO:
            return Table(_COLUMNS, (self._plan(NEEDLESS, facts, code),))
        size, space = self._space.check(site)
        stops = find_path(facts.versions.release, self._stop(code), self._stops)
        findings = [self._weighed(one) for one in (
            *check_site(facts, code),
            *self._way(facts, code, stops),
            *check_machine(code, site.installation.php.facts(), facts.server),
            *of_tree,
            *([space] if space else []),
            *self._rehearsed(site.shortname, facts),
        )]  # fmt: skip
        blocked = any(one.level is Level.BLOCKER for one in findings)
        same_path = code.tree.root == site.codebase
        rows: list[tuple[Cell, ...]] = [
            self._plan(BLOCKED if blocked else READY, facts, code),
            (PLAN, "path", _words(facts, stops), ""),
            (PLAN, "outage", outage(facts.versions, code, same_path=same_path), ""),
            (PLAN, "bytes", str(size), ""),
            (PLAN, "installed", str(installed_at), ""),
        ]
        if estimate := self._known.estimate(site.shortname, facts.versions, size):
            rows.append((PLAN, estimate.code, str(estimate.milliseconds), estimate.why))
        findings.sort(key=lambda one: (list(Level).index(one.level), one.code))
        rows += [(str(one.level), one.code, one.message, one.hint) for one in findings]
        return Table(_COLUMNS, tuple(dict.fromkeys(rows)))

    def _stop(self, code: UpgradeCode) -> Stop:
        return Stop(self.given.to, code.tree.version.release, code.requirements.source)

    def _plan(self, verdict: str, facts: SiteFacts, code: UpgradeCode) -> tuple[Cell, ...]:
        site, tree = facts.versions, code.tree.version
        before = f"{short_release(site.release)} ({site.version})"
        return (PLAN, verdict, f"{before} to {short_release(tree.release)} ({tree.version})", "")

    def _way(
        self, facts: SiteFacts, code: UpgradeCode, stops: list[Stop]
    ) -> Iterator[UpgradeFinding]:
        """Give a blocker where the site cannot come to the target at once."""
        release, source = facts.versions.release, code.requirements.source
        if can_come_from(release, source):
            return
        hint = (
            f"Upgrade it first: vmoodle upgrade plan --to {stops[0].name}"
            if len(stops) > 1
            else f"Add a codebase of a Moodle from {source} on that takes "
            f"{short_release(release)}, and upgrade to it first."
        )
        yield blocker(
            "core.source",
            f"Moodle {code.tree.version.series} takes sites from {source} on; "
            f"it is {short_release(release)}.",
            hint,
        )

    def _rehearsed(self, shortname: str, facts: SiteFacts) -> Iterator[UpgradeFinding]:
        """Give a blocker where the upgrade failed on a copy of the site."""
        failed = self._known.failed(shortname, facts.versions)
        if failed:
            yield blocker(
                "rehearsal.failed",
                f"Its rehearsal failed: {failed}",
                "Mend what it names, and rehearse it again: vmoodle upgrade rehearse "
                f"--to {self.given.to} --on {shortname}",
            )

    def _weighed(self, finding: UpgradeFinding) -> UpgradeFinding:
        if finding.code not in self.given.accept:
            return finding
        return UpgradeFinding(Level.WARNING, finding.code, finding.message, finding.hint)


def verdict_of(answer: Result) -> str:
    """Return what an answer of the command says of its site, empty for nothing."""
    if not isinstance(answer, Table):
        return ""
    verdicts = {READY, BLOCKED, NEEDLESS}
    return next((str(row[1]) for row in answer.rows if row[0] == PLAN and row[1] in verdicts), "")


def _read(tree: MoodleTree) -> tuple[UpgradeCode, list[UpgradeFinding]]:
    code = read_upgrade_code(tree)
    return code, list(check_tree(code))


def _source(path: Path) -> str | None:
    """Return the least release a tree takes sites from; None for one that cannot be read."""
    try:
        tree = MoodleTree.open(path)
        return read_requirements(tree.environment_xml, tree.version.series).source
    except VMoodleError:
        return None


def _words(facts: SiteFacts, stops: list[Stop]) -> str:
    if not stops:
        return "none with the codebases there are"
    told = [f"{short_release(one.release)} ({one.name})" for one in stops]
    return " → ".join([short_release(facts.versions.release), *told])
