"""Servers and codebases are forgotten only when nothing of VMoodle's is on them or needs them."""

from __future__ import annotations

from typing import Any

import pytest

from vmoodle.errors import Conflict, Unavailable
from vmoodle.installation import Installation


def test_a_server_with_a_template_is_kept_and_the_template_named(
    installation: Installation,
) -> None:
    from vmoodle.lifecycle import server as servers
    from vmoodle.registry.models import DatabaseServer, Template

    row = DatabaseServer.objects.create(name="main", engine="mariadb", address="mariadb://x@y")
    template = Template.objects.create(name="base", server=row, directory="/nowhere")
    with pytest.raises(Conflict) as caught:
        servers.remove(row)
    assert caught.value.code == "server.used"
    assert "base" in caught.value.message
    template.delete()
    servers.remove(row)
    assert not DatabaseServer.objects.exists()


def test_a_server_is_kept_while_the_ledger_has_something_there(installation: Installation) -> None:
    from vmoodle.lifecycle import server as servers
    from vmoodle.registry import ledger
    from vmoodle.registry.models import DatabaseServer

    # As a template that was refreshed from a site on another server leaves its old copy here.
    row = DatabaseServer.objects.create(name="old", engine="mariadb", address="mariadb://x@y")
    for kind in (ledger.DATABASE, ledger.ACCOUNT):
        ledger.plan(kind, "old", "vm_t_one", owner="template:base", operation="refreshing")
    with pytest.raises(Conflict) as caught:
        servers.remove(row)
    assert caught.value.code == "server.used"
    assert "vm_t_one" in caught.value.message
    assert "refreshing" in caught.value.hint
    ledger.removed(ledger.DATABASE, "old", "vm_t_one")
    with pytest.raises(Conflict):
        servers.remove(row)
    ledger.removed(ledger.ACCOUNT, "old", "vm_t_one")
    servers.remove(row)
    assert not DatabaseServer.objects.exists()


@pytest.mark.parametrize("noun", ["codebase", "server"])
def test_what_an_operation_under_way_needs_is_kept_and_the_operation_named(
    installation: Installation, noun: str
) -> None:
    from vmoodle.registry import codebases, operations, servers
    from vmoodle.registry.models import Codebase, DatabaseServer, OperationState

    server = DatabaseServer.objects.create(name="main", engine="mariadb", address="mariadb://x@y")
    codebase = Codebase.objects.create(name="main", path="/nowhere")
    refuse = {
        "codebase": lambda: codebases.refuse_used(codebase),
        "server": lambda: servers.refuse_used(server),
    }[noun]
    operation = operations.submit(
        "snapshot.drill", site="drill:one", parameters={noun: "main"}, node="here"
    )
    with pytest.raises(Conflict) as caught:
        refuse()
    assert caught.value.code == f"{noun}.used"
    assert operation.id in caught.value.message
    operations.finished(operation.id, OperationState.DONE)
    refuse()


@pytest.mark.parametrize("noun", ["codebase", "server"])
def test_what_gets_a_site_while_it_is_removed_stays_whole(
    installation: Installation, monkeypatch: pytest.MonkeyPatch, noun: str
) -> None:
    from vmoodle.lifecycle import codebase, server
    from vmoodle.registry import operations
    from vmoodle.registry.models import Codebase, DatabaseServer, Site

    tree = installation.home.codebases / "main"
    tree.mkdir(parents=True)
    code = Codebase.objects.create(name="main", path=str(tree), own_copy=True)
    place = DatabaseServer.objects.create(name="main", engine="mariadb", address="mariadb://x@y")

    def reserved_meanwhile(**_parameters: str) -> list[Any]:
        # The last look before the removal: another caller reserves its site right after it.
        Site.objects.get_or_create(shortname="one", codebase=code, server=place)
        return []

    monkeypatch.setattr(operations, "under_way_with", reserved_meanwhile)
    remove = {
        "codebase": lambda: codebase.remove(installation, code),
        "server": lambda: server.remove(place),
    }[noun]
    with pytest.raises(Conflict) as caught:
        remove()
    assert caught.value.code == f"{noun}.used"
    assert tree.is_dir()
    assert Codebase.objects.exists()
    assert DatabaseServer.objects.exists()


def test_what_cannot_be_removed_of_a_codebase_is_named(installation: Installation) -> None:
    from vmoodle.lifecycle import codebase
    from vmoodle.registry.models import Codebase

    tree = installation.home.codebases / "main"
    tree.parent.mkdir(parents=True)
    tree.touch()
    code = Codebase.objects.create(name="main", path=str(tree), own_copy=True)
    with pytest.raises(Unavailable) as caught:
        codebase.remove(installation, code)
    assert caught.value.code == "codebase.left"
    assert str(tree) in caught.value.message
    assert not Codebase.objects.exists()
