"""Cron as Moodle itself has it: what is due runs, what is not starts no PHP, on both engines."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import pytest
from tests.moodle.conftest import World

from vmoodle.engines.address import parse_url
from vmoodle.engines.protocol import open_engine

TASK = r"\core\task\session_cleanup_task"
ADHOC = r"\core\task\refresh_mod_calendar_events_task"
NEVER = 4_000_000_000


@dataclass
class Farm:
    """The world, its databases and the registry's tables of cron."""

    world: World
    urls: dict[str, str]

    def sql(self, site: str, sql: str, *values: object) -> list[tuple[Any, ...]]:
        name = self.registry(f"SELECT database FROM registry_site WHERE shortname = '{site}'")[0][0]
        server = next(one.server for one in self.world.sites if one.shortname == site)
        engine = open_engine(parse_url(self.urls[server]))
        with engine.connect(engine.anonymous_database(name), read_only=False) as connection:
            if sql.startswith("SELECT"):
                return list(connection.query(sql, values))
            connection.execute(sql, values)
            return []

    def registry(self, sql: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.world.fleet.home / "registry.sqlite3")) as database:
            found = database.execute(sql).fetchall()
            database.commit()
            return found

    def let_pass(self, seconds: float = 5000, *, learnt: bool = False) -> None:
        columns = ["looked", "served", "started", "whole", "complete", "ended"]
        columns += ["parked_at"] if learnt else []
        changes = ", ".join(f"{name} = {name} - {seconds}" for name in columns)
        self.registry(f"UPDATE registry_cronsite SET {changes}")

    def once(self) -> dict[str, str]:
        done = self.world.fleet.json("cron", "once", status=None)
        return {row["site"]: row["outcome"] for row in done["runs"]}

    @property
    def names(self) -> list[str]:
        return [site.shortname for site in self.world.sites]


@pytest.fixture
def farm(world: World, database_urls: dict[str, str]) -> Iterator[Farm]:
    """The sites after two whole runs, with nothing due that Moodle would run."""
    farm = Farm(world, database_urls)
    farm.once()
    for name in farm.names:
        # Every task that Moodle runs has been run once; it runs none of a disabled plugin.
        farm.sql(name, "UPDATE {task_scheduled} SET nextruntime = 1 WHERE disabled = 0")
        farm.sql(name, "DELETE FROM {task_adhoc}")
    farm.let_pass(learnt=True)
    assert farm.once() == dict.fromkeys(farm.names, "ok")
    farm.let_pass(learnt=True)
    farm.once()
    began = int(time.time()) - 3600
    for name in farm.names:
        farm.sql(
            name,
            "UPDATE {task_scheduled} SET nextruntime = %s WHERE lastruntime > %s",
            NEVER,
            began,
        )
        farm.sql(name, "DELETE FROM {task_adhoc}")
    farm.let_pass()
    yield farm
    for name in farm.names:
        farm.sql(name, "UPDATE {task_scheduled} SET nextruntime = 1")


def test_php_starts_where_something_is_due_and_nowhere_else(farm: Farm) -> None:
    due = "SELECT COUNT(*) FROM {task_scheduled} WHERE disabled = 0 AND nextruntime < %s"
    assert farm.once() == {}
    parked = {name: farm.world.fleet.json("cron", "show", name)["parked"] for name in farm.names}
    for name in farm.names:
        # Tasks of disabled plugins stay due for ever, and are no reason to start PHP.
        assert len(parked[name]) == farm.sql(name, due, int(time.time()))[0][0]
    first, *_others, last = farm.names
    farm.sql(first, "UPDATE {task_scheduled} SET nextruntime = 1 WHERE classname = %s", TASK)
    farm.sql(
        last,
        "INSERT INTO {task_adhoc} (component, classname, nextruntime, customdata, timecreated,"
        " attemptsavailable) VALUES ('moodle', %s, 1, %s, 1, 3)",
        ADHOC,
        '{"plugins": ["label"]}',
    )
    before = time.time()
    farm.let_pass()
    assert farm.once() == {first: "ok", last: "ok"}
    runs = farm.world.fleet.json("cron", "log", "--limit", "2")
    assert {run["site"]: run["script"] for run in runs} == {
        first: "cron.php",
        last: "adhoc_task.php",
    }
    query = "SELECT lastruntime, nextruntime FROM {task_scheduled} WHERE classname = %s"
    ((ran, next_),) = farm.sql(first, query, TASK)
    assert before - 2 <= ran <= time.time() < next_ + 61
    assert farm.sql(last, "SELECT COUNT(*) FROM {task_adhoc} WHERE classname = %s", ADHOC) == [(0,)]
    logged = "SELECT COUNT(*) FROM {task_log} WHERE classname LIKE %s AND timestart > %s"
    pattern = f"%{ADHOC.rpartition(chr(92))[2]}"
    assert farm.sql(last, logged, pattern, before - 2)[0][0] == 1
    farm.let_pass()
    assert farm.once() == {}


def test_a_site_that_moodle_would_not_run_is_told_so_without_php(farm: Farm) -> None:
    off, pending, *_others = farm.names
    for name in (off, pending):
        farm.sql(name, "UPDATE {task_scheduled} SET nextruntime = 1 WHERE classname = %s", TASK)
    farm.sql(off, "DELETE FROM {config} WHERE name = 'cron_enabled'")
    farm.sql(off, "INSERT INTO {config} (name, value) VALUES ('cron_enabled', '0')")
    ((kept,),) = farm.sql(pending, "SELECT value FROM {config} WHERE name = 'allversionshash'")
    farm.sql(pending, "UPDATE {config} SET value = 'x' WHERE name = 'allversionshash'")
    try:
        assert farm.once() == {}
        shown = {name: farm.world.fleet.json("cron", "show", name) for name in (off, pending)}
        assert shown[off]["state"] == "off" and "switched off" in shown[off]["obstacle"]
        assert "is to be upgraded" in shown[pending]["obstacle"]
    finally:
        farm.sql(off, "UPDATE {config} SET value = '1' WHERE name = 'cron_enabled'")
        farm.sql(pending, "UPDATE {config} SET value = %s WHERE name = 'allversionshash'", kept)
    farm.let_pass()
    assert farm.once() == {off: "ok", pending: "ok"}
