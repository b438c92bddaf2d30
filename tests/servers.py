"""Private database servers for tests: own directory, own socket, free port, never a service."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from vmoodle.engines.address import ServerAddress
from vmoodle.engines.clients import inherited_file
from vmoodle.secret import Secret

LIMIT = 60.0
"""Seconds a server may take to start or to stop."""

_POSTGRESQL_PLACES = sorted(Path("/usr/lib/postgresql").glob("*/bin"))


def mariadb_missing() -> str:
    """Return why no private MariaDB can run here, empty when one can."""
    missing = [name for name in ("mariadbd", "mariadb-install-db") if not _program(name)]
    return f"not installed: {', '.join(missing)}" if missing else ""


def postgresql_missing() -> str:
    """Return why no private PostgreSQL can run here, empty when one can."""
    return "" if _POSTGRESQL_PLACES else "not installed: postgresql"


def require(engine: str) -> None:
    """Skip the test where no private server of the engine can run."""
    missing = {"mariadb": mariadb_missing, "postgresql": postgresql_missing}[engine]()
    if missing:
        pytest.skip(missing)


@contextmanager
def private_server(engine: str) -> Iterator[PrivateServer]:
    """Run a server of the engine in a directory that is gone afterwards; skip as `require`."""
    require(engine)
    directory = Path(tempfile.mkdtemp(prefix="vmoodle-server-"))
    directory.chmod(0o755)
    start = {"mariadb": private_mariadb, "postgresql": private_postgresql}[engine]
    with start(directory / "server") as server:
        yield server
    shutil.rmtree(directory, ignore_errors=True)


def _program(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


def wait_until(condition: Callable[[], bool], what: str, limit: float = LIMIT) -> None:
    """Return once the condition holds; fail the test when it does not within the limit."""
    deadline = time.monotonic() + limit
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not happen within {limit} s")
        time.sleep(0.02)


@dataclass
class PrivateServer:
    """Hold a running server and the address of its administrator, over TCP."""

    address: ServerAddress
    socket: str
    command: Sequence[str]
    log: Path
    identity: Mapping[str, Any]
    answers: Callable[[ServerAddress], bool]
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        """Return the administrator's address as a URL with its password."""
        password = quote(self.address.password.reveal(), safe="")
        return self.address.display().replace("@", f":{password}@", 1)

    def start(self) -> None:
        """Start the server and wait until it answers."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                list(self.command),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd="/",
                **self.identity,
            )

        def ready() -> bool:
            assert self.process is not None
            assert self.process.poll() is None, self.log.read_text(errors="replace")[-2000:]
            return self.answers(self.address)

        wait_until(ready, f"the start of {self.command[0]}")

    def stop(self) -> None:
        """Stop the server, also a paused one."""
        if self.process is None or self.process.poll() is not None:
            return
        self.resume()
        self.process.send_signal(signal.SIGTERM if "mariadb" in self.command[0] else signal.SIGINT)
        self.process.wait(LIMIT)

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Keep the server down for the length of the block."""
        self.stop()
        try:
            yield
        finally:
            self.start()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Keep the server from answering for the length of the block; it still listens."""
        self._signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.resume()

    def resume(self) -> None:
        """Let a paused server go on."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        os.killpg(self.process.pid, number)


def _identity(account: str) -> tuple[dict[str, Any], tuple[int, int] | None]:
    """Return how a child becomes that account, which only root can and must."""
    if os.geteuid() != 0:
        return {}, None
    entry = pwd.getpwnam(account)
    ids = (entry.pw_uid, entry.pw_gid)
    return {"user": ids[0], "group": ids[1], "extra_groups": []}, ids


def _own_directory(directory: Path, ids: tuple[int, int] | None) -> Path:
    directory.mkdir(mode=0o711, parents=True, exist_ok=True)
    directory.chmod(0o711)
    if ids is not None:
        os.chown(directory, *ids)
    return directory


