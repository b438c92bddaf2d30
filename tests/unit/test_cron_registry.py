"""Who runs a site's cron is decided in the registry: one run a site, none beside an operation."""

from __future__ import annotations

import threading
import time
import uuid
from typing import Any

import pytest
from django.db import OperationalError
from tests.faulty_registry import registry_that_takes_nothing
from tests.registry_sites import enter_site, enter_sites

from vmoodle.errors import InvalidInput, Unavailable
from vmoodle.installation import Installation
from vmoodle.process import this_process
from vmoodle.scheduler.cron.policy import policy
from vmoodle.settings import CronSettings

NOW = 1_800_000_000.0
RUN = {
    "strategy": "due", "tier": "active", "script": "admin/cli/cron.php", "due": 1, "adhoc": 0,
    "waited": 1.0, "started": NOW,
}  # fmt: skip


@pytest.fixture
def sites(installation: Installation) -> dict[str, int]:
    """Four enabled sites on two servers, in the registry only; their ids by name."""
    from vmoodle.registry import cron

    ids = enter_sites(4)
    cron.enter_new(NOW)
    assert installation.node
    return ids


def begin(
    sites: dict[str, int], name: str, *, per_server: int = 4, holder: str = "",
    last_started: float | None = None,
) -> str:  # fmt: skip
    """Try to take hold of a site; return the run's id, empty where it was not free."""
    from vmoodle.registry import cron
    from vmoodle.registry.models import Site

    run_id = uuid.uuid4().hex[:12]
    lease = cron.Lease(
        sites[name], name, run_id, holder or this_process().text, "node", 0, stop_requested=False
    )
    server_id = Site.objects.get(id=sites[name]).server_id
    rows = {row["shortname"]: row for row in cron.standings(every=True)}
    begun = cron.begin(
        lease,
        RUN,
        rows.get(name, {}),
        last_started=last_started,
        server_id=server_id,
        per_server=per_server,
    )
    return run_id if begun else ""


def end(sites: dict[str, int], name: str, run_id: str, outcome: str = "ok") -> None:
    from vmoodle.registry import cron

    row: dict[str, Any] = next(r for r in cron.standings(every=True) if r["shortname"] == name)
    cron.end(sites[name], run_id, row, {"outcome": outcome, "seconds": 1.0})


def fleet_that_has_begun(installation: Installation) -> Any:
    """Return a fleet that has begun a run of `s0`, for which PHP did not start."""
    from vmoodle.scheduler.cron.choice import CRON, Chosen
    from vmoodle.scheduler.cron.registry_fleet import RegistryFleet

    fleet = RegistryFleet(installation, policy(CronSettings()))
    site = next(one for one in fleet.standings(NOW) if one.shortname == "s0")
    assert fleet.begin(Chosen(site, CRON), NOW)
    return fleet


def known(*, every: bool = False) -> list[str]:
    from vmoodle.registry import cron

    return [row["shortname"] for row in cron.standings(every=every)]


def test_a_site_is_taken_hold_of_once_until_its_run_has_ended(sites: dict[str, int]) -> None:
    first = begin(sites, "s0")
    assert first
    assert begin(sites, "s0") == ""
    assert begin(sites, "s1")
    end(sites, "s0", "another run")
    assert begin(sites, "s0") == ""
    end(sites, "s0", first)
    assert begin(sites, "s0")


def test_who_knows_of_an_older_run_only_does_not_run_a_site_again(sites: dict[str, int]) -> None:
    from vmoodle.registry import cron

    old = next(row for row in cron.standings() if row["shortname"] == "s0")
    run_id = begin(sites, "s0")
    ran = old | {"started": NOW + 5, "runs": 1}
    cron.end(sites["s0"], run_id, ran, {"outcome": "ok", "seconds": 1.0})
    assert begin(sites, "s0") == ""
    # Nor does a look that began before that run take its traces away.
    cron.keep([old | {"due": 3}], unless_run=True)
    assert begin(sites, "s0") == ""
    cron.keep([ran | {"due": 3}], unless_run=True)
    now = next(row for row in cron.standings() if row["shortname"] == "s0")
    assert (now["started"], now["due"]) == (NOW + 5, 3)
    assert begin(sites, "s0", last_started=NOW + 5)


