"""Killed at each step and at random moments, copies end whole or leave nothing.

The source is never changed. VMOODLE_RANDOM_KILLS says how often each kind of operation is killed
at random (default 5), VMOODLE_RANDOM_SEED repeats a run.
"""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests import servers
from tests.checksums import checksum
from tests.contract.copies import OLD
from tests.crash.copying import ENDED, Killable, copying
from tests.crash.steps import steps
from tests.disk import fill, small_disk

from vmoodle.moodle.database import content_urls

KILLS = int(os.environ.get("VMOODLE_RANDOM_KILLS", "5"))
SEED = int(os.environ.get("VMOODLE_RANDOM_SEED", "0")) or random.randrange(1 << 32)  # noqa: S311
LONGEST = 0.6
"""Seconds within which an executor is killed; most operations take less."""
DISK_BYTES = 320 * 2**20
BULK_BYTES = 130 * 2**20
LEFT_BYTES = 112 * 2**20
"""More than a new moodledata must have, less than the bulk."""

COPYING = ("claim", "database", "files", "identity")
DEPLOY = steps("site.deploy")
CAPTURE = steps("template.create")
MOVE = steps("site.move")
RESTORE = steps("snapshot.restore")
DROP = steps("template.delete")


@pytest.fixture(
    scope="module",
    params=["mariadb", "postgresql"],
)
def fleet(request: pytest.FixtureRequest) -> Iterator[Killable]:
    """The fleet; at the end its source is as it was, and every site it has serves."""
    servers.require(request.param)
    with copying(request.param) as made:
        before = made.content("first")
        yield made
        assert made.content("first") == before
        assert all(row["ok"] for row in made.fleet.json("hook", "check"))
        made.fleet.assert_clean()


@pytest.fixture(autouse=True)
def source_unchanged(fleet: Killable) -> Iterator[None]:
    """Fail a test after which the source's database is another."""
    before = checksum(fleet.engine, fleet.database("first"))
    yield
    assert checksum(fleet.engine, fleet.database("first")) == before


def assert_a_sister(fleet: Killable, shortname: str) -> None:
    """Fail unless the site is whole, has the source's files and its own address."""
    host = f"http://{shortname}.example.test"
    with fleet.engine.connect(fleet.database(shortname)) as connection:
        assert content_urls.find(connection, OLD) == []
        assert ("role", "description", 1) in content_urls.find(connection, host)
    of_files = {k: v for k, v in fleet.content("first").items() if k.startswith("filedir/")}
    assert {
        k: v for k, v in fleet.content(shortname).items() if k.startswith("filedir/")
    } == of_files
    assert fleet.map_state(f"{shortname}.example.test") == "live"


@pytest.mark.parametrize(
    ("name", "source", "warm", "killed"),
    [
        ("cold", "template:base", 0, DEPLOY),
        ("warm", "template:base", 1, DEPLOY),
        ("clone", "site:first", 0, COPYING),
    ],
)
def test_a_deployment_killed_at_each_step_ends_in_a_site_of_its_own(
    fleet: Killable, name: str, source: str, warm: int, killed: tuple[str, ...]
) -> None:
    keep(fleet, warm)
    operation = fleet.order("deploy", name, source)
    early = tuple(step for step in killed if step not in DEPLOY[DEPLOY.index("publish") :])
    for step in early:
        assert fleet.killed_at(f"site.deploy/{step}:before")
        assert fleet.killed_at(f"site.deploy/{step}:after")
        assert fleet.map_state(f"{name}.example.test") in {"", "deploying"}
    fleet.killed_forwards(operation, "site.deploy", killed[len(early) :])
    fleet.assert_ended(operation, "done")
    assert_a_sister(fleet, name)
    assert ("_w_" in fleet.database(name).name) == bool(warm)
    keep(fleet, 0)


