"""Baselines on many sites: applied, and what has drifted from them since."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from vmoodle.errors import Unavailable, VMoodleError
from vmoodle.fleet.baseline.document import read_baseline
from vmoodle.fleet.change_rows import all_stay, change_table
from vmoodle.fleet.changes.settings import Masks, as_kept, from_kept, masks
from vmoodle.fleet.command import Command, Comparison, Effect
from vmoodle.fleet.parameters import Constant, LongText, Parameters
from vmoodle.fleet.result import Cell, Changed, Result, Table
from vmoodle.fleet.target_site import TargetSite
from vmoodle.moodle.code.tree import MoodleTree
from vmoodle.moodle.config.names import parse_setting
from vmoodle.moodle.desired_state import (
    DesiredCell,
    DesiredPlan,
    DesiredState,
    Made,
    SiteConfiguration,
    Verdict,
    cells_of,
    make_so,
    plan_state,
    take_back,
)
from vmoodle.moodle.plugins.plan import PluginUndo
from vmoodle.moodle.roles.plan import RolePlan

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from vmoodle.engines.protocol import SiteConnection
    from vmoodle.installation import Installation


class Document(Parameters):
    """A baseline; for which sites its exceptions hold is put in when it is ordered."""

    document: Annotated[str, LongText()] = Field(description="The baseline, as YAML.")
    new: bool = Field(default=False, description="Make settings that a site has not.")
    name: Annotated[str, Constant(str)]
    exceptions: Annotated[dict[str, list[int]], Constant(dict)]
    undecided: Annotated[list[str], Constant(list)]


class _OfBaseline(Command[Document]):
    """What the commands about a baseline have in common."""

    model = Document
    comparison = Comparison.BY_ROW

    def __init__(self, given: Document) -> None:
        super().__init__(given)
        # Most sites are to be the same.
        self._states: dict[tuple[int, ...], DesiredState] = {}

    @classmethod
    def settle(cls, given: Document, installation: Installation) -> Document:
        """Read the document, and find for which sites its exceptions hold."""
        from vmoodle.fleet.baseline.sites import exception_sites

        baseline = read_baseline(given.document)
        found = exception_sites(installation, baseline)
        return given.model_copy(
            update={
                "name": baseline.name,
                "exceptions": found.numbers,
                "undecided": found.undecided,
            }
        )

    def plan(
        self, connection: SiteConnection, site: TargetSite, *, lock: bool = False
    ) -> DesiredPlan:
        """Return what differs on a site; with `lock` nobody changes that meanwhile."""
        return plan_state(
            connection, self._desired(site), _site(site), create=self.given.new, lock=lock
        )

    def _changes(
        self, site: TargetSite, cells: Iterable[DesiredCell], notes: Sequence[str] = ()
    ) -> Table:
        rows = [
            (*_cells(masks(site), cell), _note(cell, "was not set", "is unset")) for cell in cells
        ]
        return change_table(("part", "name"), rows, notes)

    def _desired(self, site: TargetSite) -> DesiredState:
        if site.shortname in self.given.undecided:
            raise Unavailable(
                "baseline.undecided",
                "Whether an exception of the baseline holds for the site could not be asked of it.",
                "See what is wrong with the site: vmoodle target show.",
            )
        exceptions = tuple(self.given.exceptions.get(site.shortname, ()))
        if exceptions not in self._states:
            self._states[exceptions] = read_baseline(self.given.document).of(exceptions)
        return self._states[exceptions]


class Drift(_OfBaseline):
    """Tell what is not as a baseline says."""

    name = "baseline.drift"
    title = "Tell what is not as a baseline says."
    effect = Effect.READS
    silence = "no differences"

    def run(self, site: TargetSite) -> Result:
        """Return each cell that differs: what it is, and what it should be."""
        with site.connect() as connection:
            plan = self.plan(connection, site)
        rows = [
            (*_cells(masks(site), cell), _note(cell, "not set", "should not be set"))
            for cell in plan.cells
        ]
        return Table(("part", "name", "is", "should_be", "note"), tuple(rows))


class Apply(_OfBaseline):
    """Make sites what a baseline says."""

    name = "baseline.apply"
    title = "Make sites what a baseline says: settings, roles, states of plugins."
    effect = Effect.WRITES
    idempotent = True

    @classmethod
    def changes_nothing(cls, answer: Result) -> bool:
        """Tell whether all that differs stays."""
        return all_stay(answer, *(f"{one}: " for one in Verdict if one != Verdict.CHANGE))

    def run(self, site: TargetSite) -> Changed:
        """Change what differs, all in one transaction, and have Moodle see it at once."""
        with site.change() as connection:
            plan = self.plan(connection, site, lock=True)
            made = make_so(connection, plan, _site(site))
        notes = site.drop_caches(made.stale)
        stuck = [cell for cell in plan.cells if cell.verdict != Verdict.CHANGE]
        return Changed(self._changes(site, [*cells_of(made), *stuck], notes), _kept(made))

    def dry_run(self, site: TargetSite) -> Result:
        """Return what would be changed, and what would stay."""
        with site.connect() as connection:
            return self._changes(site, self.plan(connection, site).cells)

    def undo(self, site: TargetSite, kept: Any, *, dry: bool) -> Result | Changed:
        """Give back what was; raise Conflict where somebody has changed it since."""
        made = _from_kept(kept)
        with site.change(dry=dry) as connection:
            back = take_back(connection, made, _site(site))
        if dry:
            return self._changes(site, cells_of(back))
        notes = site.drop_caches(back.stale)
        return Changed(self._changes(site, cells_of(back), notes), _kept(back))


def has_drifted(answer: Result, *, strict: bool = False) -> bool:
    """Tell whether a site's answer of `baseline.drift` has a cell that is not as it should be.

    What the site does not know counts only with `strict`.
    """
    if not isinstance(answer, Table):
        return False
    skipped = f"{Verdict.ABSENT}: "
    return any(strict or not str(row[-1]).startswith(skipped) for row in answer.rows)


def _cells(masks: Masks, cell: DesiredCell) -> tuple[Cell, Cell, Cell, Cell]:
    if cell.part != "setting":
        return cell.part, cell.name, cell.old, cell.new
    setting, shown = parse_setting(cell.name), masks.shown
    return cell.part, cell.name, shown(setting, cell.old), shown(setting, cell.new)


def _site(site: TargetSite) -> SiteConfiguration:
    return SiteConfiguration(site.forced, _activities(site.codebase))


def _activities(codebase: Path) -> Path | None:
    """Return where the code of activities lies, None where no tree can be read."""
    try:
        return MoodleTree.open(codebase).webroot / "mod"
    except VMoodleError:
        return None


def _note(cell: DesiredCell, not_set: str, unset: str) -> str:
    if cell.verdict != Verdict.CHANGE:
        return f"{cell.verdict}: {cell.reason}"
    if cell.part == "setting" and None in (cell.old, cell.new):
        return not_set if cell.old is None else unset
    return ""


def _kept(made: Made) -> dict[str, Any] | None:
    if made == Made(stale=made.stale):
        return None
    return {
        "settings": as_kept(made.settings),
        "roles": [plan.as_data() for plan in made.roles],
        "plugins": made.plugins.as_data(),
    }


def _from_kept(kept: Any) -> Made:
    return Made(
        tuple(from_kept(kept["settings"])),
        tuple(RolePlan.from_data(data) for data in kept["roles"]),
        PluginUndo.from_data(kept["plugins"]),
    )
