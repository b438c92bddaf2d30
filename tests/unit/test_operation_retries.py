"""Operations that are tried again, cancelled or taken back after an attempt that got stuck."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.operation_journal import again, behave, lines, run, state_of, stuck_behind_three, submit

from vmoodle.errors import Conflict
from vmoodle.installation import Installation


def test_a_retry_that_fails_earlier_takes_back_what_the_first_attempt_made(journal: Path) -> None:
    operation = stuck_behind_three(journal)
    behave(operation, fail_at="one")
    again(operation)
    run("work", journal)
    assert lines(journal)[2:] == ["undo three", "undo two", "undo one"]
    assert state_of(operation) == "reverted"


def test_a_cancelled_retry_takes_back_what_the_first_attempt_made(journal: Path) -> None:
    operation = stuck_behind_three(journal)
    behave(operation)
    again(operation, cancel=True)
    run("work", journal)
    assert lines(journal)[2:] == ["undo three", "undo two", "undo one"]
    assert state_of(operation) == "cancelled"


def test_a_retry_is_not_cancelled_when_an_attempt_began_what_has_no_way_back(journal: Path) -> None:
    operation = submit(journal, kind="late", fail_at="two")
    run("work", journal)
    assert state_of(operation) == "needs attention"
    behave(operation)
    again(operation, cancel=True)
    run("work", journal)
    assert state_of(operation) == "done"


def test_a_retry_that_fails_before_a_begun_point_of_no_return_still_needs_attention(
    journal: Path,
) -> None:
    operation = submit(journal, kind="late", fail_at="three")
    run("work", journal)
    behave(operation, fail_at="one")
    again(operation)
    run("work", journal)
    assert state_of(operation) == "needs attention"


def test_a_cancel_behind_a_point_of_no_return_is_refused(installation: Installation) -> None:
    from vmoodle.operations.cancel import cancel
    from vmoodle.operations.plan import OperationKind, Step
    from vmoodle.registry import operations

    steps = (Step("one", "one", print), Step("two", "two", print, undo=None))
    kinds = {"late": OperationKind("late", "late", steps)}
    operation = operations.submit("late", site="s", node="n")
    operations.begun(operation.id, 1)
    assert cancel(kinds, operation.id).cancel_requested
    operations.begun(operation.id, 2)
    operations.begun(operation.id, 1)
    with pytest.raises(Conflict, match="cannot be taken back"):
        cancel(kinds, operation.id)


def test_a_revert_behind_a_point_of_no_return_is_refused_and_not_offered(journal: Path) -> None:
    from vmoodle.errors import NeedsAttention
    from vmoodle.operations import decide
    from vmoodle.operations.outcome import raise_its_error
    from vmoodle.operations.plan import OperationKind, Step
    from vmoodle.registry import operations
    from vmoodle.registry.models import Operation

    steps = (Step("one", "one", print), Step("two", "two", print, undo=None))
    kinds = {"late": OperationKind("late", "late", steps)}
    operation = submit(journal, kind="late", fail_at="three")
    run("work", journal)
    before = Operation.objects.filter(id=operation).values().get()
    with pytest.raises(Conflict, match="cannot be reverted") as refused:
        decide.revert(kinds, operation)
    assert operation in refused.value.hint
    assert Operation.objects.filter(id=operation).values().get() == before
    with pytest.raises(NeedsAttention) as told:
        raise_its_error(operations.find(operation), kinds)
    assert told.value.hint.endswith(f"Then: vmoodle operation retry {operation}")


def test_a_revert_is_offered_where_all_that_was_begun_has_an_undo(
    installation: Installation,
) -> None:
    from vmoodle.lifecycle.kinds import KINDS
    from vmoodle.operations import decide
    from vmoodle.registry import operations
    from vmoodle.registry.models import OperationState

    operation = operations.submit("site.create", site="s", node="n")
    operations.begun(operation.id, 3)
    operations.finished(operation.id, OperationState.ATTENTION)
    assert len(decide.choices(KINDS, operations.find(operation.id))) == 2
    assert decide.revert(KINDS, operation.id[:6]).id == operation.id
    assert state_of(operation.id) == "reverting"


def test_what_an_older_release_had_begun_is_counted_when_the_registry_is_migrated(
    installation: Installation,
) -> None:
    from django.core.management import call_command

    from vmoodle.registry import operations
    from vmoodle.registry.models import Operation

    rows = [operations.submit("toy", site=site, node="n").id for site in ("a", "b", "c")]
    Operation.objects.filter(id=rows[0]).update(state="done", steps_total=3, steps_done=3)
    Operation.objects.filter(id=rows[1]).update(state="running", steps_total=3, steps_done=1)
    call_command("migrate", "registry", "0001", verbosity=0)
    call_command("migrate", "registry", verbosity=0)
    assert [operations.find(row).steps_entered for row in rows] == [0, 2, 0]


def test_settings_that_an_older_release_kept_for_ever_are_forgotten_where_the_site_is_made(
    installation: Installation,
) -> None:
    from django.core.management import call_command

    from vmoodle.registry import operations
    from vmoodle.registry.models import Operation, OperationState

    given = {"settings": "encrypted", "source": "template:t"}
    ended, waiting = (
        operations.submit("toy", site=site, node="n", parameters=given).id for site in ("a", "b")
    )
    call_command("migrate", "registry", "0005", verbosity=0)
    Operation.objects.filter(id=ended).update(state="done")
    call_command("migrate", "registry", verbosity=0)
    rows = [operations.find(ended), operations.find(waiting)]
    assert [row.parameters for row in rows] == [{"source": "template:t"}] * 2
    assert [row.settings_encrypted for row in rows] == ["", "encrypted"]
    operations.finished(waiting, OperationState.ATTENTION)
    assert operations.find(waiting).settings_encrypted == "encrypted"
    operations.finished(waiting, OperationState.REVERTED)
    assert operations.find(waiting).settings_encrypted == ""