def test_a_server_takes_so_many_runs_of_all_nodes(sites: dict[str, int]) -> None:
    assert begin(sites, "s0", per_server=1)
    assert begin(sites, "s2", per_server=1) == ""
    assert begin(sites, "s1", per_server=1)


def test_a_site_that_an_operation_holds_or_copies_is_not_run(sites: dict[str, int]) -> None:
    from vmoodle.registry import operations

    operations.submit("site.upgrade", site="s0", node="n")
    operations.submit("site.clone", site="new", parameters={"source": "site:s1"}, node="n")
    assert known() == ["s2", "s3"] and known(every=True) == ["s0", "s1", "s2", "s3"]
    assert begin(sites, "s0") == begin(sites, "s1") == ""
    assert begin(sites, "s2")


def test_a_site_that_a_run_is_changing_is_not_run(sites: dict[str, int]) -> None:
    from vmoodle.registry import runs

    values = {"command": "c", "effect": "writes", "target": "*", "timeout": 1, "node": "n"}
    run = runs.create(values, [(sites["s3"], "s3")], {}, as_operation=False)
    assert begin(sites, "s3")
    assert runs.begun(run.id, [sites["s3"]]) == {}
    assert "s3" in known()  # it is under way by now
    assert begin(sites, "s2")


def test_only_enabled_sites_are_run(sites: dict[str, int]) -> None:
    from vmoodle.registry.models import Site

    Site.objects.filter(shortname="s0").update(state="suspended")
    assert begin(sites, "s0") == ""
    assert known(every=True) == ["s1", "s2", "s3"]


def test_a_site_that_is_removed_under_way_is_forgotten_with_its_runs(sites: dict[str, int]) -> None:
    from vmoodle.registry import cron
    from vmoodle.registry.models import Site

    run_id = begin(sites, "s0")
    row = cron.standings(every=True)[0]
    Site.objects.filter(shortname="s0").delete()
    cron.end(sites["s0"], run_id, row, {"outcome": "ok", "seconds": 1.0})
    assert cron.find_run(run_id).outcome == "ok"
    assert cron.forget_gone() == [("s0", run_id)]
    assert cron.runs() == [] and cron.leases() == []


def test_a_run_of_a_process_that_is_gone_is_nobodys(
    sites: dict[str, int], installation: Installation
) -> None:
    from vmoodle.operations.site_cron import end_cron, is_running
    from vmoodle.registry import cron
    from vmoodle.scheduler.cron.registry_fleet import RegistryFleet

    me = this_process()
    mine, lost = begin(sites, "s0"), begin(sites, "s1", holder=f"{me.machine} 999999 1.00")
    elsewhere = begin(sites, "s2", holder="another-machine 1 1.00")
    assert is_running("s0") and not is_running("s1") and is_running("s2")
    end_cron(installation, "s1")
    fleet = RegistryFleet(installation, policy(CronSettings()))
    fleet.standings(time.time())
    assert {lease.run_id for lease in cron.leases()} == {mine, elsewhere}
    assert cron.find_run(lost).outcome == "lost"