def free_port() -> int:
    """Return a TCP port nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _run(command: Sequence[str], **options: Any) -> None:
    ended = subprocess.run(
        list(command),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        cwd="/",
        check=False,
        **options,
    )
    assert ended.returncode == 0, (ended.stdout + ended.stderr).decode(errors="replace")[-2000:]


def _mariadb_answers(address: ServerAddress) -> bool:
    import pymysql

    try:
        pymysql.connect(
            host=address.host,
            port=address.effective_port,
            user=address.user,
            password=address.password.reveal(),
            connect_timeout=2,
            read_timeout=2,
        ).close()
    except pymysql.MySQLError:
        return False
    return True


def _postgresql_answers(address: ServerAddress) -> bool:
    import psycopg

    try:
        psycopg.connect(
            host=address.host,
            port=address.effective_port,
            user=address.user,
            password=address.password.reveal(),
            dbname="postgres",
            connect_timeout=2,
        ).close()
    except psycopg.Error:
        return False
    return True


@contextmanager
def private_mariadb(directory: Path, *options: str) -> Iterator[PrivateServer]:
    """Run a MariaDB of its own in the directory, which accounts other than root's can enter."""
    identity, ids = _identity("mysql")
    home = _own_directory(directory, ids)
    data, password = home / "data", secrets.token_urlsafe(12)
    if not data.exists():
        _run(
            [
                str(_program("mariadb-install-db")),
                "--no-defaults",
                f"--datadir={data}",
                "--skip-test-db",
                "--skip-name-resolve",
                "--auth-root-authentication-method=normal",
                # Each server that starts empties the place of temporary tables: not another's.
                f"--tmpdir={home}",
            ],
            **identity,
        )
    statements = home / "first.sql"
    statements.write_text(
        "ALTER USER 'root'@'localhost' ACCOUNT LOCK;\n"
        f"CREATE OR REPLACE USER 'fleet'@'%' IDENTIFIED BY '{password}';\n"
        "GRANT ALL PRIVILEGES ON *.* TO 'fleet'@'%' WITH GRANT OPTION;\n"
    )
    statements.chmod(0o600)
    if ids is not None:
        os.chown(statements, *ids)
    port, socket_file = free_port(), str(home / "s")
    server = PrivateServer(
        ServerAddress("mariadb", "127.0.0.1", port, None, "fleet", Secret(password)),
        socket_file,
        [
            str(_program("mariadbd")),
            "--no-defaults",
            f"--datadir={data}",
            f"--tmpdir={home}",
            f"--socket={socket_file}",
            f"--port={port}",
            f"--pid-file={home / 'pid'}",
            f"--init-file={statements}",
            "--bind-address=127.0.0.1",
            "--skip-name-resolve",
            "--skip-log-bin",
            "--innodb-flush-log-at-trx-commit=0",
            "--innodb-buffer-pool-size=64M",
            *options,
        ],
        directory / "mariadb.log",
        identity,
        _mariadb_answers,
    )
    with _running(server):
        yield server


@contextmanager
def private_postgresql(directory: Path, *options: str) -> Iterator[PrivateServer]:
    """Run the machine's newest PostgreSQL on its own in the directory."""
    identity, ids = _identity("postgres")
    home = _own_directory(directory, ids)
    data, password = home / "data", secrets.token_urlsafe(12)
    programs = max(_POSTGRESQL_PLACES, key=lambda place: int(place.parent.name))
    with inherited_file(password + "\n", ids) as descriptor:
        _run(
            [
                str(programs / "initdb"),
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                "--locale=C.UTF-8",
                "--username=fleet",
                "--no-sync",
                f"--pwfile=/dev/fd/{descriptor}",
                f"--pgdata={data}",
            ],
            pass_fds=(descriptor,),
            **identity,
        )
    port = free_port()
    settings = (
        "fsync=off",
        "full_page_writes=off",
        "shared_buffers=64MB",
        "listen_addresses=127.0.0.1",
        f"port={port}",
        f"unix_socket_directories={home}",
    )
    server = PrivateServer(
        ServerAddress("postgresql", "127.0.0.1", port, None, "fleet", Secret(password)),
        str(home),
        [
            str(programs / "postgres"),
            "-D",
            str(data),
            *(word for setting in settings for word in ("-c", setting)),
            *options,
        ],
        directory / "postgresql.log",
        identity,
        _postgresql_answers,
    )
    with _running(server):
        yield server


@contextmanager
def _running(server: PrivateServer) -> Iterator[None]:
    server.start()
    try:
        yield
    finally:
        server.stop()
