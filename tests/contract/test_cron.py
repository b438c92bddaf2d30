"""Cron of a fleet on both engines: PHP where something is due, each site once, within limits."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests import servers
from tests.fleet import Fleet

from vmoodle.engines.protocol import Engine, open_engine

LIMIT = 60.0
NAMES = ("m1", "m2", "p1", "p2")
SESSION_TASK = r"\core\task\session_cleanup_task"
ADHOC = r"\core\task\example"
NEVER = 4_000_000_000


@dataclass
class Farm:
    """Two sites on each engine."""

    fleet: Fleet
    engines: dict[str, Engine]

    def sql(self, sql: str, on: str = "", *values: object) -> dict[str, Any]:
        """Run SQL on one site or all; for a query return its first cell by site."""
        cells: dict[str, Any] = {}
        for name in [on] if on else NAMES:
            engine = self.engines[name[0]]
            database = engine.anonymous_database(self.fact(name, "database"))
            with engine.connect(database, read_only=False) as connection:
                if sql.startswith("SELECT"):
                    cells[name] = connection.query(sql, values)[0][0]
                else:
                    connection.execute(sql, values)
        return cells

    def fact(self, site: str, column: str) -> str:
        rows = self.registry(f"SELECT {column} FROM registry_site WHERE shortname = '{site}'")
        return str(rows[0][0])

    def let_pass(self, seconds: float = 5000, *, learnt: bool = True) -> None:
        """Let the sites have been looked at, and run, so long ago; what was learnt is as old."""
        columns = ["looked", "served", "started", "whole", "complete", "ended"]
        columns += ["parked_at"] if learnt else []
        changes = ", ".join(f"{name} = {name} - {seconds}" for name in columns)
        self.registry(f"UPDATE registry_cronsite SET {changes}")

    def registry(self, sql: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.fleet.home / "registry.sqlite3")) as database:
            found = database.execute(sql).fetchall()
            database.commit()
            return found

    def once(self, *words: str, status: int = 0, **more: str) -> dict[str, dict[str, Any]]:
        done = self.fleet.json("cron", "once", *words, status=status, **more)
        return {row["site"]: row for row in done["runs"]}

    def standing(self, site: str) -> dict[str, Any]:
        return dict(self.fleet.json("cron", "show", site))

    def add_adhoc(self, on: str, **data: object) -> None:
        self.sql(
            "INSERT INTO {task_adhoc} (component, classname, nextruntime, customdata, timecreated,"
            " attemptsavailable) VALUES ('moodle', %s, 1, %s, 1, 3)",
            on, ADHOC, json.dumps(data),
        )  # fmt: skip


@pytest.fixture(scope="module")
def made() -> Iterator[Farm]:
    servers.require("mariadb")
    servers.require("postgresql")
    directory = Path(tempfile.mkdtemp(prefix="vmoodle-cron-"))
    directory.chmod(0o755)
    with (
        servers.private_mariadb(directory / "maria") as maria,
        servers.private_postgresql(directory / "postgres") as postgres,
    ):
        fleet = Fleet(directory / "home")
        fleet.run("codebase", "add", "sandbox", "sandbox")
        for name, server in (("m", maria), ("p", postgres)):
            fleet.run("server", "add", name, server.url)
            fleet.run(
                "site", "create", f"{name}1", "--url", f"http://{name}1.test", "--server", name
            )
            fleet.run("site", "clone", f"{name}1", f"{name}2", "--url", f"http://{name}2.test")
        engines = {n: open_engine(s.address) for n, s in (("m", maria), ("p", postgres))}
        yield Farm(fleet, engines)
        fleet.assert_clean()
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def farm(made: Farm) -> Farm:
    """The farm with nothing due, and every site looked at long ago."""
    made.sql(f"UPDATE {{task_scheduled}} SET nextruntime = {NEVER}, lastruntime = 1, faildelay = 0")
    made.sql("DELETE FROM {task_adhoc}")
    made.registry("UPDATE registry_cronsite SET failures = 0, not_before = 0")
    made.once()
    made.let_pass()
    return made


def make_due(farm: Farm, task: str = SESSION_TASK, on: str = "") -> None:
    farm.sql("UPDATE {task_scheduled} SET nextruntime = 1 WHERE classname = %s", on, task)


def scripts(farm: Farm) -> dict[str, str]:
    return {run["site"]: run["script"] for run in reversed(farm.fleet.json("cron", "log"))}


def wait(condition: Callable[[], object]) -> None:
    until = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_php_starts_only_where_something_is_due_and_the_script_that_it_needs(farm: Farm) -> None:
    make_due(farm, on="m1")
    farm.add_adhoc("p1")
    done = farm.once()
    assert {name: row["outcome"] for name, row in done.items()} == {"m1": "ok", "p1": "ok"}
    assert (scripts(farm)["m1"], scripts(farm)["p1"]) == ("cron.php", "adhoc_task.php")
    rows = farm.fleet.json("cron", "log", "--site", "m1")
    said = farm.fleet.json("cron", "log", rows[0]["run"])["output"]
    assert f"Execute scheduled task: {SESSION_TASK}" in said
    assert farm.once() == {}
    for name in NAMES:
        standing = farm.standing(name)
        assert (standing["state"], standing["due"], standing["adhoc"]) == ("ok", 0, 0)
        assert standing["waits_seconds"] < LIMIT and not standing["late"]
    # What was run has another time now.
    query = "SELECT nextruntime FROM {task_scheduled} WHERE classname = %s"
    assert farm.sql(query, "m1", SESSION_TASK)["m1"] > time.time() - 60


def test_a_task_of_a_disabled_plugin_is_tried_once_and_then_left_alone_until_it_is_on(
    farm: Farm,
) -> None:
    task = r"\mod_page\task\example"
    farm.sql(
        "INSERT INTO {task_scheduled} (component, classname, lastruntime, nextruntime, minute,"
        " hour, day, month, dayofweek, faildelay, customised, disabled)"
        " VALUES ('mod_page', %s, 1, 1, '*', '*', '*', '*', '*', 0, 0, 0)",
        "",
        task,
    )
    farm.sql("UPDATE {modules} SET visible = 0 WHERE name = 'page'")
    try:
        assert set(farm.once()) == set(NAMES)
        farm.let_pass()
        assert farm.once() == {}
        assert farm.standing("m2")["parked"] == [task] == farm.standing("p2")["parked"]
        farm.let_pass(learnt=False)
        assert farm.once() == {}
        farm.sql("UPDATE {modules} SET visible = 1 WHERE name = 'page'", "p2")
        farm.let_pass(learnt=False)
        assert set(farm.once()) == {"p2"}
        query = "SELECT lastruntime FROM {task_scheduled} WHERE classname = %s"
        assert farm.sql(query, "p2", task)["p2"] > 1
    finally:
        farm.sql("UPDATE {modules} SET visible = 1 WHERE name = 'page'")
        farm.sql("DELETE FROM {task_scheduled} WHERE classname = %s", "", task)


def test_sites_that_are_off_in_some_way_are_not_run(farm: Farm) -> None:
    make_due(farm)
    farm.fleet.run("site", "suspend", "m1")
    farm.sql("UPDATE {config} SET value = '0' WHERE name = 'cron_enabled'", "m2")
    page = Path(farm.fleet.json("site", "show", "p1")["dataroot"]) / "climaintenance.html"
    page.write_text("closed")
    kept = farm.sql("SELECT value FROM {config} WHERE name = 'allversionshash'", "p2")["p2"]
    farm.sql("UPDATE {config} SET value = 'x' WHERE name = 'allversionshash'", "p2")
    try:
        assert farm.once() == {}
        states = {name: farm.standing(name)["state"] for name in ("m2", "p1", "p2")}
        assert states == {"m2": "off", "p1": "off", "p2": "cannot run"}
        assert "m1" not in {row["site"] for row in farm.fleet.json("cron", "list")["sites"]}
        farm.let_pass(50_000)
        late = farm.fleet.run("cron", "list", "--late", "--check", status=8)
        assert (
            "p2" in late.stdout and "m2" not in late.stdout and "different versions" in late.stdout
        )
        ended = farm.fleet.run("doctor", "--json", status=None)
        assert {one["check"] for one in json.loads(ended.stdout)} == {"V080"}
    finally:
        page.unlink()
        farm.sql("UPDATE {config} SET value = %s WHERE name = 'allversionshash'", "p2", kept)
        farm.fleet.run("site", "resume", "m1")
        farm.sql("UPDATE {config} SET value = '1' WHERE name = 'cron_enabled'", "m2")
    farm.let_pass()
    assert set(farm.once()) == set(NAMES)


def test_a_cron_that_hangs_is_ended_with_what_it_left_and_the_others_go_on(farm: Farm) -> None:
    farm.add_adhoc("m1", sleep=600, leave=True)
    make_due(farm)
    began = time.monotonic()
    done = farm.once(status=1, VMOODLE_CRON__TIMEOUT="10")
    assert time.monotonic() - began < LIMIT
    assert done["m1"]["outcome"] == "timeout"
    assert {done[name]["outcome"] for name in ("m2", "p1", "p2")} == {"ok"}
    standing = farm.standing("m1")
    assert (standing["state"], standing["failures"]) == ("failing", 1)
    assert "after 10 seconds" in standing["error"] and standing["waits_seconds"] > 3600
    # It is not tried again at once.
    farm.let_pass()
    assert "m1" not in farm.once()
    marks = [run["run"] for run in farm.fleet.json("cron", "log", "--site", "m1")]
    for entry in Path("/proc").glob("[0-9]*/environ"):
        try:
            assert not any(mark.encode() in entry.read_bytes() for mark in marks)
        except OSError:
            continue


def test_a_cron_that_prints_much_leaves_a_small_log(farm: Farm) -> None:
    farm.add_adhoc("p2", print=100)
    (run,) = farm.once().values()
    facts = farm.fleet.json("cron", "log", run["run"])
    assert facts["output_bytes"] > 100_000_000 and len(facts["output"]) < 201_000
    assert "bytes left out" in facts["output"]
    (path,) = (farm.fleet.home / "log" / "cron" / "p2").glob(f"{run['run']}*")
    assert path.stat().st_mode & 0o777 == 0o600


def test_logs_of_runs_that_went_well_are_kept_for_the_last_ones_only(farm: Farm) -> None:
    for _turn in range(3):
        farm.add_adhoc("p2")
        farm.let_pass()
        assert set(farm.once(VMOODLE_CRON__KEEP_RUNS="2")) == {"p2"}
    well = [r for r in farm.fleet.json("cron", "log", "--site", "p2") if r["outcome"] == "ok"]
    assert len(well) == 2
    assert len(list((farm.fleet.home / "log" / "cron" / "p2").iterdir())) == 2


def test_two_rounds_at_the_same_time_run_no_site_twice(farm: Farm) -> None:
    for name in NAMES:
        farm.add_adhoc(name, sleep=1)
    began = time.time()
    first = [farm.fleet.start("cron", "once", VMOODLE_OPERATIONS__NODE=f"n{n}") for n in range(3)]
    assert [process.wait(LIMIT) for process in first] == [0, 0, 0]
    runs = farm.fleet.json("cron", "log", "--limit", "4")
    assert sorted(run["site"] for run in runs) == list(NAMES)
    query = "SELECT COUNT(*) FROM {task_log} WHERE classname = %s AND timestart > %s"
    counts = farm.sql(query, "", ADHOC.lstrip("\\"), began)
    assert counts == dict.fromkeys(NAMES, 1)


def test_a_suspension_and_an_operation_stop_a_cron_under_way(farm: Farm) -> None:
    farm.add_adhoc("m1", sleep=600)
    process = farm.fleet.start("cron", "once")
    wait(lambda: farm.standing("m1")["state"] == "running")
    assert farm.fleet.problem("cron", "show", "none")["code"] == "site.unknown"
    farm.fleet.run("site", "suspend", "m1")
    assert process.wait(LIMIT) == 1
    (run,) = farm.fleet.json("cron", "log", "--site", "m1", "--limit", "1")
    assert run["outcome"] == "stopped"
    farm.fleet.run("site", "resume", "m1")
    farm.sql("DELETE FROM {task_adhoc}", "m1")
    farm.add_adhoc("m1", sleep=600)
    farm.let_pass()
    process = farm.fleet.start("cron", "once")
    wait(lambda: farm.standing("m1")["state"] == "running")
    # A snapshot only reads, and waits for a while; a move has it stopped.
    farm.fleet.run("snapshot", "create", "m1", VMOODLE_CRON__PATIENCE="1")
    assert farm.standing("m1")["state"] == "running"
    farm.fleet.run("site", "move", "m1", "--url", "http://moved.test", VMOODLE_CRON__PATIENCE="1")
    assert process.wait(LIMIT) == 1
    assert farm.standing("m1")["failures"] == 0


def test_what_a_killed_process_was_running_is_taken_up_by_the_next(farm: Farm) -> None:
    farm.add_adhoc("p1", sleep=600, leave=True)
    process = farm.fleet.start("cron", "once")
    wait(lambda: farm.standing("p1")["state"] == "running")
    mark = farm.fleet.json("cron", "log", "--site", "p1", "--limit", "1")[0]["run"]
    process.send_signal(signal.SIGKILL)
    process.wait()
    farm.sql("DELETE FROM {task_adhoc}", "p1")
    farm.once()
    assert farm.standing("p1")["state"] == "ok"
    assert farm.fleet.json("cron", "log", mark)["outcome"] == "lost"
    for entry in Path("/proc").glob("[0-9]*/environ"):
        try:
            assert mark.encode() not in entry.read_bytes(), os.fspath(entry)
        except OSError:
            continue


def test_a_worker_runs_cron_beside_its_operations(farm: Farm) -> None:
    make_due(farm)
    farm.add_adhoc("p1")
    worker = farm.fleet.start("worker", VMOODLE_CRON__ENABLED="true")
    try:
        wait(lambda: len({r["site"] for r in farm.fleet.json("cron", "log", "--limit", "4")
                          if r["outcome"] == "ok"}) == 4)  # fmt: skip
        farm.add_adhoc("m2", sleep=600)
        farm.let_pass()
        wait(lambda: farm.standing("m2")["state"] == "running")
        assert farm.fleet.json("cron", "stop", "m2") == {"site": "m2", "stopped": True}
        assert farm.fleet.json("cron", "stop", "p2") == {"site": "p2", "stopped": False}
        farm.sql("DELETE FROM {task_adhoc}", "m2")
    finally:
        worker.send_signal(signal.SIGTERM)
        worker.wait(LIMIT)


def test_a_server_that_is_away_holds_no_others_and_is_told(farm: Farm) -> None:
    make_due(farm)
    (kept,) = farm.registry("SELECT address, url_encrypted FROM registry_databaseserver"
                            " WHERE name = 'm'")  # fmt: skip
    (other,) = farm.registry("SELECT url_encrypted FROM registry_databaseserver WHERE name = 'p'")
    farm.registry(f"UPDATE registry_databaseserver SET url_encrypted = '{other[0]}'"
                  " WHERE name = 'm'")  # fmt: skip
    try:
        assert set(farm.once()) == {"p1", "p2"}
        assert farm.standing("m1")["state"] in ("LATE", "cannot run")
    finally:
        farm.registry(f"UPDATE registry_databaseserver SET url_encrypted = '{kept[1]}'"
                      " WHERE name = 'm'")  # fmt: skip