@pytest.mark.parametrize(
    ("name", "source", "warm", "killed"),
    [
        ("cold-b", "template:base", 0, DEPLOY[:-2]),
        ("warm-b", "template:base", 1, DEPLOY[:-2]),
        ("warm-c", "template:base", 1, DEPLOY[:2]),
        ("warm-d", "template:base", 1, DEPLOY[:3]),
        ("clone-b", "site:first", 0, COPYING),
    ],
)
def test_a_deployment_killed_while_it_is_taken_back_leaves_nothing(
    fleet: Killable, name: str, source: str, warm: int, killed: tuple[str, ...]
) -> None:
    keep(fleet, warm)
    before = fleet.engine.list_databases()
    operation = fleet.order("deploy", name, source)
    fleet.killed_backwards(operation, "site.deploy", killed)
    fleet.assert_ended(operation, "cancelled")
    assert not fleet.site_exists(name)
    assert len(fleet.engine.list_databases()) == len(before) - warm
    assert fleet.map_state(f"{name}.example.test") == ""
    keep(fleet, 0)


def keep(fleet: Killable, count: int) -> None:
    """Have so many copies of the template wait."""
    fleet.work()
    fleet.order("keep", "base", count)
    fleet.work()
    assert len(fleet.waiting()) == count
    assert set(fleet.waiting()) <= set(fleet.engine.list_databases())


def test_copies_killed_while_they_are_made_wait_whole(fleet: Killable) -> None:
    for count in (2, 0):
        operation = fleet.order("keep", "base", count)
        fleet.killed_forwards(operation, "template.fill", ("trim", "fill"))
        fleet.assert_ended(operation, "done")
        assert len(fleet.waiting()) == count
    operation = fleet.order("keep", "base", 1)
    fleet.killed_backwards(operation, "template.fill", ("trim", "fill"))
    fleet.assert_ended(operation, "cancelled")
    keep(fleet, 0)


def test_making_copies_cancelled_amid_the_drop_of_one_leaves_none_half_dropped(
    fleet: Killable,
) -> None:
    keep(fleet, 1)
    operation = fleet.order("keep", "base", 0)
    assert fleet.killed_at("template.fill/trim:amid")
    assert fleet.waiting() == []
    fleet.order("cancel", operation)
    fleet.work()
    fleet.assert_ended(operation, "cancelled")


def test_a_template_killed_at_each_step_is_whole_and_then_gone(fleet: Killable) -> None:
    before = fleet.engine.list_databases()
    operation = fleet.order("capture", "killed", "first")
    fleet.killed_forwards(operation, "template.create", CAPTURE)
    fleet.assert_ended(operation, "done")
    site = fleet.order("deploy", "of-killed", "template:killed")
    fleet.work()
    fleet.assert_ended(site, "done")
    assert_a_sister(fleet, "of-killed")
    fleet.order("keep", "killed", 1)
    fleet.work()
    operation = fleet.order("drop", "killed")
    fleet.killed_forwards(operation, "template.delete", DROP)
    fleet.assert_ended(operation, "done")
    assert len(fleet.engine.list_databases()) == len(before) + 1


def test_a_template_killed_while_it_is_taken_back_leaves_nothing(fleet: Killable) -> None:
    before = fleet.engine.list_databases()
    operation = fleet.order("capture", "back", "first")
    fleet.killed_backwards(operation, "template.create", CAPTURE)
    fleet.assert_ended(operation, "cancelled")
    assert fleet.engine.list_databases() == before
    problem = fleet.fleet.problem("template", "show", "back")
    assert problem["code"] == "template.unknown"


def test_a_deletion_that_is_cancelled_in_time_leaves_the_template_ready(fleet: Killable) -> None:
    operation = fleet.order("drop", "base")
    assert fleet.killed_at("template.delete/close:before")
    fleet.order("cancel", operation)
    assert fleet.killed_at("template.delete/close:undone")
    fleet.work()
    fleet.assert_ended(operation, "cancelled")
    assert fleet.fleet.json("template", "show", "base")["state"] == "ready"


