"""Forty real sites under the scheduler: each has its turn, none two at a time."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import pytest
from tests.fleet import Fleet

from vmoodle.engines.embedded import EmbeddedPostgreSQL
from vmoodle.engines.protocol import open_engine

SITES = 40


@pytest.fixture(scope="module")
def forty() -> Iterator[Fleet]:
    """Forty copies of a site, one of them suspended."""
    directory = Path(tempfile.mkdtemp(prefix="vmoodle-forty-"))
    directory.chmod(0o755)
    fleet = Fleet(directory / "home")
    fleet.run("server", "add", "main", "embedded")
    fleet.run("codebase", "add", "sandbox", "sandbox")
    fleet.run("site", "create", "s0", "--url", "http://s0.test")
    fleet.run("template", "create", "t", "--from", "s0")
    for number in range(1, SITES + 1):
        fleet.run(
            "site", "create", f"s{number}", "--url", f"http://s{number}.test", "--template", "t",
            "--detach",
        )  # fmt: skip
    fleet.run("worker", "--until-idle", VMOODLE_OPERATIONS__CONCURRENCY="8")
    fleet.run("site", "suspend", "s0")
    yield fleet
    fleet.run("stop")
    shutil.rmtree(directory, ignore_errors=True)


def _databases(fleet: Fleet) -> list[str]:
    with closing(sqlite3.connect(fleet.home / "registry.sqlite3")) as registry:
        return [name for (name,) in registry.execute("SELECT database FROM registry_site")]


@pytest.mark.parametrize("strategy", ["due"])
def test_each_of_forty_sites_has_its_turn_and_none_two(forty: Fleet, strategy: str) -> None:
    names = {f"s{number}" for number in range(1, SITES + 1)}
    engine = open_engine(EmbeddedPostgreSQL(forty.home / "embedded").start())
    databases = [engine.anonymous_database(name) for name in _databases(forty)]
    for _turn in range(2):
        with closing(sqlite3.connect(forty.home / "registry.sqlite3")) as registry:
            registry.execute(
                "UPDATE registry_cronsite SET whole = whole - 5000, looked = looked - 5000,"
                " served = served - 5000, started = started - 5000, ended = ended - 5000,"
                " complete = complete - 5000"
            )
            registry.commit()
        for database in databases:
            with engine.connect(database, read_only=False) as connection:
                connection.execute("UPDATE {task_scheduled} SET nextruntime = 1")
        rounds = [
            forty.start("cron", "once", VMOODLE_CRON__STRATEGY=strategy, VMOODLE_CRON__TOGETHER="4")
            for _process in range(2)
        ]
        assert [process.wait(300) for process in rounds] == [0, 0]
    runs = [
        run for run in forty.json("cron", "log", "--limit", "1000") if run["strategy"] == strategy
    ]
    counts = Counter(run["site"] for run in runs)
    assert set(counts) == names and set(counts.values()) == {2}
    assert {run["outcome"] for run in runs} == {"ok"}
    with closing(sqlite3.connect(forty.home / "registry.sqlite3")) as registry:
        for name in names:
            times = registry.execute(
                "SELECT started, seconds FROM registry_cronrun WHERE shortname = ?"
                " ORDER BY started",
                [name],
            ).fetchall()
            assert all(begun + took <= later for (begun, took), (later, _) in pairwise(times))
    assert forty.json("cron", "list")["fleet"]["late"] == 0
