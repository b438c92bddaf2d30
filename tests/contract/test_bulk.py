"""Many sites in one call: each on its own, summed up, and no fleet lost by a slip."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.contract.copies import CopyFleet, copies

__all__ = ["copies"]

# Which engine it is makes no difference to who is meant and what is told.
pytestmark = pytest.mark.parametrize("copies", ["postgresql"], indirect=True)
NAMES = ["north1", "north2", "south1"]


def bulk(copies: CopyFleet, *words: str, status: int = 0) -> dict[str, Any]:
    return {row["site"]: row for row in copies.fleet.json("site", *words, status=status)}


def states(copies: CopyFleet) -> dict[str, str]:
    return {row["shortname"]: row["state"] for row in copies.fleet.json("site", "list")}


def test_several_sites_are_suspended_deleted_and_brought_back_by_one_call(
    copies: CopyFleet,
) -> None:
    fleet = copies.fleet
    fleet.run("template", "create", "base", "--from", "first")
    for name in NAMES:
        words = ("--url", f"http://{name}.example.test", "--template", "base")
        copies.make("site", "create", name, *words, "--label", f"region={name[:5]}")
    assert bulk(copies, "suspend", "--label", "region=north", "--reason", "works").keys() == {
        "north1", "north2"
    }  # fmt: skip
    # A second call without a reason leaves the one that is kept.
    assert fleet.json("site", "suspend", "north1")["reason"] == "works"
    assert fleet.json("site", "suspend", "north1", "--reason", "other")["reason"] == "other"
    assert fleet.json("site", "suspend", "north1", "--reason", "")["reason"] == ""
    assert fleet.problem("site", "suspend", "north*")["code"] == "target.none"
    assert fleet.problem("site", "suspend")["code"] == "target.nothing"

    # One that cannot be deleted stops no other, and the call tells it by its status.
    confirmed = "north1, south1,north2"
    rows = bulk(copies, "delete", "north*", "south1", "--confirm", confirmed, status=1)
    assert {name: row["outcome"] for name, row in rows.items()} == {
        "north1": "deleted", "north2": "deleted", "south1": "failed"
    }  # fmt: skip
    assert rows["south1"]["code"] == "site.enabled"
    assert states(copies) == {
        "first": "enabled", "north1": "deleted", "north2": "deleted", "south1": "enabled"
    }  # fmt: skip

    assert bulk(copies, "revive", "--all").keys() == {"north1", "north2"}
    said = fleet.run("site", "resume", "*1", "north2", "--json", status=None)
    assert said.returncode == 0
    assert set(states(copies).values()) == {"enabled"}
    ended = fleet.run("site", "resume", "north1", "north2")
    assert "2 resumed" in ended.stderr
    fleet.assert_clean()


def test_a_slip_deletes_no_fleet(copies: CopyFleet) -> None:
    fleet = copies.fleet
    bulk(copies, "suspend", "north*", "south1")
    for confirm in ((), ("--confirm", "3"), ("--confirm", "yes"), ("--confirm", "north1")):
        problem = fleet.problem("site", "delete", "*", *confirm)
        assert problem["code"] == "site.delete.unconfirmed"
        assert all(name in problem["detail"] for name in NAMES)
    phrase = problem["hint"].split("--confirm ")[1]
    # What was confirmed for three sites is no confirmation of two others or of three others.
    assert fleet.problem("site", "delete", "north*", "--confirm", phrase)["code"] == (
        "site.delete.unconfirmed"
    )
    fleet.run("site", "resume", "south1")
    assert fleet.problem("site", "delete", "*", "--confirm", phrase)["code"] == (
        "site.delete.unconfirmed"
    )
    assert "deleted" not in states(copies).values()
    fleet.run("site", "suspend", "south1")
    rows = bulk(copies, "delete", "*", "--purge", "--confirm", phrase)
    assert [row["outcome"] for row in rows.values()] == ["deleted"] * 3
    assert [row["certificate"]["site"] for row in rows.values()] == NAMES
    assert states(copies) == {"first": "enabled"}
    fleet.assert_clean()


def test_snapshots_of_sites_that_are_held_are_refused_and_nothing_else_is_worked_off(
    copies: CopyFleet,
) -> None:
    fleet = copies.fleet
    (queued,) = fleet.json("snapshot", "create", "f*", "--detach")
    assert (queued["site"], queued["ok"]) == ("first", True)
    (refused,) = fleet.json("snapshot", "create", "f*", status=1)
    assert (refused["ok"], refused["code"]) == (False, "site.state")
    assert [row["state"] for row in fleet.json("operation", "list", "--active")] == ["queued"]
    fleet.run("worker", "--until-idle")


def test_one_site_that_cannot_be_purged_stops_no_other(copies: CopyFleet, tmp_path: Path) -> None:
    fleet = copies.fleet
    listed = tmp_path / "list.csv"
    lines = [f"{name};http://{name}.example.test;base;0" for name in ("stuck", "over")]
    listed.write_text("\n".join(["shortname;url;template;enabled", *lines]))
    fleet.run("site", "import", str(listed))
    words = ("delete", "over", "stuck", "--confirm", "over,stuck", "--no-snapshot")
    fleet.environment["VMOODLE_SITES__DELETE_GRACE_DAYS"] = "0"
    bulk(copies, *words)
    dataroot = Path(fleet.json("site", "show", "stuck")["dataroot"])
    aside = dataroot.rename(dataroot.with_name("aside"))
    dataroot.symlink_to(aside)
    rows = fleet.json("site", "purge", "--expired", status=1)
    assert [(row["site"], row["ok"]) for row in rows] == [("over", True), ("stuck", False)]
    assert any(thing["kind"] == "database" for thing in rows[0]["destroyed"])
    assert rows[1]["code"]
    assert states(copies) == {"first": "enabled", "stuck": "deleted"}
    dataroot.unlink()
    aside.rename(dataroot)
    assert "destroyed: stuck" in fleet.run("site", "purge", "--expired").stdout
    fleet.assert_clean()
