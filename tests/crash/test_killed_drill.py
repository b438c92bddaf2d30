"""Killed at each step, a drill goes on to its verdict or goes back, and leaves nothing.

The same for what else takes or uses snapshots: a run of the schedule, and the deletion of a site.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests import servers
from tests.crash.copying import Killable, copying
from tests.crash.steps import steps

KIND = "snapshot.drill"
STEPS = steps(KIND)


@pytest.fixture(scope="module")
def fleet() -> Iterator[Killable]:
    """The fleet with a snapshot of its site; MariaDB, which takes no creation back by itself."""
    servers.require("mariadb")
    with copying("mariadb") as made:
        made.fleet.run("snapshot", "create", "first")
        yield made
        made.fleet.assert_clean()


@pytest.fixture(autouse=True)
def nothing_is_left(fleet: Killable) -> Iterator[None]:
    """Fail a test after which a database, a directory or an entry of the map is left."""

    def seen() -> tuple[list[str], ...]:
        home = fleet.fleet.home
        return (
            [name for name in fleet.engine.list_databases() if not name.endswith("_ended")],
            [name for name in names(home / "moodledata") if name != "ended"],
            [name for name in names(home / "map" / "web") if not name.startswith("ended.")],
        )

    before = seen()
    yield
    assert seen() == before


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_a_drill_killed_at_each_step_comes_to_its_verdict(fleet: Killable) -> None:
    (taken,) = fleet.snapshots_stored()
    operation = fleet.order("drill", taken)
    published = STEPS.index("publish") + 1
    fleet.killed_on_the_way(operation, KIND, STEPS[:published])
    # Whoever rebuilds the map meanwhile does not take the copy away from the drill.
    before = names(fleet.fleet.home / "map" / "web")
    fleet.fleet.run("hook", "rebuild")
    assert names(fleet.fleet.home / "map" / "web") == before
    assert len(before) == 2
    (waits,) = fleet.look(operation)["doctor"]
    assert operation in waits
    fleet.killed_forwards(operation, KIND, STEPS[published:])
    fleet.assert_ended(operation, "done")
    assert fleet.fleet.json("snapshot", "show", taken)["drilled_ok"] is True


def test_a_drill_killed_while_it_is_taken_back_leaves_nothing(fleet: Killable) -> None:
    (taken,) = fleet.snapshots_stored()
    operation = fleet.order("drill", taken)
    fleet.killed_backwards(operation, KIND, STEPS[: STEPS.index("look")])
    fleet.assert_ended(operation, "cancelled")


@pytest.mark.parametrize(("step", "amid"), [("database", True), ("look", False)])
def test_a_drill_whose_server_goes_away_says_nothing_of_the_snapshot(
    fleet: Killable, step: str, amid: bool
) -> None:
    (taken,) = fleet.snapshots_stored()
    before = fleet.fleet.json("snapshot", "show", taken)
    operation = fleet.order("drill", taken)
    assert fleet.killed_at(f"{KIND}/{step}:before")
    process = fleet.server.process
    assert process is not None
    if amid:
        fleet.ask(do="work", stops=process.pid)
        process.wait(servers.LIMIT)
        seen = fleet.look(operation)
        fleet.server.start()
    else:
        with fleet.server.stopped():
            fleet.work()
            seen = fleet.look(operation)
    assert (seen["state"], seen["code"]) == ("needs attention", "engine.connect")
    fleet.order("revert", operation)
    fleet.work()
    fleet.assert_ended(operation, "reverted")
    assert fleet.fleet.json("snapshot", "show", taken) == before


def test_a_drill_cancelled_after_its_last_step_goes_back_without_its_password(
    fleet: Killable,
) -> None:
    (taken,) = fleet.snapshots_stored()
    operation = fleet.order("drill", taken)
    assert fleet.killed_at(f"{KIND}/finish:after")
    fleet.order("cancel", operation)
    fleet.work()
    fleet.assert_ended(operation, "cancelled")


def test_a_run_killed_at_each_step_takes_one_snapshot_of_each_site(fleet: Killable) -> None:
    before = fleet.snapshots_stored()
    operation = fleet.order("run", "2026-03-02T02:30:00+00:00")
    fleet.killed_forwards(operation, "snapshot.schedule", ("collect", "order"))
    fleet.assert_ended(operation, "done")
    assert len(fleet.snapshots_stored()) == len(before) + 1


def test_a_deletion_killed_at_each_step_keeps_one_snapshot_or_takes_none(fleet: Killable) -> None:
    steps = ("check", "withdraw", "snapshot", "keep")
    fleet.clone("ended")
    before = fleet.snapshots_stored()
    operation = fleet.order("end", "ended")
    fleet.killed_backwards(operation, "site.delete", steps)
    fleet.assert_ended(operation, "cancelled")
    assert fleet.snapshots_stored() == before
    assert fleet.map_state("ended.example.test") == "suspended"
    # Nothing is left of its being deleted: neither a grace period nor a tombstone.
    assert fleet.fleet.json("site", "show", "ended")["kept_until"] == ""
    words = ("site", "purge", "ended", "--now", "--confirm", "other")
    assert fleet.fleet.problem(*words)["code"] == "site.delete.unconfirmed"
    assert not fleet.tombstone("ended.example.test")
    operation = fleet.order("end", "ended")
    fleet.killed_forwards(operation, "site.delete", steps)
    fleet.assert_ended(operation, "done")
    (taken,) = set(fleet.snapshots_stored()) - set(before)
    assert fleet.fleet.json("snapshot", "show", taken)["pinned"]
    assert fleet.map_state("ended.example.test") == "deleted"