def test_a_move_killed_at_each_step_ends_at_the_new_address(fleet: Killable) -> None:
    fleet.clone("mover")
    plant_keys(fleet, "mover")
    operation = fleet.order("move", "mover", "http://moved.example.test/school")
    fleet.killed_forwards(operation, "site.move", MOVE)
    fleet.assert_ended(operation, "done")
    with fleet.engine.connect(fleet.database("mover")) as connection:
        assert content_urls.find(connection, "http://mover.example.test") == []
    new = "http://moved.example.test/school"
    sql = "SELECT description FROM {role} WHERE shortname = 'student'"
    assert fleet.rows(fleet.database("mover"), sql) == [(f"see {new}/x",)]
    assert (
        fleet.rows(
            fleet.database("mover"),
            "SELECT value FROM {config_plugins} WHERE plugin IN ('vmoodle', 'mnet')",
        )
        == []
    )
    assert fleet.map_state("moved.example.test+school") == "live"


def plant_keys(fleet: Killable, shortname: str) -> None:
    """Give a site a pair of MNET keys."""
    with fleet.engine.connect(fleet.database(shortname), read_only=False) as connection:
        connection.execute(
            "INSERT INTO {config_plugins} (plugin, name, value) VALUES ('mnet', 'openssl', 'keys')"
        )


def test_a_move_killed_while_it_is_taken_back_changes_nothing(fleet: Killable) -> None:
    fleet.clone("stayer")
    plant_keys(fleet, "stayer")
    before = fleet.content("stayer")
    operation = fleet.order("move", "stayer", "http://elsewhere.example.test")
    fleet.killed_backwards(operation, "site.move", MOVE[:-1])
    fleet.assert_ended(operation, "cancelled")
    assert fleet.content("stayer") == before
    assert fleet.map_state("stayer.example.test") == "live"
    assert fleet.map_state("elsewhere.example.test") == ""


def test_a_move_cancelled_before_it_rewrites_leaves_what_others_wrote(fleet: Killable) -> None:
    fleet.clone("linker")
    with fleet.engine.connect(fleet.database("linker"), read_only=False) as connection:
        connection.execute(
            "UPDATE {role} SET description = 'http://new.example.test/' WHERE shortname = 'student'"
        )
    before = fleet.content("linker")
    operation = fleet.order("move", "linker", "http://new.example.test")
    assert fleet.killed_at("site.move/rewrite:before")
    fleet.order("cancel", operation)
    fleet.work()
    fleet.assert_ended(operation, "cancelled")
    assert fleet.content("linker") == before


def test_a_move_whose_database_goes_meanwhile_is_taken_back(fleet: Killable) -> None:
    fleet.clone("sunk")
    operation = fleet.order("move", "sunk", "http://raised.example.test")
    assert fleet.killed_at("site.move/rewrite:before")
    gone = replace(fleet.database("sunk"), account=fleet.engine.address.user)
    fleet.engine.drop_database(gone)
    fleet.work()
    shown = fleet.fleet.json("operation", "show", operation)
    assert (shown["state"], shown["error"]) == ("reverted", "engine.database.missing")
    assert fleet.map_state("sunk.example.test") == "live"
    fleet.fleet.run("site", "suspend", "sunk")
    fleet.fleet.run("site", "delete", "sunk", "--confirm", "sunk", "--purge", "--no-snapshot")


def test_the_address_a_site_is_moving_from_is_kept_for_the_way_back(fleet: Killable) -> None:
    fleet.clone("roamer")
    operation = fleet.order("move", "roamer", "http://roamed.example.test")
    assert fleet.killed_at("site.move/address:after")
    problem = fleet.fleet.problem(
        "site", "create", "squatter", "--url", "http://roamer.example.test", "--detach"
    )
    assert problem["code"] == "site.url.taken"
    fleet.order("cancel", operation)
    fleet.work()
    fleet.assert_ended(operation, "cancelled")


