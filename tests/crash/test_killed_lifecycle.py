"""Killed at each step, on both engines, creation and deletion end in a whole or an absent site."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from tests import servers
from tests.crash.steps import steps
from tests.fleet import Fleet

PROCESS = Path(__file__).parent / "fleet_process.py"


@pytest.fixture(
    scope="module",
    params=["mariadb", "postgresql"],
)
def fleet(request: pytest.FixtureRequest) -> Iterator[Fleet]:
    """A fleet with one server and the sandbox; at the end every site it has must serve."""
    servers.require(request.param)
    directory = Path(tempfile.mkdtemp(prefix="vmoodle-crash-"))
    directory.chmod(0o755)
    start = getattr(servers, f"private_{request.param}")
    with start(directory / "server") as server:
        made = Fleet(directory / "home")
        made.run("server", "add", "main", server.url)
        made.run("codebase", "add", "sandbox", "sandbox")
        yield made
        assert all(row["ok"] for row in made.json("hook", "check"))
    shutil.rmtree(directory, ignore_errors=True)


def killed_at(fleet: Fleet, moment: str) -> bool:
    """Execute until the moment; tell whether the process was killed there."""
    ended = subprocess.run(
        [sys.executable, str(PROCESS), moment],
        env=fleet.env(),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert "Traceback" not in ended.stderr, ended.stderr
    return ended.returncode == -9


def submit(fleet: Fleet, shortname: str) -> str:
    document = fleet.json(
        "site", "create", shortname, "--detach", "--url", f"http://{shortname}.example.test"
    )
    return str(document["operation"])


def state_after_next_start(fleet: Fleet, operation: str) -> str:
    fleet.run("worker", "--until-idle")
    return registry(fleet, "SELECT state FROM registry_operation WHERE id = ?", operation)[0]


def site_exists(fleet: Fleet, shortname: str) -> bool:
    return bool(registry(fleet, "SELECT id FROM registry_site WHERE shortname = ?", shortname))


def registry(fleet: Fleet, sql: str, value: str) -> list[str]:
    with closing(sqlite3.connect(fleet.home / "registry.sqlite3")) as connection:
        return [row[0] for row in connection.execute(sql, (value,))]


def name_of(moment: str) -> str:
    return moment.replace(":", "-")


CREATE_MOMENTS = [
    f"{step}:{moment}" for step in steps("site.create") for moment in ("before", "after")
]
DELETE_MOMENTS = [
    f"{step}:{moment}" for step in steps("site.purge") for moment in ("before", "after")
]


@pytest.mark.parametrize("moment", [*CREATE_MOMENTS, "install:during", "prove:during"])
def test_a_creation_killed_at_any_step_ends_in_a_site_that_serves(
    fleet: Fleet, moment: str
) -> None:
    operation = submit(fleet, f"c-{name_of(moment)}")
    assert killed_at(fleet, moment)
    assert state_after_next_start(fleet, operation) == "done"
    assert site_exists(fleet, f"c-{name_of(moment)}")
    fleet.assert_clean()


@pytest.mark.parametrize("moment", ["account:before", "announce:before", "prove:before"])
def test_a_killed_creation_is_told_of_by_its_operation_and_not_by_the_map(
    fleet: Fleet, moment: str
) -> None:
    operation = submit(fleet, f"t-{name_of(moment)}")
    assert killed_at(fleet, moment)
    assert {row["check"] for row in fleet.json("doctor", status=1)} == {"V060"}
    assert state_after_next_start(fleet, operation) == "done"
    fleet.assert_clean()


@pytest.mark.parametrize("step", ["announce", "dataroot", "database", "account", "reserve"])
def test_a_creation_killed_while_it_is_taken_back_ends_in_no_site(fleet: Fleet, step: str) -> None:
    operation = submit(fleet, f"b-{step}")
    assert killed_at(fleet, "install:before")
    fleet.run("operation", "cancel", operation)
    assert killed_at(fleet, f"{step}:undo")
    assert state_after_next_start(fleet, operation) == "cancelled"
    assert not site_exists(fleet, f"b-{step}")
    fleet.assert_clean()


@pytest.fixture(scope="module")
def doomed(fleet: Fleet) -> Fleet:
    """The fleet with a suspended site for each moment of a deletion."""
    for moment in DELETE_MOMENTS:
        submit(fleet, f"d-{name_of(moment)}")
    fleet.run("worker", "--until-idle")
    for moment in DELETE_MOMENTS:
        fleet.run("site", "suspend", f"d-{name_of(moment)}")
    return fleet


@pytest.mark.parametrize("moment", DELETE_MOMENTS)
def test_a_deletion_killed_at_any_step_ends_in_no_site(doomed: Fleet, moment: str) -> None:
    shortname = f"d-{name_of(moment)}"
    operation = doomed.json(
        "site", "delete", shortname, "--confirm", shortname, "--purge", "--detach"
    )
    assert killed_at(doomed, moment)
    assert state_after_next_start(doomed, operation["operation"]) == "done"
    assert not site_exists(doomed, shortname)
    doomed.assert_clean()
