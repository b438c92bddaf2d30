"""Every engine on a real private server, started once per run; a database of its own per test."""

from __future__ import annotations

import gzip
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.database_content import DUMPS, load, small
from tests.engine_servers import ENGINES, Server, new_site

from fixtures import fixture
from vmoodle.engines.protocol import Engine, SiteDatabase


@pytest.fixture(scope="session")
def server_directory() -> Iterator[Path]:
    """Yield a directory that servers' accounts can pass; pytest's own lets nobody in."""
    memory = Path("/dev/shm")  # noqa: S108 - a disk in memory has no slow fsync
    fits = memory.is_dir() and shutil.disk_usage(memory).free > 2 << 30
    directory = Path(tempfile.mkdtemp(prefix="vmt-", dir=memory if fits else None))
    directory.chmod(0o711)
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def running(server_directory: Path) -> Iterator[Callable[[str], Server]]:
    """Return a function that starts an engine's server where none runs yet; all end at the end."""
    servers_by_engine: dict[str, Server] = {}
    with ExitStack() as stack:

        def start(engine: str) -> Server:
            if engine not in servers_by_engine:
                made = ENGINES[engine](server_directory / engine)
                servers_by_engine[engine] = stack.enter_context(made)
            return servers_by_engine[engine]

        yield start


@pytest.fixture(scope="session", params=list(ENGINES))
def server(request: pytest.FixtureRequest, running: Callable[[str], Server]) -> Server:
    """Return each engine's server in turn."""
    # Databases that tests share, of fixtures for one, live as long.
    return running(request.param)


@pytest.fixture
def engine(server: Server) -> Engine:
    """Return the engine under test."""
    return server.engine


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


@pytest.fixture(scope="session")
def moodle(server: Server) -> SiteDatabase:
    """Return a real Moodle's database with content, in which VMoodle's tests change nothing."""
    engine = server.engine
    dump = fixture(f"{DUMPS[engine.address.engine]}.sql.gz")
    site = new_site()
    engine.create_account(site)
    engine.create_database(site)
    load(engine, site, gzip.decompress(dump.read_bytes()))
    return site


@pytest.fixture
def source(engine: Engine, make_site: Callable[..., SiteDatabase]) -> SiteDatabase:
    """Return a site with a few awkward tables."""
    site = make_site()
    small(engine, site)
    return site


@pytest.fixture
def anonymous(engine: Engine) -> Callable[[], SiteDatabase]:
    """Return a function that names databases of the administrative account."""
    return lambda: engine.anonymous_database(new_site().name)
