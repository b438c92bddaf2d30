"""Killed at each step of an upgrade, a site is on one version, whole and serving."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests import servers
from tests.crash.copying import Killable, copying

from vmoodle.sandbox import copy_tree

KIND = "site.upgrade"
STEPS = ("check", "prepare", "tasks", "close", "copy", "code", "upgrade", "open", "release")


@pytest.fixture(scope="module", params=["mariadb", "postgresql"])
def fleet(request: pytest.FixtureRequest) -> Iterator[Killable]:
    """The fleet, with a codebase that is newer, and one whose upgrade fails."""
    servers.require(request.param)
    with copying(request.param) as made:
        for name, release in (("newer", "5.0.0"), ("broken", "5.1.0")):
            tree = copy_tree(made.fleet.home.parent / name, release=release)
            made.fleet.run("codebase", "add", name, str(tree))
        web = made.fleet.home.parent / "broken" / "public" / "lib" / "db"
        (web / "fail_upgrade").touch()
        yield made
        made.fleet.assert_clean()


def release(fleet: Killable, name: str) -> str:
    """Return the release that a site's database says, and that of its codebase."""
    return str(fleet.config(fleet.database(name))["release"])


def assert_serving(fleet: Killable, name: str, codebase: str, databases: int) -> None:
    assert fleet.fleet.json("site", "show", name)["codebase"] == codebase
    assert fleet.map_state(f"{name}.example.test") == "live"
    assert len(fleet.engine.list_databases()) == databases
    assert list((fleet.fleet.home / "run").glob("upgrade-*")) == []


def test_killed_at_each_step_it_is_upgraded_and_the_next_begins(fleet: Killable) -> None:
    for name in ("forth", "behind"):
        fleet.clone(name)
    databases = len(fleet.engine.list_databases())
    operation = fleet.order("waves", "newer", "forth", "behind")
    fleet.killed_on_the_way(operation, KIND, STEPS[:6])
    assert fleet.map_state("forth.example.test") == "deploying"
    for _again in range(2):
        assert fleet.killed_at(f"{KIND}/upgrade:amid")
    fleet.killed_on_the_way(operation, KIND, STEPS[6:])
    fleet.work()
    fleet.assert_ended(operation, "done")
    for name in ("forth", "behind"):
        assert release(fleet, name).startswith("5.0.0")
        assert_serving(fleet, name, "newer", databases)
        # What an upgrade that was cut off had written is not in it.
        assert "half" not in fleet.config(fleet.database(name))
    (upgrade,) = fleet.fleet.json("upgrade", "list")
    assert (upgrade["state"], upgrade["summary"]) == ("done", {"done": 2})


def test_killed_on_its_way_back_it_is_what_it_was(fleet: Killable) -> None:
    fleet.clone("back")
    before, databases = fleet.content("back"), len(fleet.engine.list_databases())
    config = fleet.config(fleet.database("back"))
    operation = fleet.order("waves", "newer", "back")
    fleet.killed_backwards(operation, KIND, STEPS[:8])
    fleet.assert_ended(operation, "cancelled")
    assert fleet.content("back") == before
    assert fleet.config(fleet.database("back")) == config
    assert_serving(fleet, "back", "sandbox", databases)
    upgrade = fleet.fleet.json("upgrade", "list")[0]
    assert (upgrade["state"], upgrade["summary"]) == ("paused", {"cancelled": 1})
    fleet.fleet.run("upgrade", "cancel", upgrade["upgrade"])


def test_one_that_served_for_long_goes_back_only_where_somebody_says_so(fleet: Killable) -> None:
    fleet.clone("served")
    before = fleet.content("served")
    operation = fleet.order("waves", "newer", "served")
    assert fleet.killed_at(f"{KIND}/open:after")
    fleet.date_back(operation, "opened", 3600)
    fleet.order("cancel", operation)
    fleet.work()
    seen = fleet.look(operation)
    assert seen["state"] == "needs attention"
    assert fleet.map_state("served.example.test") == "live"
    assert release(fleet, "served").startswith("5.0.0")
    (row,) = fleet.fleet.json("upgrade", "list")[0]["summary"].items()
    assert row == ("needs attention", 1)
    fleet.order("revert", operation)
    fleet.work()
    fleet.assert_ended(operation, "reverted", "cancelled")
    assert fleet.content("served") == before
    assert fleet.map_state("served.example.test") == "live"
    fleet.fleet.run("upgrade", "cancel", fleet.fleet.json("upgrade", "list")[0]["upgrade"])


def test_killed_while_a_failed_upgrade_goes_back_the_rest_is_halted(fleet: Killable) -> None:
    for name in ("canary", "rest"):
        fleet.clone(name)
    before, databases = fleet.content("canary"), len(fleet.engine.list_databases())
    operation = fleet.order("waves", "broken", "canary", "rest")
    for step in reversed(STEPS[:7]):
        for moment in ("undo", "undone"):
            assert fleet.killed_at(f"{KIND}/{step}:{moment}"), (step, moment)
    fleet.work()
    fleet.assert_ended(operation, "reverted")
    assert fleet.content("canary") == before
    assert_serving(fleet, "canary", "sandbox", databases)
    upgrade = fleet.fleet.json("upgrade", "list")[0]
    assert (upgrade["state"], upgrade["summary"]) == ("halted", {"failed": 1, "waiting": 1})
    assert fleet.fleet.json("site", "show", "rest")["codebase"] == "sandbox"
    fleet.fleet.run("upgrade", "cancel", upgrade["upgrade"])
