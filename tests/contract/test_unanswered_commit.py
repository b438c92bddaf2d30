"""A commit that a server takes and never answers: nobody knows, and nobody waits for good."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from tests.engine_servers import Server, new_site

from vmoodle.engines.address import ServerAddress
from vmoodle.engines.protocol import SiteDatabase, open_engine
from vmoodle.errors import Conflict, VMoodleError
from vmoodle.fleet.target_site import TargetSite

pytestmark = pytest.mark.parametrize(
    "server", ["mariadb", "postgresql"], indirect=True, scope="session"
)


@contextmanager
def deaf(address: ServerAddress, word: bytes) -> Iterator[ServerAddress]:
    """Give the address of a line to the server that brings no answer once a word was sent."""
    listening = socket.create_server(("127.0.0.1", 0))
    ended = threading.Event()

    def pass_on(source: socket.socket, target: socket.socket, heard: threading.Event) -> None:
        try:
            while data := source.recv(65536):
                if target is not source and word in data and source not in servers:
                    heard.set()
                if not (heard.is_set() and source in servers):
                    target.sendall(data)
            target.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    servers: list[socket.socket] = []

    def accept() -> None:
        while not ended.is_set():
            try:
                client, _ = listening.accept()
            except OSError:
                return
            there = _connected(address)
            servers.append(there)
            heard = threading.Event()
            for pair in ((client, there), (there, client)):
                threading.Thread(target=pass_on, args=(*pair, heard), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    options = MappingProxyType({**address.options, "sslmode": "disable"})
    try:
        yield replace(
            address, host="127.0.0.1", port=listening.getsockname()[1], socket=None, options=options
        )
    finally:
        ended.set()
        listening.close()


def _connected(address: ServerAddress) -> socket.socket:
    if not address.socket:
        return socket.create_connection((address.host, address.effective_port))
    line = socket.socket(socket.AF_UNIX)
    name = f".s.PGSQL.{address.effective_port}"
    line.connect(f"{address.socket}/{name}" if address.engine == "postgresql" else address.socket)
    return line


@pytest.fixture
def database(server: Server) -> SiteDatabase:
    database = new_site()
    server.engine.create_account(database)
    server.engine.create_database(database)
    with server.engine.connect(database, read_only=False) as connection:
        connection.execute("CREATE TABLE {t} (id INT)")
    return database


def target(address: ServerAddress, database: SiteDatabase, home: Path) -> TargetSite:
    nothing: Any = None
    return TargetSite(
        "s", "http://s.test", "enabled", "4.5.6", home, home, open_engine(address), database,
        nothing, timeout=0.3,
    )  # fmt: skip


def count(server: Server, database: SiteDatabase) -> int:
    with server.engine.connect(database) as connection:
        ((rows,),) = connection.query("SELECT COUNT(*) FROM {t}")
    return int(rows)


def test_a_commit_that_is_not_answered_is_told_as_unknown(
    server: Server, database: SiteDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("mariadb", "postgresql"):
        monkeypatch.setattr(f"vmoodle.engines.{module}_connection.GRACE", 0.2)
    began = time.monotonic()
    with deaf(server.address, b"COMMIT") as address:
        site = target(address, database, tmp_path)
        with pytest.raises(VMoodleError) as raised, site.change() as connection:
            connection.execute("INSERT INTO {t} VALUES (1)")
    assert raised.value.code == "run.outcome"
    assert time.monotonic() - began < 10
    assert count(server, database) == 1


def test_what_fails_before_the_commit_is_told_as_it_is(
    server: Server, database: SiteDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("mariadb", "postgresql"):
        monkeypatch.setattr(f"vmoodle.engines.{module}_connection.GRACE", 0.2)
    with deaf(server.address, b"INSERT") as address:
        site = target(address, database, tmp_path)
        with pytest.raises(VMoodleError) as raised, site.change() as connection:
            connection.execute("INSERT INTO {t} VALUES (1)")
    assert raised.value.code == "engine.timeout"
    # To take back what failed is not answered either: what failed is what is told.
    with deaf(server.address, b"ROLLBACK") as address:
        site = target(address, database, tmp_path)
        with pytest.raises(Conflict), site.change() as connection:
            connection.execute("INSERT INTO {t} VALUES (1)")
            raise Conflict("x.y", "No.", "")
    assert count(server, database) == 0
