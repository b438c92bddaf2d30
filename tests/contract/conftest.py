"""Every engine on a real private server, started once per run; a database of its own per test."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

import servers
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


@pytest.fixture(scope="session")
def server_directory() -> Iterator[Path]:
    """Yield a directory that servers' accounts can pass; pytest's own lets nobody in."""
    memory = Path("/dev/shm")  # noqa: S108 - a disk in memory has no slow fsync
    fits = memory.is_dir() and shutil.disk_usage(memory).free > 2 << 30
    directory = Path(tempfile.mkdtemp(prefix="vmt-", dir=memory if fits else None))
    directory.chmod(0o711)
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def _mariadb(directory: Path) -> Iterator[Server]:
    if reason := servers.mariadb_missing():
        pytest.skip(reason)
    with servers.private_mariadb(directory) as server:
        yield Server("mariadb", open_engine(server.address), server.stopped, server.paused)


@contextmanager
def _postgresql(directory: Path) -> Iterator[Server]:
    if reason := servers.postgresql_missing():
        pytest.skip(reason)
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


_ENGINES = {"mariadb": _mariadb, "postgresql": _postgresql, "embedded": _embedded}


@pytest.fixture(scope="session")
def running(server_directory: Path) -> Iterator[Callable[[str], Server]]:
    """Return a function that starts an engine's server where none runs yet; all end at the end."""
    servers_by_engine: dict[str, Server] = {}
    with ExitStack() as stack:

        def start(engine: str) -> Server:
            if engine not in servers_by_engine:
                made = _ENGINES[engine](server_directory / engine)
                servers_by_engine[engine] = stack.enter_context(made)
            return servers_by_engine[engine]

        yield start


@pytest.fixture(scope="session", params=list(_ENGINES))
def server(request: pytest.FixtureRequest, running: Callable[[str], Server]) -> Server:
    """Return each engine's server in turn."""
    # Databases that tests share, of fixtures for one, live as long.
    return running(request.param)


@pytest.fixture
def engine(server: Server) -> Engine:
    """Return the engine under test."""
    return server.engine


def new_site(name: str = "", prefix: str = "mdl_") -> SiteDatabase:
    """Return a site's database of a name that no other test has."""
    name = name or f"vm_test{next(_numbers)}"
    return SiteDatabase(name, name, generate_password(), prefix)


@pytest.fixture
def make_site(engine: Engine) -> Iterator[Callable[..., SiteDatabase]]:
    """Return a function that makes a site's account and, unless told not to, its database."""
    made: list[SiteDatabase] = []

    def make(name: str = "", *, database: bool = True, **values: str) -> SiteDatabase:
        site = new_site(name, **values)
        made.append(site)
        engine.create_account(site)
        if database:
            engine.create_database(site)
        return site

    yield make
    for site in made:
        engine.drop_database(site, if_exists=True)
    for site in made:
        engine.drop_account(site.account, if_exists=True)


@pytest.fixture
def site(make_site: Callable[..., SiteDatabase]) -> SiteDatabase:
    """Return a site with an empty database."""
    return make_site()
