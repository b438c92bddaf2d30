"""How far an operation is, in words that say what is done to the site."""

from __future__ import annotations

from pathlib import Path

from tests.fleet import Fleet

from vmoodle.installation import Installation


def test_an_operation_says_how_far_it_is_and_what_it_is_at(
    installation: Installation, home: Path
) -> None:
    from vmoodle.registry import operations
    from vmoodle.registry.models import OperationState

    done, under_way, _queued = (
        operations.submit("site.create", site=site, node="elsewhere") for site in ("a", "b", "c")
    )
    for row, step, count in ((done, "finish", 10), (under_way, "install", 6)):
        operations.started(row.id, 10)
        operations.entered(row.id, step, count)
    operations.finished(done.id, OperationState.DONE)
    fleet = Fleet(home)
    listed = {line.split()[2]: line for line in fleet.run("operation", "list").stdout.splitlines()}
    assert "10 of 10 steps" in listed["a"]
    assert "6 of 10 steps: run Moodle's installer" in listed["b"]
    assert "not begun" in listed["c"]
    shown = fleet.run("operation", "show", under_way.id).stdout
    assert "progress     6 of 10 steps: run Moodle's installer\n" in shown
    facts = fleet.json("operation", "show", under_way.id)
    assert (facts["step"], facts["steps_done"], facts["steps_total"]) == ("install", 6, 10)
    assert installation.home


def test_a_step_that_this_release_does_not_know_is_told_by_its_name() -> None:
    from vmoodle.operations.plan import title_of_step

    assert title_of_step({}, "site.older", "brew") == "brew"
