"""`vmoodle upgrade rehearse`: copies of sites are upgraded for real, judged and dropped."""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests import servers
from tests.checksums import table_checksums
from tests.contract.copies import CopyFleet
from tests.fleet import Fleet

from vmoodle.engines.protocol import open_engine
from vmoodle.sandbox import copy_tree

NAMES = ("r1", "r2", "r3", "r4")


@pytest.fixture(scope="module", params=["mariadb", "postgresql"])
def rehearsable(request: pytest.FixtureRequest) -> Iterator[CopyFleet]:
    """Four sites on the codebase `old`, and the codebases `new`, `broken` and `older`."""
    missing = getattr(servers, f"{request.param}_missing")()
    if missing:
        pytest.skip(missing)
    directory = Path(tempfile.mkdtemp(prefix="vmoodle-rehearsal-"))
    directory.chmod(0o755)
    with getattr(servers, f"private_{request.param}")(directory / "server") as server:
        fleet = Fleet(directory / "home")
        fleet.run("server", "add", "main", server.url)
        for name, release in (
            ("old", "4.5.1"), ("new", "5.1.0"), ("broken", "5.0.0"), ("older", "4.5.0"),
        ):  # fmt: skip
            fleet.run("codebase", "add", name, str(copy_tree(directory / name, release=release)))
        (directory / "broken" / "lib" / "db" / "fail_upgrade").touch()
        made = CopyFleet(fleet, open_engine(server.address))
        made.make("site", "create", "r1", "--url", "http://r1.example.test", "--codebase", "old")
        for name in NAMES[1:]:
            fleet.run("site", "clone", "r1", name, "--url", f"http://{name}.example.test")
        fill(made, "r3")
        yield made
        fleet.run("worker", "--until-idle")
        fleet.assert_clean()
    shutil.rmtree(directory, ignore_errors=True)


def fill(fleet: CopyFleet, shortname: str) -> None:
    """Make a site the largest one, and the one installed first."""
    with fleet.engine.connect(fleet.database(shortname), read_only=False) as connection:
        for number in range(40):
            connection.execute(
                "INSERT INTO {config_plugins} (plugin, name, value) VALUES (%s, %s, %s)",
                ("local_large", f"n{number}", "x" * 100_000),
            )
        connection.execute("UPDATE {course} SET timecreated = 1000 WHERE category = 0")
    if fleet.engine.address.engine == "mariadb":
        # What it says of a table's size is by its statistics, which it renews now and then.
        with fleet.engine.connect(fleet.database(shortname), read_only=False) as connection:
            connection.query("ANALYZE TABLE {config_plugins}")


def rehearse(fleet: CopyFleet, to: str, *words: str, on: str = "r*", **more: Any) -> Any:
    return fleet.fleet.json("upgrade", "rehearse", "--to", to, "--on", on, *words, **more)


def one(document: dict[str, Any]) -> dict[str, Any]:
    (found,) = document["rehearsals"]
    return dict(found)


def refused(fleet: CopyFleet, *words: str) -> str:
    return str(fleet.fleet.problem("upgrade", *words)["code"])


@contextmanager
def untouched(fleet: CopyFleet) -> Iterator[None]:
    """Fail unless all sites serve all the time, and have the same data and databases after it."""
    before = {name: table_checksums(fleet.engine, fleet.database(name)) for name in NAMES}
    databases, seen, over = fleet.engine.list_databases(), list[str](), threading.Event()
    visitor = Fleet(fleet.fleet.home, fleet.fleet.environment, forked=False)

    def look() -> None:
        while not over.wait(0.5):
            seen.append(visitor.run("hook", "check", "r1", status=None).stdout)

    looking = threading.Thread(target=look)
    looking.start()
    try:
        yield
    finally:
        over.set()
        looking.join()
    assert all("200" in answer for answer in seen), seen
    for name in NAMES:
        after = table_checksums(fleet.engine, fleet.database(name))
        assert {table for table in before[name] if before[name][table] != after[table]} <= VISITS
    assert fleet.engine.list_databases() == databases
    assert not list((fleet.fleet.home / "map").rglob("*rehearsal*"))
    assert {row["codebase"] for row in fleet.fleet.json("site", "list")} == {"old"}


VISITS = {"sessions", "logstore_standard_log", "config", "config_plugins"}


