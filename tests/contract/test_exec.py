"""`vmoodle exec --on`: Moodle's own scripts on the sites of a target, as a run that is kept."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests import servers
from tests.fleet import Fleet

SITES = ("north1", "north2", "south")
SCRIPT = "admin/cli/cfg.php"


@pytest.fixture(scope="module", params=["mariadb", "postgresql"])
def fleet(request: pytest.FixtureRequest) -> Iterator[Fleet]:
    servers.require(request.param)
    directory = Path(tempfile.mkdtemp(prefix="vmoodle-exec-"))
    directory.chmod(0o755)
    with getattr(servers, f"private_{request.param}")(directory / "server") as server:
        made = Fleet(directory / "home")
        made.run("server", "add", "main", server.url)
        made.run("codebase", "add", "sandbox", "sandbox")
        for name in SITES:
            made.run("site", "create", name, "--url", f"http://{name}.example.test")
        yield made
    shutil.rmtree(directory, ignore_errors=True)


def results(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {row["site"]: row for row in document["results"]}


def test_a_script_runs_on_the_sites_of_a_target_and_equal_outputs_stand_together(
    fleet: Fleet,
) -> None:
    setting = ("--name=exectest", "--set=a b")
    dry = fleet.json("exec", "--on", "north*", "--dry-run", "--", SCRIPT, *setting)
    told = {row["value"] for row in results(dry).values()}
    assert told == {f"would run {SCRIPT} --name=exectest '--set=a b'"}
    read = ("--", SCRIPT, "--name=exectest")
    assert fleet.run("exec", "north1", *read, status=3).stdout.strip() == ""
    words = ("exec", "--on", "north*", "--yes", "--confirm", "north1,north2")
    done = fleet.json(*words, "--", SCRIPT, *setting)
    assert (done["command"], done["summary"]["ok"]) == ("exec", 2)
    shown = fleet.run(*words, *read).stdout
    line = next(line for line in shown.splitlines() if "a b" in line)
    assert line.split() == ["2", "a", "b", "north1,", "north2"]
    assert fleet.run("exec", "south", *read, status=3).stdout.strip() == ""
    assert "exec" in {row["command"] for row in fleet.json("run", "list")}


def test_a_site_on_which_it_fails_is_told_with_status_and_output_and_holds_no_other(
    fleet: Fleet,
) -> None:
    fleet.run("exec", "south", "--", SCRIPT, "--name=onlysouth", "--set=1")
    words = ("exec", "--on", "*", "--yes", "--confirm", ",".join(SITES))
    ended = results(fleet.json(*words, "--", SCRIPT, "--name=onlysouth", status=1))
    assert (ended["south"]["status"], ended["south"]["value"]) == ("ok", "1")
    for name in ("north1", "north2"):
        assert ended[name]["status"] == "unknown"
        assert ended[name]["error"]["code"] == "exec.status"
        assert "ended with status 3" in ended[name]["error"]["detail"]
    told = results(
        fleet.json("exec", "--on", "south", "--yes", "--confirm", "south", "--",
                   SCRIPT, "--set=1", status=1)
    )["south"]["error"]["detail"]  # fmt: skip
    assert "status 2" in told
    assert "needs the name of the setting" in told


def test_what_cannot_be_run_is_refused_before_any_site_is_touched(fleet: Fleet) -> None:
    script = ("--", "admin/cli/cron.php")
    for code, *words in (
        ("exec.usage", "--all", "--on", "*", *script),
        ("exec.usage", "--yes", "south", *script),
        ("exec.usage", "--all", "--dry-run", *script),
        ("exec.secret", "--on", "*", "--", SCRIPT, "--name=smtppass"),
        ("exec.secret", "--on", "*", "--", SCRIPT),
        ("run.unconfirmed", "--on", "*", *script),
    ):
        ended = fleet.run("exec", "--json", *words, status=None)
        problem = json.loads(ended.stderr.splitlines()[-1])
        assert ended.returncode > 1
        assert problem["code"] == code, (words, problem)
    gone = fleet.json("exec", "--on", "*", "--dry-run", "--", "admin/cli/nosuch.php", status=1)
    assert {row["error"]["code"] for row in gone["results"]} == {"exec.script"}


def test_a_secret_among_the_arguments_reaches_the_script_and_is_kept_nowhere(fleet: Fleet) -> None:
    words = ("exec", "--on", "south", "--yes", "--confirm", "south")
    dry = fleet.run("exec", "--on", "south", "--dry-run", "--", SCRIPT, "--name=smtppass",
                    "--set=Hid den'1")  # fmt: skip
    assert "--set=***" in dry.stdout
    fleet.json(*words, "--", SCRIPT, "--name=smtppass", "--set=Hid den'1")
    read = fleet.run("exec", "south", "--", SCRIPT, "--name=smtppass")
    assert read.stdout == "Hid den'1\n"
    reset = ("admin/cli/reset_password.php", "-u=admin", "-p=Hidden-2x")
    assert fleet.json(*words, "--", *reset)["summary"]["ok"] == 1
    unknown = ("--name=x", "--apitoken=Hidden-3", "--password", "Hidden-4")
    told = results(fleet.json(*words, "--", SCRIPT, *unknown, status=1))["south"]
    assert "***" in told["error"]["detail"]
    for run in fleet.json("run", "list", "--command", "exec"):
        assert "Hid" not in str(fleet.json("run", "show", run["run"]))
        assert "Hid" not in str(run)
    assert b"Hid" not in (fleet.home / "registry.sqlite3").read_bytes()
    log = (fleet.home / "log" / "operations.log").read_text()
    assert "Hid" not in log
    last = fleet.json("run", "list", "--command", "exec")[0]["run"]
    assert fleet.problem("run", "again", last, "--yes")["code"] == "run.secret"
