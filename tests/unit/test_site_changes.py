"""Changes of a site: registry and map change together, and no two callers win at once.

The sites stand in the registry and the map alone; no server answers, and none is asked.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from vmoodle.errors import Conflict, InvalidInput
from vmoodle.installation import Installation
from vmoodle.secret import Secret


@pytest.fixture
def site(installation: Installation) -> Any:
    """An enabled site, published, of which the ledger says that VMoodle made it."""
    return make_site(installation, "one")


def make_site(installation: Installation, name: str) -> Any:
    from vmoodle.lifecycle.publish import publish
    from vmoodle.registry import ledger
    from vmoodle.registry.models import Codebase, DatabaseServer, Site

    codebase, _ = Codebase.objects.get_or_create(
        name="main", path="/nowhere", layout="classic", version="1", release="1", branch="405"
    )
    server, _ = DatabaseServer.objects.get_or_create(
        name="main", engine="mariadb", address="mariadb://x@127.0.0.1:1", flavour="mariadb",
        version="11", defaults={
            "url_encrypted": installation.encrypt(Secret("mariadb://x:y@127.0.0.1:1"))
        },
    )  # fmt: skip
    dataroot = installation.dataroot_base / name
    dataroot.mkdir(parents=True)
    row = Site.objects.create(
        shortname=name, name=name, wwwroot=f"http://{name}.test", address_key=f"{name}.test",
        codebase=codebase, server=server, database=f"vm_{name}", account=f"vm_{name}",
        password_encrypted=installation.encrypt(Secret("z")), table_prefix="mdl_",
        dataroot=str(dataroot), session_key=name, state="enabled", admin_user="admin",
        admin_email="a@example.test",
    )  # fmt: skip
    for kind, place, thing in (
        (ledger.DATABASE, "main", row.database), (ledger.ACCOUNT, "main", row.account),
        (ledger.DIRECTORY, "", row.dataroot),
    ):  # fmt: skip
        ledger.plan(kind, place, thing, site=name, operation="made")
    publish(installation, row)
    return row


def published(installation: Installation, host: str) -> dict[str, Any]:
    path = installation.home.map / "web" / f"{host}.json"
    return json.loads(path.read_text()) if path.exists() else {}


def state_of(site: Any) -> str:
    return str(type(site).objects.get(id=site.id).state)


@pytest.fixture
def unreadable_page(installation: Installation) -> Installation:
    """The installation, with a page of suspended sites that cannot be read."""
    web = installation.settings.web.model_copy(update={"suspended_page": Path("/nonexistent")})
    installation.settings = installation.settings.model_copy(update={"web": web})
    return installation


def test_a_site_that_cannot_be_published_as_suspended_goes_on_serving(
    site: Any, unreadable_page: Installation
) -> None:
    from vmoodle.lifecycle import suspend
    from vmoodle.registry.models import AuditEvent

    with pytest.raises(InvalidInput, match="page"):
        suspend.suspend(unreadable_page, "one")
    assert state_of(site) == "enabled"
    assert published(unreadable_page, "one.test")["state"] == "live"
    assert not AuditEvent.objects.exists()


def test_a_change_that_cannot_be_published_is_none(
    site: Any, unreadable_page: Installation
) -> None:
    from vmoodle.lifecycle.change import SiteChanges, change
    from vmoodle.registry import sites

    with pytest.raises(InvalidInput, match="page"):
        change(unreadable_page, "one", SiteChanges(labels=["a=b"], aliases=["old.test"]))
    assert (sites.label_values(site), sites.alias_hosts(site)) == ({}, [])
    assert published(unreadable_page, "old.test") == {}


def test_a_name_that_moodle_took_is_taken_back_when_the_rest_cannot_be(
    installation: Installation, site: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from django.db import connection as registry

    from vmoodle.lifecycle.change import SiteChanges, change

    said: list[object] = []

    class Connection:
        def query(self, _sql: str) -> list[tuple[str]]:
            return [("what Moodle had",)]

        def execute(self, _sql: str, values: tuple[str]) -> None:
            said.append((values[0], registry.in_atomic_block))

    class Engine:
        @contextmanager
        def connect(self, _database: object, *, read_only: bool) -> Any:
            assert not read_only
            yield Connection()

    make_site(installation, "two")
    monkeypatch.setattr(installation, "engine", lambda _server: Engine())
    with pytest.raises(Conflict, match="two"):
        change(installation, "one", SiteChanges(name="new", aliases=["two.test"]))
    assert said == [("new", False), ("what Moodle had", False)]
    assert type(site).objects.get(id=site.id).name == "one"


def test_only_its_own_alias_is_taken_off_the_map(installation: Installation, site: Any) -> None:
    from vmoodle.lifecycle.change import SiteChanges, change

    change(installation, "one", SiteChanges(aliases=["old.test", "older.test"]))
    change(installation, "one", SiteChanges(remove_aliases=["old.test"]))
    assert published(installation, "old.test") == {}
    assert published(installation, "older.test")["redirect"] == "http://one.test"
    installation.host_map.withdraw_alias("two", "older.test")
    assert published(installation, "older.test")


def test_a_setting_that_one_site_cannot_have_is_forced_on_none(
    installation: Installation, site: Any
) -> None:
    from vmoodle.lifecycle import force
    from vmoodle.registry import forced

    make_site(installation, "two")
    path = installation.home.map / "web" / "two.test.json"
    path.write_text(json.dumps({"shortname": "another"}))
    with pytest.raises(Conflict, match="another"):
        force.force(installation, forced.Scope(), "debug", "1")
    assert forced.rows() == []
    assert "debug" not in published(installation, "one.test")["cfg"]
