"""Whether sites are to be upgraded, and which plugins differ from the code: told without PHP."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

from pydantic import Field

from vmoodle.fleet.code_trees import CodeTrees
from vmoodle.fleet.command import Command, Comparison, Effect
from vmoodle.fleet.result import Cell, Result, Table
from vmoodle.fleet.target_site import TargetSite
from vmoodle.fleet.upgrade.target import ToCodebase
from vmoodle.moodle.plugins.states import CodeState
from vmoodle.moodle.upgrades.code import read_upgrade_code
from vmoodle.moodle.upgrades.path import short_release
from vmoodle.moodle.upgrades.pending import Pending, PluginDrift, drift, pending
from vmoodle.moodle.upgrades.state import SiteVersions, read_site_versions

if TYPE_CHECKING:
    from vmoodle.installation import Installation

CORE = "Moodle"
_COLUMNS = ("what", "subject", "installed", "on_disk")
# Told one by one even of plugins that Moodle itself brings.
_ALWAYS_TOLD = frozenset({CodeState.DOWNGRADE, CodeState.UNKNOWN})


class Against(ToCodebase):
    """What sites are compared with."""

    every: bool = Field(
        default=False, description="Each plugin of Moodle's own too, not only how many there are."
    )


class UpgradePending(Command[Against]):
    """Tell whether an upgrade is pending, and what it would change."""

    name = "upgrade.pending"
    title = "Tell whether an upgrade is pending, why, and which plugins differ from the code."
    effect = Effect.READS
    model = Against
    comparison = Comparison.BY_ROW

    def __init__(self, given: Against) -> None:
        super().__init__(given)
        self._trees = CodeTrees(read_upgrade_code)

    @classmethod
    def settle(cls, given: Against, installation: Installation) -> Against:  # noqa: ARG003
        """Look the codebase up."""
        return given.settled()

    def run(self, site: TargetSite) -> Result:
        """Return a row for Moodle itself, then one for each plugin that differs."""
        code = self._trees.at(self.given.path_for(site.codebase))
        with site.connect() as connection:
            versions = read_site_versions(connection)
        rows: list[tuple[Cell, ...]] = [
            (
                str(pending(versions, code)),
                CORE,
                _named(versions.release, versions.version),
                _named(code.tree.version.release, code.tree.version.version),
            )
        ]
        rows += _locks(versions)
        rows += self._plugins(drift(versions, code))
        return Table(_COLUMNS, tuple(rows))

    def _plugins(self, found: Iterable[PluginDrift]) -> list[tuple[Cell, ...]]:
        rows: list[tuple[Cell, ...]] = []
        standard: Counter[CodeState] = Counter()
        for one in found:
            if one.standard and not self.given.every and one.what not in _ALWAYS_TOLD:
                standard[one.what] += 1
            else:
                rows.append((str(one.what), one.component, one.installed, one.disk))
        for what, count in sorted(standard.items()):
            rows.append((str(what), f"{count} of Moodle's own plugins", None, None))
        return rows


def is_pending(answer: Result) -> bool:
    """Tell whether an answer of the command says that an upgrade is pending."""
    words = {str(row[0]) for row in answer.rows if row[1] == CORE} if (
        isinstance(answer, Table)
    ) else set()  # fmt: skip
    return any(Pending(word).is_pending for word in words)


def _locks(site: SiteVersions) -> list[tuple[Cell, ...]]:
    rows: list[tuple[Cell, ...]] = []
    if site.upgrade_ends > time.time():
        rows.append(("an upgrade is under way", "the site is closed until it ends", None, None))
    if site.cli_only:
        rows.append(("upgrades only by the command line", "outagelessupgrade is set", None, None))
    return rows


def _named(release: str, version: str) -> str:
    return f"{short_release(release)} ({version})" if version else release
