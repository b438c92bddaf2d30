"""No cron runs on a site while it is upgraded: not the scheduler's, and no crontab's."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests import servers
from tests.contract.copies import CopyFleet
from tests.fleet import Fleet

from vmoodle.engines.protocol import open_engine
from vmoodle.sandbox import copy_tree

LIMIT = 60.0
ADHOC = r"\core\task\example"
PAGE = "climaintenance.html"


@dataclass
class Farm:
    """A site on the codebase `old`, and the codebase `new`, whose upgrade can be made to wait."""

    copies: CopyFleet
    wait: Path
    dataroot: Path

    def upgrade(self, **more: str) -> Any:
        return self.copies.fleet.start(
            "upgrade", "run", "--to", "new", "--on", "site", "--yes", "--retry", **more
        )

    def add_adhoc(self, **data: object) -> None:
        database = self.copies.database("site")
        with self.copies.engine.connect(database, read_only=False) as connection:
            connection.execute(
                "INSERT INTO {task_adhoc} (component, classname, nextruntime, customdata,"
                " timecreated, attemptsavailable) VALUES ('moodle', %s, 1, %s, 1, 3)",
                (ADHOC, json.dumps(data)),
            )

    def count_adhoc(self) -> int:
        sql = "SELECT COUNT(*) FROM {task_adhoc}"
        return int(self.copies.rows(self.copies.database("site"), sql)[0][0])

    def codebase(self) -> str:
        return str(self.copies.fleet.json("site", "show", "site")["codebase"])

    def step(self) -> str:
        rows = self.copies.fleet.json("operation", "list", "--site", "site")
        return str(rows[0]["step"]) if rows and rows[0]["kind"] == "site.upgrade" else ""


@pytest.fixture(params=["mariadb", "postgresql"])
def farm(request: pytest.FixtureRequest) -> Iterator[Farm]:
    missing = getattr(servers, f"{request.param}_missing")()
    if missing:
        pytest.skip(missing)
    directory = Path(tempfile.mkdtemp(prefix="vmoodle-upgrade-cron-"))
    directory.chmod(0o755)
    with getattr(servers, f"private_{request.param}")(directory / "server") as server:
        fleet = Fleet(directory / "home")
        fleet.run("server", "add", "main", server.url)
        fleet.run("codebase", "add", "old", "sandbox")
        fleet.run("codebase", "add", "new", str(copy_tree(directory / "new", release="5.1.0")))
        made = CopyFleet(fleet, open_engine(server.address))
        made.make("site", "create", "site", "--url", "http://site.test", "--codebase", "old")
        wait = directory / "new" / "public" / "lib" / "db" / "fail_upgrade"
        yield Farm(made, wait, Path(fleet.json("site", "show", "site")["dataroot"]))
        fleet.assert_clean()
    shutil.rmtree(directory, ignore_errors=True)


def until(condition: Callable[[], object]) -> None:
    limit = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.05)


def test_a_cron_of_the_scheduler_is_stopped_and_none_begins_meanwhile(farm: Farm) -> None:
    fleet = farm.copies.fleet
    farm.add_adhoc(sleep=600)
    running = fleet.start("cron", "once")
    until(lambda: "running" in fleet.run("cron", "show", "site", status=None).stdout)
    farm.wait.write_text("wait")
    upgrading = farm.upgrade(VMOODLE_CRON__PATIENCE="1")
    assert running.wait(LIMIT) == 1
    until(lambda: farm.step() == "upgrade")
    (run,) = fleet.json("cron", "log", "--site", "site", "--limit", "1")
    assert run["outcome"] == "stopped"
    # Due again, and long ago: the scheduler leaves the site alone, and so does a crontab's line.
    farm.add_adhoc()
    assert fleet.json("cron", "once")["runs"] == []
    assert len(fleet.json("cron", "log", "--site", "site")) == 1
    for script in ("cron.php", "adhoc_task.php"):
        words = ["--execute"] if script == "adhoc_task.php" else []
        fleet.run("exec", "site", "--", f"admin/cli/{script}", *words, status=1)
    assert (farm.dataroot / PAGE).exists()
    assert farm.count_adhoc() == 2
    farm.wait.unlink()
    assert upgrading.wait(LIMIT) == 0
    assert farm.codebase() == "new"
    assert not (farm.dataroot / PAGE).exists()
    fleet.run("exec", "site", "--", "admin/cli/cron.php", "--keep-alive=0")
    assert "200" in fleet.run("hook", "check", "site").stdout


def test_a_cron_of_a_crontab_ends_its_task_and_begins_no_other(farm: Farm) -> None:
    fleet = farm.copies.fleet
    farm.add_adhoc(sleep=3)
    crontab = fleet.start("exec", "site", "--", "admin/cli/cron.php", "--keep-alive=600")
    until(lambda: farm.copies.rows(
        farm.copies.database("site"), "SELECT 1 FROM {task_adhoc} WHERE timestarted > 0"
    ))  # fmt: skip
    farm.wait.write_text("wait")
    upgrading = farm.upgrade()
    until(lambda: farm.step() == "upgrade")
    assert farm.count_adhoc() == 0, "the task at work was let end"
    farm.add_adhoc()
    assert crontab.wait(LIMIT) == 0
    assert farm.count_adhoc() == 1
    farm.wait.unlink()
    assert upgrading.wait(LIMIT) == 0
    assert farm.codebase() == "new"


def test_a_site_under_its_own_maintenance_is_upgraded_and_stays_so(farm: Farm) -> None:
    page = farm.dataroot / PAGE
    page.write_text("our own page")
    farm.wait.write_text("")
    assert farm.upgrade().wait(LIMIT) == 1
    assert (farm.codebase(), page.read_text()) == ("old", "our own page")
    farm.wait.unlink()
    assert farm.upgrade().wait(LIMIT) == 0
    assert (farm.codebase(), page.read_text()) == ("new", "our own page")
    page.unlink()
    assert "200" in farm.copies.fleet.run("hook", "check", "site").stdout