def test_what_waits_for_a_cron_asks_it_to_stop_and_says_when_it_does_not(
    sites: dict[str, int], installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vmoodle.operations import site_cron
    from vmoodle.registry import cron

    monkeypatch.setattr(site_cron, "STOP_SECONDS", 0.2)
    begin(sites, "s0")
    said: list[str] = []
    with pytest.raises(Unavailable) as caught:
        site_cron.end_cron(installation, "s0", patience=0, say=said.append)
    assert caught.value.code == "cron.running" and said == ["its cron is asked to stop"]
    assert [lease.stop_requested for lease in cron.leases()] == [True]


def test_runs_that_went_well_are_kept_for_the_last_ones_only(sites: dict[str, int]) -> None:
    from vmoodle.registry import cron
    from vmoodle.registry.cron_models import CronRun

    for number in range(6):
        run_id = begin(sites, "s0")
        end(sites, "s0", run_id, "failed" if number == 0 else "ok")
        CronRun.objects.filter(id=run_id).update(started=NOW + number)
    assert len(cron.prune(sites["s0"], well=2, before=NOW)) == 3
    assert [run.outcome for run in cron.runs()] == ["ok", "ok", "failed"]
    assert [run.outcome for run in cron.prune(sites["s0"], well=2, before=NOW + 1)] == ["failed"]


def test_a_promise_that_nobody_can_keep_is_refused() -> None:
    with pytest.raises(InvalidInput) as caught:
        policy(CronSettings(quiet_every=3600, quiet_gap=1800))
    assert caught.value.code == "settings.cron.gap"
    assert policy(CronSettings(together=1)).together == 3


def test_the_end_of_a_run_that_the_registry_did_not_take_is_kept_when_it_does_again(
    sites: dict[str, int], installation: Installation
) -> None:
    from vmoodle.registry import cron

    fleet = fleet_that_has_begun(installation)
    with registry_that_takes_nothing(), pytest.raises(OperationalError):
        fleet.collect()
    assert fleet.count == len(cron.leases()) == 1
    assert fleet.collect() == 1
    row = next(row for row in cron.standings() if row["shortname"] == "s0")
    assert (row["run_id"], row["failures"], fleet.count) == ("", 1, 0)
    assert [run.outcome for run in cron.runs()] == ["failed"]


def test_a_run_for_which_there_is_no_thread_has_failed_and_holds_no_site(
    sites: dict[str, int], installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vmoodle.registry import cron
    from vmoodle.registry.models import Site
    from vmoodle.secret import Secret

    def no_thread(_self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    Site.objects.update(password_encrypted=installation.encrypt(Secret("x")))
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", no_thread)
        fleet = fleet_that_has_begun(installation)
    assert fleet.collect() == 1
    assert cron.leases() == [] and fleet.count == 0
    assert [(run.outcome, run.error) for run in cron.runs()] == [
        ("failed", "RuntimeError: can't start new thread")
    ]


def test_a_run_is_kept_with_how_its_site_stands_then_or_not_at_all(
    sites: dict[str, int], installation: Installation
) -> None:
    from vmoodle.registry import cron

    fleet_that_has_begun(installation)
    row = next(row for row in cron.standings() if row["shortname"] == "s0")
    assert (row["started"], row["runs"]) == (NOW, 1)


def test_the_logs_of_a_site_outlive_an_earlier_one_of_its_name(
    sites: dict[str, int], installation: Installation
) -> None:
    from vmoodle.registry import cron
    from vmoodle.registry.models import Site
    from vmoodle.scheduler.cron import logs
    from vmoodle.scheduler.cron.run import Ended
    from vmoodle.scheduler.cron.service import keep_up
    from vmoodle.scheduler.cron.standing import Outcome

    def run() -> str:
        run_id = begin(sites, "s0")
        ended = Ended(run_id, Outcome.OK, 0, "", 1.0, "what it said", 1, cut=False)
        logs.write(installation.home, "s0", ended)
        end(sites, "s0", run_id)
        return run_id

    earlier = run()
    Site.objects.filter(shortname="s0").delete()
    sites["s0"] = enter_site("s0")
    cron.enter_new(NOW)
    later = run()
    keep_up(installation)
    said = [logs.read(installation.home, "s0", one) for one in (earlier, later)]
    assert said == ["", "what it said"]
