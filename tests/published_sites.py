"""Sites that stand in the registry and the map alone; no server answers for them."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

from vmoodle.errors import VMoodleError
from vmoodle.installation import Installation
from vmoodle.secret import Secret

# So long is a caller waited for that may have to wait itself.
PATIENCE_SECONDS = 2


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
        ledger.plan(kind, place, thing, owner=name, operation="made")
    publish(installation, row)
    return row


def published(installation: Installation, host: str) -> dict[str, Any]:
    path = installation.home.map / "web" / f"{host}.json"
    return json.loads(path.read_text()) if path.exists() else {}


def set_state(site: Any, state: str) -> None:
    type(site).objects.filter(id=site.id).update(state=state)


def state_of(site: Any) -> str:
    return str(type(site).objects.get(id=site.id).state)


def beside(call: Callable[[], object]) -> Callable[[], list[object]]:
    """Start a call as another caller would; return a function that waits for how it ended."""
    ended: list[object] = []

    def run() -> None:
        from django.db import connections

        try:
            ended.append(call())
        except VMoodleError as error:
            ended.append(error.code)
        finally:
            connections.close_all()

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(PATIENCE_SECONDS)

    def wait() -> list[object]:
        thread.join(60)
        return ended

    return wait
