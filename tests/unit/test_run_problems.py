"""What went wrong in a run is said once: equal errors together, and not again after a trial."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from importlib.metadata import EntryPoint

import pytest
from tests.published_sites import make_site

from vmoodle.errors import Refused, VMoodleError
from vmoodle.fleet import command_sets
from vmoodle.fleet.command import Command, Comparison, Effect
from vmoodle.fleet.parameters import Parameters
from vmoodle.fleet.problems import Fault, problem_groups
from vmoodle.fleet.result import Changed, Result, Scalar
from vmoodle.fleet.target_site import TargetSite
from vmoodle.installation import Installation

NAMES = ["a1", "a2", "b1", "b2"]


class Partly(Command[Parameters]):
    name, title, effect = "partly.write", "Change what can be.", Effect.WRITES

    def run(self, site: TargetSite) -> Result | Changed:
        if site.shortname == "b2":
            raise Refused("tests.late", "It is too late.", "Come earlier.")
        return Scalar("done")

    def dry_run(self, site: TargetSite) -> Result:
        if site.shortname.startswith("a"):
            raise Refused("tests.no", f"The site {site.shortname} says no.", "Ask another.")
        return Scalar("would do it")


class Judged(Partly):
    name, title = "partly.judged", "Change what nobody has."

    @classmethod
    def judge(
        cls,
        given: Parameters,  # noqa: ARG003
        answers: Mapping[str, Result],  # noqa: ARG003
        failures: Collection[VMoodleError],  # noqa: ARG003
    ) -> None:
        raise Refused("tests.nobody", "Nobody has it.", "Name another.")


class Silent(Command[Parameters]):
    name, title, effect = "partly.silent", "Compare nothing.", Effect.READS
    comparison = Comparison.MATRIX

    def run(self, site: TargetSite) -> Result:  # noqa: ARG002
        raise Refused("tests.no", "No.", "Ask another.")


@pytest.fixture
def fleet(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> Installation:
    entry = EntryPoint("partly", __name__, command_sets.GROUP)
    monkeypatch.setattr(command_sets, "entry_points", lambda **_group: [entry])
    for name in NAMES:
        make_site(installation, name)
    return installation


def test_equal_errors_are_told_once_and_not_again_after_the_trial(
    fleet: Installation, capsys: pytest.CaptureFixture[str]
) -> None:
    import typer

    from vmoodle.cli.run_start import carry_out
    from vmoodle.fleet.parameters import given
    from vmoodle.fleet.runs.order import prepare

    command = command_sets.find("partly.write")
    order = prepare(fleet, command, given(command.model, {}), "*")
    with pytest.raises(typer.Exit):
        carry_out(fleet, order, confirm="a1,a2,b1,b2")
    lines = capsys.readouterr().err.splitlines()
    assert [line for line in lines if "tests.no" in line] == [
        "2 sites (a1, a2): failed. The site SITE says no. [tests.no] Ask another."
    ]
    assert [line for line in lines if "tests.late" in line] == [
        "b2: failed. It is too late. [tests.late] Come earlier."
    ]
    assert "left out, as told: a1, a2" in lines
    assert lines[-1].startswith("4 site(s)") and "1 ok, 3 failed" in lines[-1]


def test_a_trial_that_went_well_nowhere_is_one_document_all_the_same(
    fleet: Installation, capsys: pytest.CaptureFixture[str]
) -> None:
    from vmoodle.cli.run_start import carry_out, order_of

    command = command_sets.find("partly.write")
    with pytest.raises(Refused) as refused:
        carry_out(fleet, order_of(fleet, command, {}, "a1", None), yes=True, json=True)
    assert refused.value.code == "run.trial"
    document = json.loads(capsys.readouterr().out)
    assert document["dry_run"] is True
    assert [one["error"]["code"] for one in document["results"]] == ["tests.no"]


@pytest.mark.parametrize("dry", [True, False])
def test_a_trial_whose_answers_speak_against_it_is_one_document_all_the_same(
    fleet: Installation, capsys: pytest.CaptureFixture[str], *, dry: bool
) -> None:
    from vmoodle.cli.run_start import carry_out, order_of

    command = command_sets.find("partly.judged")
    with pytest.raises(Refused, match="Nobody has it"):
        carry_out(fleet, order_of(fleet, command, {}, "b1", None), yes=True, dry=dry, json=True)
    document = json.loads(capsys.readouterr().out)
    assert [one["site"] for one in document["results"]] == ["b1"]


def test_only_so_many_different_errors_are_told_apart() -> None:
    rows = [
        Fault(f"s{n}", "failed", "x", message, "")
        for n, message in enumerate(["of s0", "of s1", "other", "more", "of s4", "of s44"])
    ]
    groups, others = problem_groups(rows, 2)
    assert [(one.message, one.sites) for one in groups] == [
        ("of SITE", ["s0", "s1", "s4"]), ("other", ["s2"])
    ]  # fmt: skip
    assert others == ["s3", "s5"]


def test_where_no_site_answers_it_is_not_said_that_none_differs(
    fleet: Installation, capsys: pytest.CaptureFixture[str]
) -> None:
    import typer

    from vmoodle.cli.run_start import carry_out, order_of

    command = command_sets.find("partly.silent")
    with pytest.raises(typer.Exit):
        carry_out(fleet, order_of(fleet, command, {}, "*", None))
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("4 sites (a1, a2, b1, b2): failed. No. [tests.no] Ask another.")
