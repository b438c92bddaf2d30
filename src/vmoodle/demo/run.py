"""Run the demo: a private PostgreSQL, a code tree, three sites, one PHP server, and proof."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from vmoodle.demo.place import (
    DemoState,
    demo_home,
    read_state,
    refuse_other_home,
    write_state,
)
from vmoodle.demo.trees import choose_tree
from vmoodle.errors import InvalidInput
from vmoodle.installation import Installation, open_installation
from vmoodle.moodle.code.tree import MoodleTree
from vmoodle.moodle.php.server import start_detached
from vmoodle.secret import Secret

SERVER = "embedded"
CODEBASE = "demo"
WORKERS = 4
FIRST_PORT = 8800
SITES = (
    ("alpha", "Alpha School"),
    ("beta", "Lycée Bêta; “les Œuvres”"),
    ("gamma", "Gamma's College"),
)

Say = Callable[[str], None]


@dataclass(frozen=True)
class DemoSite:
    """A site of the demo as it answered just now."""

    shortname: str
    url: str
    expected: str
    seen: str
    ok: bool
    admin_user: str
    password: Secret | None

    def as_facts(self) -> dict[str, object]:
        """Return the members for JSON, without the password."""
        return {name: value for name, value in vars(self).items() if name != "password"}


def run_demo(asked: Path | None, say: Say) -> list[DemoSite]:
    """Set up what is missing, request the three sites over HTTP, return what was seen."""
    home = demo_home()
    refuse_other_home(home)
    os.environ["VMOODLE_HOME"] = str(home.path)
    home.ensure()
    state = read_state(home)
    state.port = state.port or _free_port()
    os.environ.setdefault("VMOODLE_WEB__CONNECT", f"127.0.0.1:{state.port}")
    installation = open_installation()
    write_state(home, state)
    say(f"home: {home.path}")
    _ensure_server(installation, say)
    tree = _ensure_codebase(installation, asked, say)
    start_detached(
        tree,
        installation.php,
        host="127.0.0.1",
        port=state.port,
        workers=WORKERS,
        pid_file=home.php_server_file,
        log_file=home.log / "demo-server.log",
    )
    say(f"PHP server: 127.0.0.1:{state.port}, {WORKERS} workers")
    _ensure_sites(installation, state, say)
    return _visit(installation, state)


def _ensure_server(installation: Installation, say: Say) -> None:
    from vmoodle.lifecycle import server
    from vmoodle.registry.models import DatabaseServer

    row = DatabaseServer.objects.filter(name=SERVER).first()
    if row is None:
        say("database: starting a private PostgreSQL")
        row = server.add(installation, SERVER, Secret(server.EMBEDDED)).server
    else:
        installation.engine(row)
    say(f"database: PostgreSQL {row.version}, private to this home")


def _ensure_codebase(installation: Installation, asked: Path | None, say: Say) -> MoodleTree:
    from vmoodle.lifecycle import codebase
    from vmoodle.registry.models import Codebase

    row = Codebase.objects.filter(name=CODEBASE).first()
    if row is None:
        chosen = choose_tree(asked)
        say(f"code tree: {chosen.reason}")
        row = codebase.add(installation, CODEBASE, chosen.path, copy=True).codebase
    elif asked is not None:
        raise InvalidInput(
            "demo.tree",
            f"The demo runs on {row.release} already.",
            "Remove it first: vmoodle demo remove",
        )
    else:
        say(f"code tree: {row.release}, from the last run")
    return MoodleTree.open(Path(row.path))


def _ensure_sites(installation: Installation, state: DemoState, say: Say) -> None:
    from vmoodle.fleet.kinds import KINDS
    from vmoodle.lifecycle.create import create
    from vmoodle.lifecycle.create.request import SiteRequest
    from vmoodle.operations.follow import follow
    from vmoodle.operations.outcome import raise_its_error
    from vmoodle.registry import operations
    from vmoodle.registry.models import Operation, OperationEvent, Site

    _take_finished(installation, state)
    for shortname, name in SITES:
        if Site.objects.filter(shortname=shortname).exists():
            continue
        create.submit(
            installation,
            SiteRequest(
                shortname=shortname,
                url=f"http://{shortname}.localhost:{state.port}",
                name=name,
                codebase=CODEBASE,
                server=SERVER,
                admin_email="admin@example.com",
            ),
        )

    def watch(operation: Operation, events: list[OperationEvent]) -> None:
        for event in events:
            say(f"{operation.subject}: {event.message}")

    ended = [
        follow(installation, KINDS, row.id, watch) for row in operations.waiting(installation.node)
    ]
    _take_finished(installation, state)
    for operation in ended:
        raise_its_error(operation, KINDS)


def _take_finished(installation: Installation, state: DemoState) -> None:
    """Keep the passwords of the sites that are done, also those an interrupted run left."""
    from vmoodle.registry import operations
    from vmoodle.registry.models import Operation, OperationState

    done = Operation.objects.filter(state=OperationState.DONE).exclude(secret_encrypted="")
    for operation in done:
        state.passwords[operation.subject] = operation.secret_encrypted
        write_state(installation.home, state)
        operations.take_secret(operation.id)


def _visit(installation: Installation, state: DemoState) -> list[DemoSite]:
    from vmoodle.lifecycle import hook_check
    from vmoodle.registry import sites

    rows = hook_check.check(installation, [shortname for shortname, _name in SITES])
    return [
        DemoSite(
            shortname=row.site,
            url=row.url,
            expected=sites.find(row.site).name,
            seen=row.seen,
            ok=row.ok,
            admin_user=sites.find(row.site).admin_user,
            password=_password(installation, state, row.site),
        )
        for row in rows
    ]


def _password(installation: Installation, state: DemoState, shortname: str) -> Secret | None:
    token = state.passwords.get(shortname)
    return installation.keyring.decrypt(token) if token else None


def _free_port() -> int:
    for port in (FIRST_PORT, 0):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            chosen: int = probe.getsockname()[1]
            return chosen
    raise InvalidInput("demo.port", "No port is free on 127.0.0.1.", "Stop something first.")