def rows_of(fleet: CopyFleet, to: str, name: str, *words: str, status: int = 0) -> list[Any]:
    document = fleet.fleet.json("upgrade", "plan", "--to", to, "--on", name, *words, status=status)
    (found,) = document["results"]
    return list(found["rows"])


def estimate(fleet: CopyFleet, to: str, name: str) -> tuple[str, str]:
    """Return by what the plan knows how long the upgrade takes, and what it says of it."""
    for row in rows_of(fleet, to, name):
        if row["level"] == "plan" and row["code"].startswith("estimate."):
            assert int(row["what"]) > 0
            return row["code"].removeprefix("estimate."), row["hint"]
    return "", ""


def test_the_largest_the_oldest_and_another_are_chosen(rehearsable: CopyFleet) -> None:
    chosen = rehearse(rehearsable, "new", "--dry-run")["sites"]
    assert len(chosen) == 2
    assert (chosen[0]["site"], chosen[0]["why"]) == ("r3", ["largest", "oldest"])
    assert chosen[1]["why"] == ["at random"]
    chosen = rehearse(rehearsable, "new", "--dry-run", "--random", "3")["sites"]
    assert [one["why"] for one in chosen] == [["at random"]] * 3
    everyone = rehearse(rehearsable, "new", "--dry-run", "--largest", "9")["sites"]
    assert {one["site"] for one in everyone} == set(NAMES)
    assert rehearsable.fleet.json("upgrade", "rehearsals") == []


def test_nothing_is_rehearsed_by_input_that_cannot_be(rehearsable: CopyFleet) -> None:
    with untouched(rehearsable):
        given = ("rehearse", "--to", "new", "--on", "r1")
        assert refused(rehearsable, "rehearse", "--to", "none", "--on", "r1") == "codebase.unknown"
        assert refused(rehearsable, "rehearse", "--to", "new", "--on", "x*") == "target.none"
        assert refused(rehearsable, *given, "--timeout", "soon") == "upgrade.seconds"
        assert refused(rehearsable, *given, "--accept", "core.source") == "upgrade.accept"
        rehearsable.fleet.run("upgrade", *given, "--largest=-1", status=2)
        older = rehearsable.fleet.problem("upgrade", "rehearse", "--to", "older", "--on", "r*")
        assert older["code"] == "upgrade.rehearsal.none"
        assert "core.downgrade" in older["detail"]
        same = rehearsable.fleet.problem("upgrade", "rehearse", "--to", "old", "--on", "r1")
        assert same["code"] == "upgrade.rehearsal.none"
        assert refused(rehearsable, "rehearsal", "none") == "upgrade.rehearsal.unknown"
    assert rehearsable.fleet.json("upgrade", "rehearsals") == []


def test_what_fails_on_the_copy_blocks_the_site(rehearsable: CopyFleet) -> None:
    with untouched(rehearsable):
        row = one(rehearse(rehearsable, "broken", on="r1", status=1))
    assert (row["state"], row["error_code"]) == ("failed", "upgrade.failed")
    assert (row["failed_step"], row["failed_component"]) == ("upgrade", "System")
    assert "fail_upgrade" in row["error_message"]
    shown = rehearsable.fleet.run("upgrade", "rehearsal", row["rehearsal"]).stdout
    assert "System" in shown
    blocked = rows_of(rehearsable, "broken", "r1", status=8)
    (finding,) = [one for one in blocked if one["level"] == "blocker"]
    assert finding["code"] == "rehearsal.failed"
    assert "fail_upgrade" in finding["what"]
    assert rows_of(rehearsable, "broken", "r1", "--accept", "rehearsal.failed")
    assert rows_of(rehearsable, "broken", "r2")
    skipped = rehearsable.fleet.json(
        "upgrade", "run", "--to", "broken", "--on", "r1", "--yes", status=1
    )
    assert skipped["summary"] == {"skipped": 1}
    assert skipped["sites"][0]["error_code"] == "upgrade.blocked"


def test_once_mended_it_passes_and_the_site_is_ready(rehearsable: CopyFleet) -> None:
    mark = tree(rehearsable, "broken") / "lib" / "db" / "fail_upgrade"
    mark.unlink()
    with untouched(rehearsable):
        assert one(rehearse(rehearsable, "broken", on="r1"))["state"] == "passed"
    assert estimate(rehearsable, "broken", "r1")[0] == "rehearsal"
    mark.touch()


def tree(fleet: CopyFleet, name: str) -> Path:
    rows = fleet.fleet.json("codebase", "list")
    return next(Path(row["path"]) for row in rows if row["name"] == name)


