"""What two runs tell differently: cell by cell, each difference once with its sites."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from typing import TYPE_CHECKING

import pytest
from tests.fleet import Fleet
from tests.published_sites import make_site

from vmoodle.errors import Refused
from vmoodle.fleet import command_sets
from vmoodle.fleet.command import Command, Effect
from vmoodle.fleet.parameters import Parameters
from vmoodle.fleet.result import Matrix, Result, Scalar, Table
from vmoodle.fleet.target_site import TargetSite
from vmoodle.installation import Installation

if TYPE_CHECKING:
    from vmoodle.registry.fleet_models import Run

NAMES = ["a1", "a2", "b1"]
COLUMNS = ("setting", "value", "forced")


class Form(Parameters):
    """What is answered."""

    form: str
    later: bool = False


class Say(Command[Form]):
    name, title, effect, model = "tests.say", "Answer.", Effect.READS, Form

    def run(self, site: TargetSite) -> Result:
        # On b1 nothing is ever another.
        later = self.given.later and site.shortname != "b1"
        match self.given.form:
            case "matrix":
                return Matrix({"x": 1, "y": None} if later else {"x": 2, "z": "old"})
            case "named":
                rows = (("theme", "classic" if later else "boost", False), ("lang", "en", False))
                return Table(COLUMNS, rows[:1] if later else rows)
            case "unnamed":
                return Table(("n", "m"), ((1, 1), (1, 3 if later else 2)))
            case "error" if later:
                raise Refused("tests.no", "No.", "Ask another.")
        return Scalar("new" if later else "old")


@pytest.fixture
def fleet(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> Installation:
    entry = EntryPoint("say", __name__, command_sets.GROUP)
    monkeypatch.setattr(command_sets, "entry_points", lambda **_group: [entry])
    for name in NAMES:
        make_site(installation, name)
    return installation


def ask(fleet: Installation, form: str, *, later: bool = False, on: str = "*") -> Run:
    from vmoodle.fleet.parameters import given
    from vmoodle.fleet.runs.order import prepare, write_down
    from vmoodle.fleet.runs.runner import run_here

    command = command_sets.find("tests.say")
    values = given(Form, {"form": form, "later": later})
    return run_here(fleet, write_down(fleet, prepare(fleet, command, values, on)))


@pytest.mark.parametrize(
    ("form", "differences"),
    [
        ("scalar", [("", "old", "new")]),
        ("error", [("", "old", "failed: No. [tests.no]")]),
        (
            "matrix",
            [("x", "2", "1"), ("y", "(not there)", "NULL"), ("z", "old", "(not there)")],
        ),
        ("named", [("lang", "en, False", "(not there)"), ("theme: value", "boost", "classic")]),
        ("unnamed", [("row", "(not there)", "1, 3"), ("row", "1, 2", "(not there)")]),
    ],
)
def test_equal_differences_stand_once_with_their_sites(
    fleet: Installation, form: str, differences: list[tuple[str, str, str]]
) -> None:
    from vmoodle.fleet.runs.diff import grouped_differences

    found, more = grouped_differences(ask(fleet, form), ask(fleet, form, later=True), 100)
    assert sorted((one.what, one.before, one.after) for one in found) == differences
    assert all(one.sites == ["a1", "a2"] for one in found)
    assert more == 0


def test_sites_of_one_run_alone_are_told_and_so_is_how_many_are_not_shown(
    fleet: Installation,
) -> None:
    from vmoodle.fleet.runs.diff import grouped_differences

    few, all_of_them = ask(fleet, "scalar", on="b1"), ask(fleet, "matrix")
    found, more = grouped_differences(few, all_of_them, 1)
    assert [(one.before, one.sites) for one in found] == [("(not among the sites)", ["a1", "a2"])]
    assert more == 1


def test_the_program_shows_a_table_with_the_sites(fleet: Installation) -> None:
    before, after = ask(fleet, "named"), ask(fleet, "named", later=True)
    shown = Fleet(fleet.home.path).run("run", "diff", before.id, after.id).stdout.splitlines()
    assert shown[0].split() == ["WHAT", "BEFORE", "AFTER", "SITES", "WHICH"]
    assert "theme: value  boost      classic      2      a1, a2" in shown
    same = Fleet(fleet.home.path).run("run", "diff", before.id, before.id).stdout
    assert same == "No differences.\n"
