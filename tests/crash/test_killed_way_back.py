"""Killed at each step of its way back from an upgrade, a site is on one version and serving."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests import servers
from tests.crash.copying import Killable, copying
from tests.crash.steps import steps

from vmoodle.sandbox import copy_tree

KIND = "site.upgrade_back"


@pytest.fixture(scope="module", params=["mariadb", "postgresql"])
def fleet(request: pytest.FixtureRequest) -> Iterator[Killable]:
    """The fleet, with a codebase that is newer; the copies of upgrades are kept."""
    missing = getattr(servers, f"{request.param}_missing")()
    if missing:
        pytest.skip(missing)
    with copying(request.param, keep_copy_hours=24) as made:
        tree = copy_tree(made.fleet.home.parent / "newer", release="5.0.0")
        made.fleet.run("codebase", "add", "newer", str(tree))
        yield made
        made.fleet.assert_clean()


def upgraded(fleet: Killable, name: str) -> dict[str, str]:
    """Clone a site, upgrade it, and return what it was before."""
    fleet.clone(name)
    before = fleet.content(name)
    operation = fleet.order("waves", "newer", name)
    fleet.work()
    fleet.assert_ended(operation, "done")
    assert codebase(fleet, name) == "newer"
    return before


def codebase(fleet: Killable, name: str) -> str:
    return str(fleet.fleet.json("site", "show", name)["codebase"])


def test_killed_at_each_step_it_is_what_it_was_before_its_upgrade(fleet: Killable) -> None:
    databases = len(fleet.engine.list_databases())
    before = upgraded(fleet, "forth")
    operation = fleet.order("back", "forth")
    fleet.killed_forwards(operation, KIND, steps(KIND))
    fleet.assert_ended(operation, "done")
    assert (codebase(fleet, "forth"), fleet.map_state("forth.example.test")) == ("sandbox", "live")
    assert fleet.content("forth") == before
    assert len(fleet.engine.list_databases()) == databases + 1
    assert list((fleet.fleet.home / "run").glob("upgrade-*")) == []


def test_killed_on_its_way_back_from_there_it_is_upgraded_and_keeps_its_copy(
    fleet: Killable,
) -> None:
    databases = len(fleet.engine.list_databases())
    upgraded(fleet, "stays")
    after = fleet.content("stays")
    operation = fleet.order("back", "stays")
    fleet.killed_backwards(operation, KIND, steps(KIND)[:-1])
    fleet.assert_ended(operation, "cancelled")
    assert (codebase(fleet, "stays"), fleet.map_state("stays.example.test")) == ("newer", "live")
    assert fleet.content("stays") == after
    assert len(fleet.engine.list_databases()) == databases + 2
