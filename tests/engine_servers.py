"""A real private server of each engine, and names that no other test has on it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from tests import servers

from vmoodle.engines.address import ServerAddress
from vmoodle.engines.embedded import EmbeddedPostgreSQL
from vmoodle.engines.protocol import Engine, SiteDatabase, open_engine
from vmoodle.secret import generate_password

_numbers = count(1)


@dataclass(frozen=True)
class Server:
    """Hold an engine under test, and how to take its server down."""

    name: str
    engine: Engine
    stopped: Callable[[], AbstractContextManager[None]]
    paused: Callable[[], AbstractContextManager[None]]

    @property
    def address(self) -> ServerAddress:
        """Return the address of the administrator."""
        return self.engine.address


@contextmanager
def _mariadb(directory: Path) -> Iterator[Server]:
    servers.require("mariadb")
    with servers.private_mariadb(directory) as server:
        yield Server("mariadb", open_engine(server.address), server.stopped, server.paused)


@contextmanager
def _postgresql(directory: Path) -> Iterator[Server]:
    servers.require("postgresql")
    with servers.private_postgresql(directory) as server:
        yield Server("postgresql", open_engine(server.address), server.stopped, server.paused)


@contextmanager
def _embedded(directory: Path) -> Iterator[Server]:
    server = EmbeddedPostgreSQL(directory)

    @contextmanager
    def stopped() -> Iterator[None]:
        server.stop()
        try:
            yield
        finally:
            server.start()

    @contextmanager
    def paused() -> Iterator[None]:
        pid = server.status().pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    address = server.start()
    try:
        yield Server("embedded", open_engine(address), stopped, paused)
    finally:
        server.stop()


ENGINES = {"mariadb": _mariadb, "postgresql": _postgresql, "embedded": _embedded}


def new_site(name: str = "", prefix: str = "mdl_") -> SiteDatabase:
    """Return a site's database of a name that no other test has."""
    name = name or f"vm_test{next(_numbers)}"
    return SiteDatabase(name, name, generate_password(), prefix)