def test_a_snapshot_killed_at_each_step_is_whole_or_absent(fleet: Killable) -> None:
    before = fleet.snapshots_stored()
    operation = fleet.order("snapshot", "first")
    fleet.killed_forwards(operation, "snapshot.create", ("reserve", "take", "finish"))
    fleet.assert_ended(operation, "done")
    (taken,) = set(fleet.snapshots_stored()) - set(before)
    assert fleet.fleet.json("snapshot", "verify", taken)["ok"]
    operation = fleet.order("snapshot", "first")
    fleet.killed_backwards(operation, "snapshot.create", ("reserve", "take", "finish"))
    fleet.assert_ended(operation, "cancelled")
    assert set(fleet.snapshots_stored()) == {*before, taken}


def snapshot_of(fleet: Killable, shortname: str) -> str:
    """Take a snapshot; return its id."""
    before = fleet.snapshots_stored()
    fleet.order("snapshot", shortname)
    fleet.work()
    (taken,) = set(fleet.snapshots_stored()) - set(before)
    return taken


def spoil(fleet: Killable, shortname: str) -> None:
    """Change a row and remove a file."""
    with fleet.engine.connect(fleet.database(shortname), read_only=False) as connection:
        connection.execute("UPDATE {role} SET description = 'spoilt' WHERE shortname = 'student'")
    root = fleet.dataroot(shortname) / "filedir"
    next(path for path in root.rglob("*") if path.is_file()).unlink()


def test_a_restore_killed_at_each_step_ends_at_the_snapshot(fleet: Killable) -> None:
    fleet.clone("restored")
    taken, before = snapshot_of(fleet, "restored"), fleet.content("restored")
    spoil(fleet, "restored")
    spoilt, databases = fleet.content("restored"), fleet.engine.list_databases()
    operation = fleet.order("restore", taken, "restored")
    fleet.killed_backwards(operation, "snapshot.restore", RESTORE[:-1])
    fleet.assert_ended(operation, "cancelled")
    assert fleet.content("restored") == spoilt
    assert fleet.engine.list_databases() == databases
    operation = fleet.order("restore", taken, "restored")
    fleet.killed_forwards(operation, "snapshot.restore", RESTORE)
    fleet.assert_ended(operation, "done")
    assert fleet.content("restored") == before
    assert len(fleet.engine.list_databases()) == len(databases)
    assert fleet.map_state("restored.example.test") == "live"


def random_orders(fleet: Killable, taken: str) -> dict[str, Callable[[int], str]]:
    """Return what orders the n-th operation of each kind."""

    def warm(number: int) -> str:
        fleet.order("keep", "base", 1)
        fleet.work()
        return fleet.order("deploy", f"warm{number}", "template:base")

    def drop(number: int) -> str:
        fleet.order("capture", f"doomed{number}", "first")
        fleet.work()
        return fleet.order("drop", f"doomed{number}")

    return {
        "cold": lambda number: fleet.order("deploy", f"cold{number}", "template:base"),
        "warm": warm,
        "clone": lambda number: fleet.order("deploy", f"clone{number}", "site:first"),
        "capture": lambda number: fleet.order("capture", f"random{number}", "first"),
        "drop": drop,
        "fill": lambda number: fleet.order("keep", "base", 3 if number % 2 else 0),
        "move": lambda number: fleet.order("move", "victim", f"http://v{number}.example.test"),
        "snapshot": lambda _number: fleet.order("snapshot", "first"),
        "restore": lambda _number: fleet.order("restore", taken, "victim"),
    }


@pytest.fixture(scope="module")
def victim(fleet: Killable) -> str:
    """Make a site to move and to restore; return its snapshot."""
    return snapshot_of(fleet, fleet.clone("victim"))


