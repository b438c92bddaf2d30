"""Deletions of sites: registry and map change together, and no two callers win at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.published_sites import beside, set_state, state_of

from vmoodle.errors import Conflict, Failed, Refused, Unavailable
from vmoodle.installation import Installation


def test_a_site_resumed_after_its_deletion_was_ordered_is_not_deleted(
    installation: Installation, site: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from django.db import connection

    from vmoodle.lifecycle import delete, resources, suspend

    suspend.suspend(installation, "one")
    waits = []

    def meanwhile(_site: object) -> None:
        if connection.in_atomic_block:
            waits.append(beside(lambda: suspend.resume(installation, "one")))

    monkeypatch.setattr(resources, "refuse_unproven", meanwhile)
    delete.submit(installation, "one", typed="one")
    assert waits[0]() == ["site.state"]
    assert state_of(site) == "suspended"


def test_a_deletion_ordered_while_the_site_is_resumed_is_refused(
    installation: Installation, site: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vmoodle.lifecycle import delete, suspend
    from vmoodle.registry import sites
    from vmoodle.registry.models import Operation

    suspend.suspend(installation, "one")
    waits = []
    enabled = sites.enabled

    def meanwhile(row: Any) -> None:
        waits.append(beside(lambda: delete.submit(installation, "one", typed="one")))
        enabled(row)

    monkeypatch.setattr(sites, "enabled", meanwhile)
    suspend.resume(installation, "one")
    assert waits[0]() == ["site.enabled"]
    assert state_of(site) == "enabled"
    assert not Operation.objects.exists()


def test_a_site_that_needs_attention_can_be_purged_when_no_operation_has_it(
    installation: Installation, site: Any
) -> None:
    from vmoodle.lifecycle import purge
    from vmoodle.registry import ledger, operations
    from vmoodle.registry.models import Operation

    set_state(site, "needs attention")
    ledger.removed(ledger.DATABASE, "main", site.database)
    holder = operations.submit("site.purge", site="one", node="n")
    Operation.objects.filter(id=holder.id).update(state="needs attention")
    with pytest.raises(Conflict, match=holder.id):
        purge.submit(installation, "one", typed="one", now=True)
    Operation.objects.filter(id=holder.id).update(state="reverted")
    assert purge.submit(installation, "one", typed="one", now=True).state == "queued"


def test_a_deletion_changes_nothing_while_the_server_does_not_answer(
    installation: Installation, site: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vmoodle.lifecycle import purge, server
    from vmoodle.operations.plan import StepContext
    from vmoodle.registry import ledger
    from vmoodle.registry.models import Operation

    set_state(site, "suspended")
    monkeypatch.setattr(purge, "check_engine", server.check_engine)
    with pytest.raises(Unavailable):
        purge.submit(installation, "one", typed="one", now=True)
    with pytest.raises(Unavailable):
        purge.PURGE.steps[0].act(
            StepContext(installation, "o", "one", {"state": "suspended"}, print, print)
        )
    assert state_of(site) == "suspended"
    assert not Operation.objects.exists()
    # What has nothing left on the server needs no answer from it.
    set_state(site, "needs attention")
    ledger.removed(ledger.DATABASE, "main", site.database)
    ledger.removed(ledger.ACCOUNT, "main", site.account)
    assert purge.submit(installation, "one", typed="one", now=True).state == "queued"


@pytest.mark.parametrize("trap", ["link", "file", "outside"])
def test_a_moodledata_that_could_not_be_removed_is_found_before_anything_is_destroyed(
    installation: Installation, site: Any, trap: str
) -> None:
    from vmoodle.lifecycle import purge
    from vmoodle.operations.plan import StepContext
    from vmoodle.registry import ledger
    from vmoodle.registry.models import Operation

    set_state(site, "suspended")
    operation = purge.submit(installation, "one", typed="one", now=True)
    context = StepContext(installation, operation.id, "one", operation.parameters, print, print)
    check = purge.PURGE.steps[0]
    check.act(context)
    path = Path(site.dataroot)
    path.rmdir()
    if trap == "link":
        path.symlink_to("/etc")
    elif trap == "file":
        path.write_text("")
    else:
        type(site).objects.filter(id=site.id).update(dataroot="/etc/one")
        ledger.removed(ledger.DIRECTORY, "", site.dataroot)
    with pytest.raises(Refused):
        check.act(context)
    Operation.objects.filter(id=operation.id).update(state="reverted")
    with pytest.raises(Refused):
        purge.submit(installation, "one", typed="one", now=True)


def test_a_directory_that_neither_the_base_nor_the_ledger_has_is_outside(
    installation: Installation, site: Any
) -> None:
    from vmoodle.lifecycle import dataroot
    from vmoodle.registry import ledger

    for path in ("/etc", f"{installation.dataroot_base}/..", f"{installation.dataroot_base}/a/b"):
        with pytest.raises(Refused, match="not below"):
            dataroot.refuse_outside(installation, Path(path))
    ledger.plan(ledger.DIRECTORY, "", "/srv/earlier-base/two", owner="two", operation="made")
    dataroot.refuse_outside(installation, Path("/srv/earlier-base/two"))


@pytest.mark.parametrize("state", ["reverted", "cancelled"])
def test_a_deletion_that_did_not_come_to_be_says_that_the_site_stands(
    installation: Installation, state: str
) -> None:
    from vmoodle.lifecycle.kinds import KINDS
    from vmoodle.operations.outcome import raise_its_error
    from vmoodle.registry.models import Operation

    for kind, sentence in (
        ("site.delete", "Nothing was deleted; the site is as it was before."),
        ("site.create", "Nothing was left behind."),
    ):
        with pytest.raises(Failed) as raised:
            raise_its_error(Operation(id="x", kind=kind, state=state, step="s"), KINDS)
        assert raised.value.message.endswith(sentence)
