"""What is kept of runs, for how long, and what is forgotten with a site."""

from __future__ import annotations

from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from django.db import OperationalError
from tests.disk import fill, small_disk
from tests.faulty_registry import registry_that_takes_nothing
from tests.unit.test_runs import durable, fleet, follow, read, statuses, told, undo

from vmoodle.errors import Conflict, InvalidInput, NotFound, Refused, Unavailable
from vmoodle.installation import Installation, open_installation

if TYPE_CHECKING:
    from vmoodle.registry.fleet_models import Run

__all__ = ["fleet"]


def aged(run: Run, days: int) -> Run:
    """Return a run as if it had been ordered so many days ago."""
    from vmoodle.registry.fleet_models import Run as Row

    Row.objects.filter(id=run.id).update(created_at=datetime.now(UTC) - timedelta(days=days))
    return Row.objects.get(id=run.id)


def ids() -> set[str]:
    from vmoodle.registry.fleet_models import Run as Row

    return set(Row.objects.values_list("id", flat=True))


def test_old_runs_go_with_what_they_kept_and_the_audit_trail_stays(
    fleet: Installation, tmp_path: Path
) -> None:
    from vmoodle.registry import runs
    from vmoodle.registry.fleet_models import RunSite
    from vmoodle.registry.models import AuditEvent

    old = aged(follow(fleet, durable(fleet, "tests.undoable", directory=str(tmp_path))), 400)
    under_way = aged(durable(fleet, "tests.undoable", "a1", directory=str(tmp_path)), 400)
    new = read(fleet, "tests.plain")
    before = datetime.now(UTC) - timedelta(days=365)

    assert runs.prune(before, dry=True) == [old.id]
    assert ids() == {old.id, under_way.id, new.id}
    assert runs.prune(before) == [old.id]

    assert ids() == {under_way.id, new.id}
    assert not RunSite.objects.filter(run_id=old.id).exists()
    actions = AuditEvent.objects.filter(subject=f"run:{old.id}").values_list("outcome", flat=True)
    assert list(actions) == ["ordered", "done"]
    assert AuditEvent.objects.filter(action="fleet.run.prune").count() == 1
    assert runs.prune(before) == []


def test_a_run_is_deleted_unless_it_is_under_way(fleet: Installation, tmp_path: Path) -> None:
    from vmoodle.registry import runs

    run = durable(fleet, "tests.undoable", directory=str(tmp_path))
    with pytest.raises(Conflict) as refused:
        runs.delete(run)
    assert refused.value.code == "run.state"
    runs.delete(follow(fleet, run))
    with pytest.raises(NotFound):
        runs.find(run.id)


def test_a_run_that_can_still_be_taken_back_is_deleted_only_when_that_is_confirmed(
    fleet: Installation, tmp_path: Path
) -> None:
    from vmoodle.cli.run import delete

    words = {"directory": str(tmp_path)}
    run = follow(fleet, durable(fleet, "tests.undoable", "a1", **words))
    with pytest.raises(Refused, match="can still be taken back on 1 site") as refused:
        delete(run.id)
    assert (refused.value.code, f"run undo {run.id}" in refused.value.hint) == (
        "run.unconfirmed", True
    )  # fmt: skip
    assert ids() == {run.id}
    undo(fleet, run)
    delete(run.id)
    assert run.id not in ids()
    other = follow(fleet, durable(fleet, "tests.undoable", "a1", **words))
    delete(other.id, yes=True)
    delete(read(fleet, "tests.plain").id)
    assert len(ids()) == 1, "the undo of the first"