@pytest.mark.parametrize(
    "kind",
    ["cold", "warm", "clone", "capture", "drop", "fill", "move", "snapshot", "restore"],
)
def test_killed_at_random_moments_with_its_clients_each_ends_whole_or_absent(
    fleet: Killable, victim: str, kind: str
) -> None:
    chance = random.Random(f"{SEED} {kind}")  # noqa: S311
    print(f"VMOODLE_RANDOM_SEED={SEED}")
    order, kills, number = random_orders(fleet, victim)[kind], 0, 0
    while kills < KILLS:
        operation, number = order(number), number + 1
        while fleet.state(operation) not in ENDED | {"needs attention"}:
            if chance.random() < 0.1:
                fleet.ask(do="call", name="cancel", args=[operation])
            (victims,) = chance.choices(["all", "executor", "clients"], [6, 2, 2])
            seconds = chance.uniform(0, LONGEST)
            fleet.ask(do="work", seconds=seconds, victims=victims)
            kills += 1
        fleet.work()
        assert fleet.state(operation) in ENDED, fleet.look(operation)
    fleet.assert_ended(operation, *ENDED)
    if kind in {"warm", "fill"}:
        keep(fleet, 0)


@pytest.mark.parametrize("source", ["template:base", "site:first"])
def test_a_server_restarted_amid_a_copy_leaves_no_half_a_site(
    fleet: Killable, source: str, tmp_path: Path
) -> None:
    name, flag = "restart-" + source[:4], tmp_path / "begun"
    operation = fleet.order("deploy", name, source)
    answers: list[Any] = []
    thread = threading.Thread(
        target=lambda: answers.append(
            fleet.ask(do="work", die="site.deploy/database:begun", flag=str(flag))
        )
    )
    thread.start()
    servers.wait_until(flag.exists, "the copy")
    with fleet.server.stopped():
        pass
    thread.join()
    seen = fleet.look(operation)
    if seen["state"] == "needs attention":
        assert seen["code"].startswith("engine."), seen
        verb = "retry" if source == "site:first" else "revert"
        fleet.fleet.run("operation", verb, operation)
    state = fleet.assert_ended(operation, *ENDED)
    assert fleet.site_exists(name) == (state == "done")


@pytest.fixture
def disk() -> Iterator[Path]:
    with small_disk(DISK_BYTES) as place:
        yield place


@pytest.fixture(scope="module")
def bulky(fleet: Killable) -> str:
    """A site with a file that is larger than what will be left of a disk; return its snapshot."""
    fleet.clone("bulky")
    pool = fleet.dataroot("bulky") / "filedir" / "aa" / "bb"
    pool.mkdir(parents=True)
    with (pool / "aabb5ea3f0fdbc95d0dd47f3c5bc275da8a33bee").open("wb") as file:
        file.truncate(BULK_BYTES)
    return snapshot_of(fleet, "bulky")


@pytest.mark.parametrize("source", ["snapshot", "site"])
def test_a_disk_that_fills_up_amid_a_copy_leaves_nothing(
    fleet: Killable, bulky: str, disk: Path, source: str
) -> None:
    base = {"VMOODLE_SITES__DATAROOT_BASE": str(disk / "moodledata")}
    url = "http://late.example.test"
    words = {
        "snapshot": ("site", "create", "late", "--url", url, "--snapshot", bulky),
        "site": ("site", "clone", "bulky", "late", "--url", url),
    }[source]
    ordered = fleet.fleet.json(*words, "--detach", **base)
    fill(disk, leave=LEFT_BYTES)
    fleet.fleet.run("worker", "--until-idle", **base)
    seen = fleet.fleet.json("operation", "show", ordered["operation"], **base)
    assert seen["state"] == "reverted", seen
    assert seen["step"] == "files", seen
    assert seen["error"] != "operation.internal", seen
    assert list((disk / "moodledata").iterdir()) == []
    assert not fleet.site_exists("late")
    fleet.fleet.run("doctor", status=0, **base)
