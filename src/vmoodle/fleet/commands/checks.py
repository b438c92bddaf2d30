"""Moodle's own checks of sites: compared, those that are bad with their reasons, and the sum."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Literal

from pydantic import Field

from vmoodle.errors import Failed
from vmoodle.fleet.command import Command, Comparison, Effect
from vmoodle.fleet.parameters import Parameters
from vmoodle.fleet.result import Matrix, Result, Table
from vmoodle.fleet.target_site import TargetSite, script_failed
from vmoodle.moodle.scripts.health_checks import SCRIPT, Check, Status, read_checks

_MOST_NAMES = 5


class ChosenChecks(Parameters):
    """Which checks."""

    filter: str = Field(default="", description="Only checks with this in their name, as cron.")
    type: Literal["status", "security", "performance"] = Field(
        default="status", description="Which of Moodle's sets of checks."
    )


class _Checks(Command[ChosenChecks]):
    effect = Effect.READS
    model = ChosenChecks
    scripts = True
    timeout = 120

    def checks(self, site: TargetSite) -> list[Check]:
        """Run the checks on the site; raise Failed `checks.none`, `script.failed`."""
        words = ["--verbose", f"--type={self.given.type}"]
        if self.given.filter:
            words.append(f"--filter={self.given.filter}")
        done = site.run_script(SCRIPT, words)
        found = read_checks(done)
        if found is None:
            raise script_failed(SCRIPT, done)
        if not found:
            raise Failed(
                "checks.none",
                f"The site has no check with {self.given.filter!r} in its name.",
                "Ask for all of them to see their names.",
            )
        return found


class CompareChecks(_Checks):
    """Put the checks of many sites side by side."""

    name = "checks.compare"
    title = "Run Moodle's own checks: what most sites say, and who says something else."
    comparison = Comparison.MATRIX

    def run(self, site: TargetSite) -> Result:
        """Return each check's status."""
        return Matrix({check.ref: str(check.status) for check in self.checks(site)})


class Problems(_Checks):
    """Tell the reasons."""

    name = "checks.problems"
    title = "Run Moodle's own checks: those that are not well, with the reason."
    comparison = Comparison.MERGED

    def run(self, site: TargetSite) -> Result:
        """Return the checks with which there is something to do, the worst first."""
        order = list(Status)
        bad = [check for check in self.checks(site) if check.status.is_bad]
        bad.sort(key=lambda check: (-order.index(check.status), check.ref))
        return Table(
            ("check", "status", "reason"),
            tuple((check.ref, str(check.status), check.summary) for check in bad),
        )


class Health:
    """The fleet's health as Nagios takes it: a status, and one line."""

    LABELS = ("OK", "WARNING", "CRITICAL", "UNKNOWN")
    _EXIT: Mapping[str, int] = {
        "unknown": 3, "warning": 1, "error": 2, "critical": 2,
    }  # fmt: skip
    # Which of two counts for more.
    _WEIGHT = (0, 2, 3, 1)

    def __init__(self, answers: Iterable[tuple[str, Result]], silent: Iterable[str] = ()) -> None:
        self._silent = list(silent)
        self._sites: dict[int, list[str]] = {0: [], 1: [], 2: [], 3: list(self._silent)}
        self._worst: Counter[tuple[int, str]] = Counter()
        for site, result in answers:
            cells = result.cells if isinstance(result, Matrix) else {}
            statuses = {ref: self._EXIT.get(str(cell), 0) for ref, cell in cells.items()}
            worst = max(statuses.values(), key=self._weight, default=0)
            self._sites[worst].append(site)
            self._worst.update((s, ref) for ref, s in statuses.items() if s)

    @property
    def exit_status(self) -> int:
        """The plugin's exit status: 0 well, 1 warning, 2 critical, 3 unknown."""
        return max((s for s, sites in self._sites.items() if sites), key=self._weight, default=3)

    @property
    def line(self) -> str:
        """The plugin's line, with the counts behind the bar."""
        total = sum(map(len, self._sites.values()))
        counts = " ".join(
            f"{label.lower()}={len(self._sites[s])}" for s, label in enumerate(self.LABELS)
        )
        told = [self._told(s) for s in (2, 1, 3) if self._sites[s]]
        said = "; ".join(told) or f"all {total} site(s) are well"
        return f"{self.LABELS[self.exit_status]}: {said} | sites={total} {counts}"

    def _told(self, status: int) -> str:
        sites = self._sites[status]
        names = ", ".join(sorted(sites)[:_MOST_NAMES])
        more = f" and {len(sites) - _MOST_NAMES} more" if len(sites) > _MOST_NAMES else ""
        refs = [ref for (s, ref), _count in self._worst.most_common() if s == status]
        why = f" by {', '.join(refs[:3])}" if refs else ""
        silent = f" ({len(self._silent)} did not answer)" if status == 3 and self._silent else ""
        word = self.LABELS[status].lower()
        return f"{len(sites)} site(s) {word}{why}: {names}{more}{silent}"

    def _weight(self, status: int) -> int:
        return self._WEIGHT[status]
