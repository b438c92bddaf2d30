"""Killed at each step, on both engines, creation and deletion end in a whole or an absent site."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests import servers
from tests.fleet import Fleet

PROCESS = Path(__file__).parent / "fleet_process.py"
CREATE_STEPS = (
    "reserve", "account", "database", "dataroot", "announce", "install", "publish", "prove",
    "finish",
)  # fmt: skip
DELETE_STEPS = ("check", "withdraw", "database", "account", "dataroot", "forget")


@pytest.fixture(scope="module", params=["mariadb", "postgresql"])
def fleet(request: pytest.FixtureRequest) -> Iterator[Fleet]:
    """A fleet with one server and the sandbox, no site yet."""
    missing = getattr(servers, f"{request.param}_missing")()
    if missing:
        pytest.skip(missing)
    directory = Path(tempfile.mkdtemp(prefix="vmoodle-crash-"))
    directory.chmod(0o755)
    start = getattr(servers, f"private_{request.param}")
    with start(directory / "server") as server:
        made = Fleet(directory / "home")
        made.run("server", "add", "main", server.url)
        made.run("codebase", "add", "sandbox", "sandbox")
        yield made
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
    password = fleet.home / "password"
    password.write_text("Crash-Passw0rd!\n")
    document = fleet.json(
        "site", "create", shortname, "--detach", "--url", f"http://{shortname}.example.test",
        "--admin-password-file", str(password),
    )  # fmt: skip
    return str(document["operation"])


def state_after_next_start(fleet: Fleet, operation: str) -> str:
    fleet.run("worker", "--until-idle")
    return str(fleet.json("operation", "show", operation)["state"])


def delete(fleet: Fleet, shortname: str) -> None:
    fleet.run("site", "suspend", shortname)
    fleet.run("site", "delete", shortname, "--confirm", shortname)


MOMENTS = [f"{step}:{moment}" for step in CREATE_STEPS for moment in ("before", "after")]


@pytest.mark.parametrize("moment", [*MOMENTS, "install:during", "prove:during"])
def test_a_creation_killed_at_any_step_ends_in_a_site_that_serves(
    fleet: Fleet, moment: str
) -> None:
    operation = submit(fleet, "crash")
    assert killed_at(fleet, moment) or moment == "prove:during"
    assert state_after_next_start(fleet, operation) == "done"
    assert all(row["ok"] for row in fleet.json("hook", "check"))
    fleet.assert_clean()
    delete(fleet, "crash")
    fleet.assert_clean()


@pytest.mark.parametrize("step", ["announce", "dataroot", "database", "account", "reserve"])
def test_a_creation_killed_while_it_is_taken_back_ends_in_no_site(fleet: Fleet, step: str) -> None:
    operation = submit(fleet, "crash")
    assert killed_at(fleet, "install:before")
    fleet.run("operation", "cancel", operation)
    assert killed_at(fleet, f"{step}:undo")
    assert state_after_next_start(fleet, operation) == "cancelled"
    assert fleet.json("site", "list") == []
    fleet.assert_clean()


@pytest.mark.parametrize(
    "moment", [f"{step}:{moment}" for step in DELETE_STEPS for moment in ("before", "after")]
)
def test_a_deletion_killed_at_any_step_ends_in_no_site(fleet: Fleet, moment: str) -> None:
    creation = submit(fleet, "crash")
    assert state_after_next_start(fleet, creation) == "done"
    fleet.run("site", "suspend", "crash")
    operation = fleet.json("site", "delete", "crash", "--confirm", "crash", "--detach")["operation"]
    assert killed_at(fleet, moment)
    assert state_after_next_start(fleet, operation) == "done"
    assert fleet.json("site", "list") == []
    fleet.assert_clean()
