"""`vmoodle upgrade run`: sites move to another codebase in waves, and go back when they fail."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests import servers
from tests.checksums import table_checksums
from tests.contract.copies import CopyFleet
from tests.fleet import Fleet

from vmoodle.engines.protocol import open_engine
from vmoodle.sandbox import copy_tree

NAMES = ("u1", "u2", "u3")


@pytest.fixture(scope="module", params=["mariadb", "postgresql"])
def upgradable(request: pytest.FixtureRequest) -> Iterator[CopyFleet]:
    """Three sites on the codebase `old`, and the codebases `new` and `broken`."""
    servers.require(request.param)
    directory = Path(tempfile.mkdtemp(prefix="vmoodle-upgrade-"))
    directory.chmod(0o755)
    with getattr(servers, f"private_{request.param}")(directory / "server") as server:
        fleet = Fleet(directory / "home", {"VMOODLE_UPGRADES__KEEP_COPY_HOURS": "0"})
        fleet.run("server", "add", "main", server.url)
        fleet.run("codebase", "add", "old", "sandbox")
        for name, release in (("new", "5.1.0"), ("broken", "5.0.0")):
            fleet.run("codebase", "add", name, str(copy_tree(directory / name, release=release)))
        (directory / "broken" / "lib" / "db" / "fail_upgrade").touch()
        made = CopyFleet(fleet, open_engine(server.address))
        made.make("site", "create", "u1", "--url", "http://u1.example.test", "--codebase", "old")
        for name in NAMES[1:]:
            fleet.run("site", "clone", "u1", name, "--url", f"http://{name}.example.test")
        yield made
        fleet.run("worker", "--until-idle")
        fleet.assert_clean()
    shutil.rmtree(directory, ignore_errors=True)


def run(fleet: CopyFleet, to: str, *words: str, on: str = "u*", **more: Any) -> dict[str, Any]:
    """Upgrade sites and return what became of it, the sites by name."""
    words = ("--confirm", ",".join(NAMES), *words) if "--yes" not in words else words
    return named(fleet.fleet.json("upgrade", "run", "--to", to, "--on", on, *words, **more))


def named(document: dict[str, Any]) -> dict[str, Any]:
    return document | {"sites": {one["shortname"]: one for one in document["sites"]}}


def states(document: dict[str, Any]) -> dict[str, str]:
    return {name: one["state"] for name, one in document["sites"].items()}


def codebases(fleet: CopyFleet) -> dict[str, str]:
    return {one["shortname"]: one["codebase"] for one in fleet.fleet.json("site", "list")}


def test_what_fails_goes_back_to_its_data_and_halts_the_rest(upgradable: CopyFleet) -> None:
    before = table_checksums(upgradable.engine, upgradable.database("u1"))
    databases = len(upgradable.engine.list_databases())
    ended = run(upgradable, "broken", status=1)
    assert ended["state"] == "halted"
    assert states(ended) == {"u1": "failed", "u2": "waiting", "u3": "waiting"}
    canary = ended["sites"]["u1"]
    assert canary["error_code"] == "upgrade.failed"
    assert "fail_upgrade" in canary["error_message"]
    assert canary["downtime_ms"] > 0
    assert codebases(upgradable) == dict.fromkeys(NAMES, "old")
    assert table_checksums(upgradable.engine, upgradable.database("u1")) == before
    assert len(upgradable.engine.list_databases()) == databases
    # It was proved to serve when it went back, and it can be proved again.
    assert "200" in upgradable.fleet.run("hook", "check", "u1").stdout
    again = upgradable.fleet.problem("upgrade", "run", "--to", "new", "--on", "u2", "--yes")
    assert again["code"] == "upgrade.sites"
    assert upgradable.fleet.json("upgrade", "cancel", ended["upgrade"])["state"] == "cancelled"


def test_the_same_failure_is_not_tried_again_unasked(upgradable: CopyFleet) -> None:
    ended = run(upgradable, "broken", "--yes", on="u1", status=1)
    assert states(ended) == {"u1": "skipped"}
    assert ended["sites"]["u1"]["error_code"] == "upgrade.failed_before"
    ended = run(upgradable, "broken", "--yes", "--retry", on="u1", status=1)
    assert states(ended) == {"u1": "failed"}
    # From other versions it is another upgrade.
    database = upgradable.database("u1")
    version = upgradable.config(database)["allversionshash"]
    for wanted, tried in (("another", "failed"), (version, "skipped")):
        with upgradable.engine.connect(database, read_only=False) as connection:
            connection.execute(
                "UPDATE {config} SET value = %s WHERE name = 'allversionshash'", (wanted,)
            )
        assert states(run(upgradable, "broken", "--yes", on="u1", status=1)) == {"u1": tried}
        database = upgradable.database("u1")


def test_an_upgrade_that_is_killed_goes_back_too(upgradable: CopyFleet) -> None:
    mark = (
        next(
            Path(one["path"])
            for one in upgradable.fleet.json("codebase", "list")
            if one["name"] == "broken"
        )
        / "lib"
        / "db"
        / "fail_upgrade"
    )
    before = table_checksums(upgradable.engine, upgradable.database("u2"))
    mark.write_text("kill")
    try:
        ended = run(upgradable, "broken", "--yes", on="u2", status=1)
    finally:
        mark.write_text("")
    assert states(ended) == {"u2": "failed"}
    assert table_checksums(upgradable.engine, upgradable.database("u2")) == before


def test_nothing_is_changed_by_input_that_cannot_be(upgradable: CopyFleet) -> None:
    def refused(*words: str) -> str:
        return str(upgradable.fleet.problem("upgrade", *words)["code"])

    given = ("run", "--to", "new", "--on", "u*")
    assert refused("run", "--to", "none", "--on", "u*") == "codebase.unknown"
    assert refused(*given) == "run.unconfirmed"
    everything = (*given, "--confirm", ",".join(NAMES))
    for waves in ("0", "1,x", "101%", "-1", ""):
        assert refused(*everything, f"--waves={waves}") == "upgrade.amount"
    assert refused(*everything, "--stop-after", "none") == "upgrade.amount"
    assert refused(*everything, "--pause", "soon") == "upgrade.seconds"
    assert refused(*everything, "--first", "other") == "upgrade.first"
    assert refused(*everything, "--accept", "core.downgrade") == "upgrade.accept"
    for word in ("show", "pause", "resume", "cancel", "retry", "follow"):
        assert refused(word, "none") == "upgrade.unknown"
    assert codebases(upgradable) == dict.fromkeys(NAMES, "old")


def test_waves_pause_go_on_and_leave_every_site_on_the_new_code(upgradable: CopyFleet) -> None:
    dry = upgradable.fleet.json(
        "upgrade", "run", "--to", "new", "--on", "u*", "--first", "u3", "--waves", "1,34%",
        "--dry-run",
    )  # fmt: skip
    assert [(one["site"], one["wave"]) for one in dry["waves"]] == [("u3", 1), ("u1", 2), ("u2", 2)]
    begun = run(upgradable, "new", "--first", "u3", "--pause", "1h", "--detach")
    assert states(begun) == {"u3": "running", "u1": "waiting", "u2": "waiting"}
    upgradable.fleet.run("worker", "--until-idle")
    shown = named(upgradable.fleet.json("upgrade", "show", begun["upgrade"]))
    assert states(shown) == {"u3": "done", "u1": "waiting", "u2": "waiting"}
    assert shown["next_wave_at"]
    assert codebases(upgradable) == {"u1": "old", "u2": "old", "u3": "new"}
    assert upgradable.fleet.json("upgrade", "pause", begun["upgrade"])["state"] == "paused"
    assert upgradable.fleet.problem("upgrade", "retry", begun["upgrade"])["code"] == (
        "upgrade.nothing"
    )
    upgradable.fleet.json("upgrade", "cancel", begun["upgrade"])
    ended = named(upgradable.fleet.json("upgrade", "retry", begun["upgrade"]))
    assert states(ended) == dict.fromkeys(("u3", "u1", "u2"), "done")
    assert ended["state"] == "done"
    assert codebases(upgradable) == dict.fromkeys(NAMES, "new")
    for name in NAMES:
        database = upgradable.database(name)
        assert upgradable.config(database)["release"].startswith("5.1.0")
        assert ended["sites"][name]["downtime_ms"] >= ended["sites"][name]["upgrade_ms"]
        assert "200" in upgradable.fleet.run("hook", "check", name).stdout
    # One that had gone back is on what was its safety copy; nothing else is left of the copies.
    used = {upgradable.database(name).name for name in NAMES}
    assert {name for name in upgradable.engine.list_databases() if name.startswith("vm")} == used
    listed = upgradable.fleet.json("upgrade", "list")
    assert listed[0]["summary"] == {"done": 3}
    needless = run(upgradable, "new", "--yes", on="u1")
    assert needless["sites"]["u1"]["error_code"] == "upgrade.needless"
