"""Killed at each step of a rehearsal, its copy is gone in the end and the site as it was."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests import servers
from tests.crash.copying import Killable, copying

from vmoodle.sandbox import copy_tree

KIND = "upgrade.rehearse"
STEPS = (
    "check", "account", "database", "files", "identity", "publish", "upgrade", "look", "withdraw",
    "drop", "finish",
)  # fmt: skip


@pytest.fixture(scope="module", params=["mariadb", "postgresql"])
def fleet(request: pytest.FixtureRequest) -> Iterator[Killable]:
    """The fleet, with a codebase that is newer, and one whose upgrade fails."""
    missing = getattr(servers, f"{request.param}_missing")()
    if missing:
        pytest.skip(missing)
    with copying(request.param) as made:
        for name, release in (("newer", "5.0.0"), ("broken", "5.1.0")):
            tree = copy_tree(made.fleet.home.parent / name, release=release)
            made.fleet.run("codebase", "add", name, str(tree))
        web = made.fleet.home.parent / "broken" / "public" / "lib" / "db"
        (web / "fail_upgrade").touch()
        yield made
        made.fleet.assert_clean()


def last(fleet: Killable) -> dict[str, object]:
    return dict(fleet.fleet.json("upgrade", "rehearsals")[0])


@pytest.fixture(autouse=True)
def untouched(fleet: Killable) -> Iterator[None]:
    """Nothing of the copy is left, and the site has what it had."""
    before, databases = fleet.content("first"), fleet.engine.list_databases()
    directories = sorted(fleet.dataroot("first").parent.iterdir())
    yield
    assert fleet.content("first") == before
    assert fleet.engine.list_databases() == databases
    assert sorted(fleet.dataroot("first").parent.iterdir()) == directories
    assert fleet.map_state("first.example.test") == "live"
    assert not list((fleet.fleet.home / "map").rglob("*rehearsal*"))
    assert fleet.fleet.json("site", "show", "first")["codebase"] == "sandbox"


def test_killed_at_each_step_it_comes_to_its_end(fleet: Killable) -> None:
    operation = fleet.order("rehearse", "newer", "first")
    fleet.killed_on_the_way(operation, KIND, STEPS[:6])
    for _again in range(2):
        assert fleet.killed_at(f"{KIND}/upgrade:amid")
    fleet.killed_on_the_way(operation, KIND, STEPS[6:])
    fleet.work()
    fleet.assert_ended(operation, "done")
    row = last(fleet)
    assert (row["state"], row["operation_id"]) == ("passed", operation)
    assert row["touched_tables"]


def test_cancelled_and_killed_on_its_way_back_it_leaves_nothing(fleet: Killable) -> None:
    operation = fleet.order("rehearse", "newer", "first")
    fleet.killed_backwards(operation, KIND, STEPS[:8])
    fleet.assert_ended(operation, "cancelled")
    assert last(fleet)["state"] == "cancelled"


def test_killed_after_the_upgrade_failed_it_still_says_so(fleet: Killable) -> None:
    operation = fleet.order("rehearse", "broken", "first")
    for step in reversed(STEPS[:7]):
        for moment in ("undo", "undone"):
            assert fleet.killed_at(f"{KIND}/{step}:{moment}"), (step, moment)
    fleet.work()
    fleet.assert_ended(operation, "reverted")
    row = last(fleet)
    assert (row["state"], row["error_code"]) == ("failed", "upgrade.failed")
