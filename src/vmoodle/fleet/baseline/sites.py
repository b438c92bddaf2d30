"""For which sites a baseline's exceptions hold, and which run applied it to them last."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from vmoodle.errors import NotFound
from vmoodle.fleet.runs import order as orders
from vmoodle.fleet.targets.choose import choose_expression
from vmoodle.registry import runs

if TYPE_CHECKING:
    from vmoodle.fleet.baseline.document import Baseline
    from vmoodle.fleet.command import AnyCommand
    from vmoodle.fleet.runs.order import Order
    from vmoodle.installation import Installation
    from vmoodle.registry.fleet_models import Run

APPLY = "baseline.apply"
_LATEST = 1000


@dataclass(frozen=True)
class ExceptionSites:
    """The numbers of the exceptions that hold for a site, and the sites that could not be asked."""

    numbers: dict[str, list[int]] = field(default_factory=dict)
    undecided: list[str] = field(default_factory=list)


def exception_sites(installation: Installation, baseline: Baseline) -> ExceptionSites:
    """Work out what each exception means; one that means no site holds for none."""
    found = ExceptionSites()
    for number, one in enumerate(baseline.exceptions):
        try:
            choice = choose_expression(installation, one.expression)
        except NotFound as error:
            if error.code != "target.none":
                raise
            continue
        for site in choice.sites:
            found.numbers.setdefault(site.shortname, []).append(number)
        found.undecided.extend(choice.undecided)
    return found


def undo_order(
    installation: Installation, command: type[AnyCommand], baseline: str, target: str
) -> Order:
    """Return the order that takes back the newest apply of a baseline on the sites that are meant.

    Raise NotFound `baseline.applied` where it was applied to none of them, or is taken back.
    """
    names = {site.shortname for site in choose_expression(installation, target).sites}
    run = _newest(baseline, names)
    whole = orders.undo(installation, run, command)
    return replace(
        whole,
        sites=tuple((number, name) for number, name in whole.sites if name in names),
        left_out={name: error for name, error in whole.left_out.items() if name in names},
    )


def _newest(baseline: str, names: set[str]) -> Run:
    for run in runs.search(command=APPLY, limit=_LATEST):
        is_apply = not run.dry and not run.undo_of and run.parameters.get("name") == baseline
        if is_apply and not names.isdisjoint(runs.undoable(run.id)):
            return run
    raise NotFound(
        "baseline.applied",
        f"There is nothing of the baseline {baseline!r} to take back on these sites.",
        f"`vmoodle run list --command {APPLY}` shows what was applied.",
    )