def test_an_upgrade_that_does_not_end_is_ended(rehearsable: CopyFleet) -> None:
    library = tree(rehearsable, "broken") / "lib" / "upgradelib.php"
    source = library.read_text()
    endless = "throw new moodle_exception('The upgrade failed"
    assert endless in source
    library.write_text(source.replace(endless, f"while (true) {{ usleep(20000); }} {endless}"))
    try:
        with untouched(rehearsable):
            row = one(rehearse(rehearsable, "broken", "--timeout", "3s", on="r2", status=1))
    finally:
        library.write_text(source)
    assert (row["state"], row["error_code"]) == ("failed", "upgrade.timeout")
    assert row["failed_component"] == "System"


def test_what_is_cancelled_leaves_nothing_behind(rehearsable: CopyFleet) -> None:
    with untouched(rehearsable):
        row = one(rehearse(rehearsable, "new", "--detach", on="r1"))
        assert row["state"] == "running"
        busy = rehearsable.fleet.problem("upgrade", "rehearse", "--to", "new", "--on", "r1")
        assert busy["code"] == "operation.site.busy"
        # What is read by it is not upgraded meanwhile.
        run = rehearsable.fleet.json(
            "upgrade", "run", "--to", "new", "--on", "r1", "--yes", "--detach"
        )
        assert run["sites"][0]["error_code"] == "site.used"
        rehearsable.fleet.run("operation", "cancel", row["operation_id"])
        rehearsable.fleet.run("worker", "--until-idle")
    listed = rehearsable.fleet.json("upgrade", "rehearsals", "--site", "r1", "--to", "new")
    assert [one["state"] for one in listed] == ["cancelled"]
    assert estimate(rehearsable, "new", "r1") == ("", "")


def test_what_passes_tells_time_and_tables_and_feeds_the_plan(rehearsable: CopyFleet) -> None:
    with untouched(rehearsable):
        row = one(rehearse(rehearsable, "new", on="r2"))
    assert row["state"] == "passed"
    assert row["upgrade_ms"] > 0
    assert row["copy_ms"] > 0
    assert row["rows"] > 0
    assert (row["source_release"], row["target_release"]) == ("4.5.1", "5.1.0")
    shown = rehearsable.fleet.json("upgrade", "rehearsal", row["rehearsal"][:6])
    assert set(shown["steps"]) >= {"database", "files", "identity", "upgrade", "look", "drop"}
    assert shown["components"][0][0] == "System"
    assert "rows" in shown["touched"]["upgrade_log"]["what"]
    assert "user" not in shown["touched"]
    assert estimate(rehearsable, "new", "r2")[0] == "rehearsal"
    assert estimate(rehearsable, "new", "r1") == ("another", f"by the rehearsal of r2, {DAY}")
    said = rehearsable.fleet.run("upgrade", "plan", "--to", "new", "--on", "r2").stdout
    assert "TAKES" in said
    assert "unknown" not in said
    listed = rehearsable.fleet.run("upgrade", "rehearsals").stdout
    assert "passed" in listed
    assert "broken" in listed


DAY = f"{datetime.now(UTC):%Y-%m-%d}"


def test_the_upgrade_touches_what_the_rehearsal_says(rehearsable: CopyFleet) -> None:
    (row,) = rehearsable.fleet.json("upgrade", "rehearsals", "--site", "r2", "--to", "new")
    shown = rehearsable.fleet.json("upgrade", "rehearsal", row["rehearsal"])
    before = table_checksums(rehearsable.engine, rehearsable.database("r2"))
    ended = rehearsable.fleet.json(
        "upgrade", "run", "--to", "new", "--on", "r2", "--yes", "--max-factor", "1000"
    )
    assert ended["summary"] == {"done": 1}
    assert ended["sites"][0]["expected_ms"] == row["upgrade_ms"]
    assert not ended["sites"][0]["slow"]
    after = table_checksums(rehearsable.engine, rehearsable.database("r2"))
    changed = {name for name in {*before, *after} if before.get(name) != after.get(name)}
    assert changed - VISITS <= set(shown["touched"])
    assert {name for name, what in shown["touched"].items() if what["what"] != ["counter"]} <= (
        changed
    )
    # It is what was rehearsed: the next one like it is known by both, and the rehearsal counts.
    assert estimate(rehearsable, "new", "r4")[0] == "another"