def test_a_worker_prunes_once_a_day(fleet: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    from vmoodle.scheduler.runs import prune_due

    morning = datetime(2030, 1, 1, 1, tzinfo=UTC)
    prune_due(fleet, morning)
    old = aged(read(fleet, "tests.plain"), 400)
    prune_due(fleet, morning + timedelta(hours=1))
    assert old.id in ids(), "the day's time has not come"
    prune_due(fleet, morning + timedelta(hours=6))
    assert ids() == set()
    again = aged(read(fleet, "tests.plain"), 400)
    prune_due(fleet, morning + timedelta(hours=7))
    assert again.id in ids(), "it was done today"
    monkeypatch.setenv("VMOODLE_FLEET__KEEP_RUNS_DAYS", "0")
    prune_due(open_installation(), morning + timedelta(days=3))
    assert again.id in ids(), "runs are kept for ever"


def test_what_a_destroyed_site_answered_is_forgotten_and_that_it_was_there_is_not(
    fleet: Installation, tmp_path: Path
) -> None:
    from vmoodle.registry import runs
    from vmoodle.registry.models import Site

    run = follow(fleet, durable(fleet, "tests.undoable", directory=str(tmp_path)))
    runs.forget_site(Site.objects.get(shortname="a1").id)
    assert statuses(run)["a1"] == "ok"
    assert "value" not in told(run)["a1"]
    assert "value" in told(run)["a2"]
    assert "a1" not in runs.undoable(run.id)


def test_long_and_short_answers_are_kept_as_they_were(fleet: Installation) -> None:
    from vmoodle.registry import runs
    from vmoodle.registry.fleet_models import RunSite, RunSiteState
    from vmoodle.registry.models import Site

    run = read(fleet, "tests.plain")
    for text in ('{"scalar":1}', '{"text":"' + "ä" * 5000 + '"}'):
        site = Site.objects.get(shortname="a1").id
        runs.keep(run.id, [runs.Outcome(site, RunSiteState.OK, 1, text)])
        row = RunSite.objects.get(run=run, shortname="a1")
        assert runs.result_of(row) == text
        assert len(bytes(row.result or b"")) < 100


def test_parquet_has_the_rows_of_all_sites(fleet: Installation, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")
    from vmoodle.fleet.runs.export import export

    run = read(fleet, "tests.plain", fails="a2")
    assert export(run, tmp_path / "x.parquet", "parquet") == 3
    table = parquet.read_table(tmp_path / "x.parquet")
    assert table.to_pylist() == [{"site": name, "value": "1"} for name in ("a1", "b1", "b2")]
    assert [path.name for path in tmp_path.iterdir()] == ["x.parquet"]


def test_parquet_without_pyarrow_is_refused_and_leaves_no_file(
    fleet: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    from vmoodle.fleet.runs.export import export

    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(Unavailable) as refused:
        export(read(fleet, "tests.plain"), tmp_path / "x.parquet", "parquet")
    assert refused.value.code == "run.parquet"
    assert list(tmp_path.iterdir()) == []


def test_what_the_registry_did_not_take_of_a_change_is_unknown_when_its_run_has_ended(
    fleet: Installation, tmp_path: Path
) -> None:
    from vmoodle.fleet.runs import runner
    from vmoodle.fleet.runs.order import unknown_outcome
    from vmoodle.registry import runs

    run = durable(fleet, "tests.write", directory=str(tmp_path), waits="b2")
    with ExitStack() as until_the_end:

        def tell(_words: str) -> None:
            until_the_end.enter_context(registry_that_takes_nothing())
            (tmp_path / "go").touch()

        with pytest.raises(OperationalError):
            runner.carry_out(fleet, run.id, tell, lambda: False)
    assert statuses(run)["b2"] == "begun"
    runs.finish(run.id, unknown_outcome(run.id))
    assert told(run)["b2"]["status"] == "unknown"
    assert "is not known" in told(run)["b2"]["error"]["detail"]


def test_an_export_that_the_disk_does_not_take_is_refused_and_leaves_no_file(
    fleet: Installation,
) -> None:
    from vmoodle.fleet.runs.export import export

    run = read(fleet, "tests.plain")
    with small_disk(65536) as disk:
        fill(disk)
        for form in ("csv", "json"):
            with pytest.raises(InvalidInput) as refused:
                export(run, disk / "answers", form)
            assert refused.value.code == "run.export"
            assert "No space left" in refused.value.message
        assert [one.name for one in disk.iterdir()] == ["filler"]


def test_an_export_never_takes_the_place_of_what_came_meanwhile(
    fleet: Installation, tmp_path: Path
) -> None:
    from vmoodle.fleet.runs.export import export

    # Nothing is there as one looks, and something is as one writes.
    (tmp_path / "answers").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InvalidInput) as refused:
        export(read(fleet, "tests.plain"), tmp_path / "answers", "csv")
    assert refused.value.code == "run.export"
    assert [one.name for one in tmp_path.iterdir()] == ["answers"]
