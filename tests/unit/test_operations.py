"""Operations survive their executor: every toy operation ends whole or taken back."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.operation_journal import again, lines, run, state_of, stuck_behind_three, submit

from vmoodle.errors import Conflict, NotFound
from vmoodle.installation import Installation
from vmoodle.operations.node import NodeLock


def test_an_operation_does_its_steps_in_order(journal: Path) -> None:
    operation = submit(journal)
    assert run("work", journal).returncode == 0
    assert lines(journal) == ["do one", "do two", "do three"]
    assert state_of(operation) == "done"


def test_a_failing_operation_goes_back_last_step_first(journal: Path) -> None:
    operation = submit(journal, fail_at="three")
    run("work", journal)
    assert lines(journal) == ["do one", "do two", "undo three", "undo two", "undo one"]
    assert state_of(operation) == "reverted"


def test_a_failure_behind_a_point_of_no_return_needs_attention_and_can_go_on(
    journal: Path,
) -> None:
    from vmoodle.registry import operations
    from vmoodle.registry.models import Operation

    operation = submit(journal, kind="late", fail_at="three")
    run("work", journal)
    assert state_of(operation) == "needs attention"
    Operation.objects.filter(id=operation).update(parameters={})
    operations.queue_again(operation, backwards=False)
    run("work", journal)
    assert state_of(operation) == "done"


def test_an_attempt_that_ends_once_more_does_not_end_the_next_one(
    installation: Installation, journal: Path
) -> None:
    from vmoodle.lifecycle.kinds import KINDS
    from vmoodle.operations.workflow import STUCK, Runner
    from vmoodle.registry import operations

    operation = submit(journal, kind="late", fail_at="three")
    run("work", journal)
    operations.queue_again(operation, backwards=False)
    Runner(installation, KINDS).close(operation, STUCK, 1)
    assert state_of(operation) == "queued"


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("step", ["one", "two", "three"])
def test_a_killed_operation_resumes_at_the_interrupted_step(
    journal: Path, step: str, moment: str
) -> None:
    operation = submit(journal)
    assert run("work", journal, f"{step}:{moment}").returncode == -9
    assert state_of(operation) == "running"
    assert run("work", journal).returncode == 0
    assert state_of(operation) == "done"
    done = lines(journal)
    repeated = [step] if moment == "after" else []
    assert sorted(done) == sorted(f"do {name}" for name in ["one", "two", "three", *repeated])


def test_an_operation_killed_on_its_way_back_ends_taken_back(journal: Path) -> None:
    operation = submit(journal, fail_at="three")
    assert run("work", journal, "two:undo").returncode == -9
    run("work", journal)
    assert state_of(operation) == "reverted"
    assert lines(journal)[-2:] == ["undo two", "undo one"]


def test_a_killed_operation_is_shown_as_one_that_nobody_executes(
    installation: Installation, journal: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from vmoodle.cli.operation import list_operations, show

    operation = submit(journal)
    run("work", journal, "two:before")
    executor = NodeLock(installation.home.run)
    for held in (False, True):
        assert not held or executor.try_acquire()
        list_operations(json=True)
        (row,) = json.loads(capsys.readouterr().out)
        assert (row["state"], row["nobody_executes"]) == ("running", not held)
        list_operations()
        show(operation)
        shown = capsys.readouterr().out
        assert shown.count("running, nobody executes") == (0 if held else 2)
        assert ("vmoodle worker" in shown) is not held
    executor.release()
    run("work", journal)
    list_operations()
    assert "nobody executes" not in capsys.readouterr().out


def test_who_works_tells_what_begins_is_gone_on_with_and_has_ended(
    installation: Installation, journal: Path
) -> None:
    killed = submit(journal)
    run("work", journal, "two:before")
    assert run("work", journal).stdout.split() == [killed, "running", killed, "done"]
    failing = submit(journal, fail_at="two")
    assert run("work", journal).stdout.split() == [failing, "queued", failing, "reverted"]


def test_a_cancelled_operation_is_taken_back(journal: Path) -> None:
    from vmoodle.registry import operations

    operation = submit(journal)
    operations.request_cancel(operation)
    run("work", journal)
    assert state_of(operation) == "cancelled"
    assert "do one" not in lines(journal)


def test_a_second_operation_on_a_site_is_refused_and_says_which_holds_it(journal: Path) -> None:
    from vmoodle.registry import operations

    first = submit(journal)
    with pytest.raises(Conflict, match=first):
        operations.submit("toy", site="s", node="n")


def test_an_unknown_operation_is_named(installation: Installation) -> None:
    from vmoodle.registry import operations

    with pytest.raises(NotFound, match="feedbeef"):
        operations.find("feedbeef")


def test_an_interrupt_while_the_executor_opens_cancels_and_blocks_nobody(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vmoodle.operations import follow
    from vmoodle.registry import operations
    from vmoodle.registry.models import OperationState

    class Canceller:
        def pull(self, **_choice: str) -> int:
            operations.finished(operation.id, OperationState.CANCELLED)
            return 0

        def close(self) -> None:
            pass

    def interrupted_at_first(*_installation_and_kinds: object) -> Canceller:
        opened.append(1)
        if len(opened) == 1:
            raise KeyboardInterrupt
        return Canceller()

    opened: list[int] = []
    operation = operations.submit("toy", site="s", node="n")
    monkeypatch.setattr(follow, "_open", interrupted_at_first)
    ended = follow.follow(installation, {}, operation.id, lambda _operation, _events: None)
    assert ended.cancel_requested
    assert len(opened) == 2
    assert NodeLock(installation.home.run).holder() is None


@pytest.mark.parametrize("carry_out", ["follow", "work"])
def test_an_executor_that_cannot_be_opened_gives_the_lock_back(
    installation: Installation, monkeypatch: pytest.MonkeyPatch, carry_out: str
) -> None:
    from vmoodle.operations import follow
    from vmoodle.registry import operations

    def broken(*_installation_and_kinds: object, **_more: object) -> None:
        raise OSError("no")

    operation = operations.submit("toy", site="s", node="n")
    monkeypatch.setattr(follow, "_open", broken)
    with pytest.raises(OSError, match="no") as raised:
        if carry_out == "follow":
            follow.follow(installation, {}, operation.id, lambda _operation, _events: None)
        else:
            follow.work(installation, {})
    # While the error's traceback lives, so does the lock's object: only a release frees it.
    assert raised.value
    assert NodeLock(installation.home.run).holder() is None


def test_one_process_per_node_executes(tmp_path: Path) -> None:
    first, second = NodeLock(tmp_path), NodeLock(tmp_path)
    assert first.try_acquire()
    assert first.try_acquire()
    assert first.holder() is not None
    assert not second.try_acquire()
    assert second.holder() is not None
    first.release()
    assert second.holder() is None


def test_a_worker_that_starts_while_somebody_asks_who_works_gets_the_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vmoodle.operations import node

    asking, worker = NodeLock(tmp_path), NodeLock(tmp_path)
    assert asking.try_acquire()
    monkeypatch.setattr(node.time, "sleep", lambda _seconds: asking.release())
    assert worker.acquire()
    assert not asking.acquire()


def test_who_waits_behind_another_process_is_told_so_once(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vmoodle.operations import follow
    from vmoodle.registry import operations

    class Told(Exception):
        pass

    def waits(executor: int) -> None:
        raise Told(executor)

    operation = operations.submit("toy", site="s", node="n")
    monkeypatch.setattr(follow, "SILENT_SECONDS", 0)
    run = str(installation.home.run)
    hold = (
        "import sys; from pathlib import Path; from vmoodle.operations.node import NodeLock; "
        "NodeLock(Path(sys.argv[1])).try_acquire() and print('ok', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", hold, run],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as other:
        assert other.stdout
        assert other.stdout.readline() == b"ok\n"
        with pytest.raises(Told, match=str(other.pid)):
            follow.follow_all(installation, {}, [operation.id], lambda _row, _events: None, waits)
        other.communicate()


@pytest.mark.parametrize("ends", [True, False])
def test_a_site_whose_holder_ends_just_now_is_free_and_else_it_is_said_to_be_held(
    installation: Installation, monkeypatch: pytest.MonkeyPatch, ends: bool
) -> None:
    from vmoodle.registry import operations
    from vmoodle.registry.models import Operation, OperationState

    holder = operations.submit("toy", site="one", node=installation.node)

    def after_its_end(_subject: str) -> None:
        # The moment between the refusal and the look at who holds the site.
        if ends:
            operations.finished(holder.id, OperationState.DONE)

    monkeypatch.setattr(operations, "refuse_held", after_its_end)
    if ends:
        assert operations.submit("toy", site="one", node=installation.node).state == "queued"
        return
    with pytest.raises(Conflict) as caught:
        operations.submit("toy", site="one", node=installation.node)
    assert caught.value.code == "operation.site.busy"
    assert Operation.objects.count() == 1


def test_a_password_that_could_not_be_handed_over_is_kept_and_then_given_once(
    installation: Installation,
) -> None:
    from vmoodle.operations.handover import handing_over
    from vmoodle.registry import operations
    from vmoodle.registry.models import OperationState
    from vmoodle.secret import Secret

    token = installation.encrypt(Secret("once"))
    row = operations.submit("toy", node=installation.node, secret_encrypted=token)
    with handing_over(installation, row.id) as early:
        assert early is None
    operations.finished(row.id, OperationState.DONE)
    with pytest.raises(OSError, match="full"), handing_over(installation, row.id):
        raise OSError("full")
    with handing_over(installation, row.id) as password:
        assert password is not None
        assert password.reveal() == "once"
    with handing_over(installation, row.id) as again:
        assert again is None


def test_only_an_operation_that_nobody_has_begun_gives_way(journal: Path) -> None:
    from vmoodle.registry import operations

    queued = submit(journal)
    operations.give_way(operations.find(queued).subject, "late")
    assert state_of(queued) == "queued"
    operations.give_way(operations.find(queued).subject, "toy")
    assert state_of(queued) == "cancelled"
    run("work", journal)
    assert lines(journal) == []

    stuck = stuck_behind_three(journal)
    again(stuck)
    operations.give_way(operations.find(stuck).subject, "toy")
    assert state_of(stuck) == "queued"


def test_an_operation_that_gives_way_as_it_is_begun_does_nothing(
    installation: Installation, journal: Path
) -> None:
    from vmoodle.lifecycle.kinds import KINDS
    from vmoodle.operations.workflow import DONE, Runner
    from vmoodle.registry import operations
    from vmoodle.registry.models import Operation

    operation = submit(journal)
    Operation.objects.filter(id=operation).update(kind="template.fill")
    operations.give_way(operations.find(operation).subject, "template.fill")
    runner = Runner(installation, KINDS)
    assert runner.plan(operation) == []
    assert runner.close(operation, DONE, 1) == "cancelled"


def test_an_operation_keeps_the_first_of_its_errors(installation: Installation) -> None:
    from vmoodle.errors import Failed
    from vmoodle.registry import operations

    row = operations.submit("toy", site="s", node=installation.node)
    operations.failed(row.id, Failed("toy.first", "This was why."))
    operations.failed(row.id, Failed("toy.second", "This came of it."))
    assert operations.find(row.id).error_code == "toy.first"


def test_a_worker_outlives_a_registry_that_is_away_for_a_moment(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    from django.db import connection

    from vmoodle.operations import follow

    monkeypatch.setattr(follow, "SCHEDULE_SECONDS", 0.0)
    monkeypatch.setattr(follow, "AFTER_FAULT_SECONDS", 0.0)
    calls: list[str] = []

    def order_due() -> None:
        calls.append("called")
        if len(calls) == 1:
            connection.cursor().execute("UPDATE away SET here = 1")
        if len(calls) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        follow.work(installation, {}, order_due=order_due)
    assert len(calls) == 3
