"""PHP's own web server on a code tree: for the demo, for tests and for private proofs."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, Literal, Self

import psutil

from vmoodle.errors import Conflict, Unavailable
from vmoodle.files import write_atomically
from vmoodle.moodle.php import account as web_account
from vmoodle.moodle.php.binary import PhpBinary

if TYPE_CHECKING:
    from vmoodle.moodle.code.tree import MoodleTree

START_TIMEOUT_SECONDS = 15.0
_STOP_TIMEOUT_SECONDS = 10.0
_PAUSE_SECONDS = 0.02

_SETTINGS = {
    "display_errors": "0",
    "log_errors": "1",
    "opcache.enable": "1",
    "opcache.max_accelerated_files": "20000",
    "post_max_size": "64M",
    "upload_max_filesize": "64M",
}
# Taken by the built-in server only where the command line is.
_KEEP_COMPILED = {"opcache.enable_cli": "1", "opcache.validate_timestamps": "1"}
_CACHE = "opcache.file_cache"
# PHP's workers outlive their master, and the kernel tells only this shell of the caller's death.
_WATCH = 'trap "kill -KILL 0" TERM; "$@" & wait'


class PhpServer:
    """A server that runs as long as the `with` block, in the thread that entered it.

    Port 0 is a free one. `compiled` is a directory of the web account's where PHP keeps the
    scripts it has compiled. It dies with its caller, however that ends. `log` is a file that gets
    what PHP says; None throws it away. With `proved_scheme` PHP is told what the web server of
    such a site would tell it: https or not, and the port of the site's address instead of this
    one's. Entering raises Conflict `server.port` for a port that is in use, Unavailable
    `server.unreachable` or `server.start`.
    """

    def __init__(
        self,
        tree: MoodleTree,
        php: PhpBinary,
        host: str = "127.0.0.1",
        port: int = 0,
        workers: int = 2,
        log: Path | None = None,
        proved_scheme: Literal["http", "https"] | None = None,
        compiled: Path | None = None,
    ) -> None:
        self._tree, self._php, self._workers, self._log = tree, php, workers, log
        self._compiled = compiled
        self._proved_scheme = proved_scheme
        self.host = host
        self.port = port
        self._process: subprocess.Popen[bytes] | None = None
        self._router: _Router | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """The address of the server's root, without a slash at its end."""
        return f"http://{self.host}:{self.port}"

    def start(self) -> None:
        """Start serving; return when connections are accepted."""
        self.port = _free_port(self.host, self.port)
        self._router = _Router(self._php.account)
        try:
            argv, environment = _command(
                self._tree,
                PhpBinary(self._php.path),
                self.host,
                self.port,
                self._workers,
                self._router.path,
                {} if self._compiled is None else _KEEP_COMPILED | {_CACHE: str(self._compiled)},
            )
            _require_reachable(self._tree, self._php.account)
            watch = web_account.prefix(self._php.account, die_with_parent=True, death="TERM")
            environment |= web_account.environment(self._php.account)
            if self._proved_scheme:
                environment["VMOODLE_PROOF_SCHEME"] = self._proved_scheme
            self._process = _spawn(
                [*watch, "sh", "-c", _WATCH, "sh", *argv], environment, self._log
            )
            _wait_until_it_accepts(self._process, self.host, self.port, self._log)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop serving; a server that does not run is left alone."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None
        if self._router is not None:
            self._router.remove()
            self._router = None


@dataclass(frozen=True)
class DetachedServer:
    """A server that outlives its starter; `created` (Unix time) tells its pid from a reused one."""

    pid: int
    created: float
    host: str
    port: int
    webroot: str
    router: str

    @property
    def runs(self) -> bool:
        """Whether that very process still runs."""
        try:
            process = psutil.Process(self.pid)
            return (
                abs(process.create_time() - self.created) < 1.0
                and process.status() != psutil.STATUS_ZOMBIE
                and self.router in process.cmdline()
            )
        except psutil.Error:
            return False


# Children of this process that it leaves running, so that their ends can be collected.
_left_running: dict[int, subprocess.Popen[bytes]] = {}


def start_detached(
    tree: MoodleTree,
    php: PhpBinary,
    *,
    host: str,
    port: int,
    workers: int,
    pid_file: Path,
    log_file: Path | None,
) -> DetachedServer:
    """Start a server that survives this process, and remember it in `pid_file`.

    One that serves this tree there already is kept; any other of the same file is stopped first.
    Raise Conflict `server.port`, Unavailable `server.unreachable` or `server.start`.
    """
    running = read_detached(pid_file)
    if running is not None:
        same = (running.host, running.webroot) == (host, str(tree.webroot))
        if same and port in (0, running.port):
            return running
        stop_detached(pid_file)
    port = _free_port(host, port)
    _require_reachable(tree, php.account)
    router = _Router(php.account)
    try:
        argv, environment = _command(tree, php, host, port, workers, router.path)
        process = _spawn(argv, environment, log_file)
        try:
            created = psutil.Process(process.pid).create_time()
            server = DetachedServer(
                process.pid, created, host, port, str(tree.webroot), str(router.path)
            )
            write_atomically(pid_file, json.dumps(asdict(server)), mode=0o600)
            _wait_until_it_accepts(process, host, port, log_file)
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            pid_file.unlink(missing_ok=True)
            raise
    except BaseException:
        router.remove()
        raise
    _left_running[process.pid] = process
    return server


def read_detached(pid_file: Path) -> DetachedServer | None:
    """Return the server the file names if it runs; None when it does not or there is no file."""
    server = _remembered(pid_file)
    return server if server is not None and server.runs else None


def stop_detached(pid_file: Path) -> bool:
    """Stop the server of a pid file and forget it; return whether it ran."""
    remembered = _remembered(pid_file)
    runs = remembered is not None and remembered.runs
    if remembered is not None:
        if runs:
            _kill_session(remembered.pid)
        _Router.remove_copy(Path(remembered.router))
    pid_file.unlink(missing_ok=True)
    return runs


def _remembered(pid_file: Path) -> DetachedServer | None:
    try:
        return DetachedServer(**json.loads(pid_file.read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError, TypeError):
        return None


def _kill_session(leader: int) -> None:
    members = [psutil.Process(leader), *psutil.Process(leader).children(recursive=True)]
    with contextlib.suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)
    child = _left_running.pop(leader, None)
    if child is not None:
        child.wait()
    deadline = time.monotonic() + _STOP_TIMEOUT_SECONDS
    while any(_lives(member) for member in members) and time.monotonic() < deadline:
        time.sleep(_PAUSE_SECONDS)


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


class _Router:
    """The router script, copied to where the web account can read it when it cannot here."""

    _PREFIX = "vmoodle-router-"

    def __init__(self, account: str | None) -> None:
        self.path = Path(str(resources.files("vmoodle.moodle.php") / "router.php"))
        if not web_account.can_reach(self.path, account):
            directory = Path(tempfile.mkdtemp(prefix=self._PREFIX))
            directory.chmod(0o755)
            self.path = Path(shutil.copyfile(self.path, directory / "router.php"))
            self.path.chmod(0o644)

    def remove(self) -> None:
        """Remove the copy, if one was made."""
        self.remove_copy(self.path)

    @classmethod
    def remove_copy(cls, path: Path) -> None:
        """Remove a copy of the router made by an earlier process."""
        if path.parent.name.startswith(cls._PREFIX):
            shutil.rmtree(path.parent, ignore_errors=True)


def _command(
    tree: MoodleTree,
    php: PhpBinary,
    host: str,
    port: int,
    workers: int,
    router: Path,
    settings: dict[str, str] | None = None,
) -> tuple[list[str], dict[str, str]]:
    argv, environment = php.command([], settings=_SETTINGS | (settings or {}))
    argv += ["-S", f"{_bracketed(host)}:{port}", "-t", str(tree.webroot), str(router)]
    if workers > 1:
        environment["PHP_CLI_SERVER_WORKERS"] = str(workers)
    return argv, environment


def _spawn(
    argv: list[str], environment: dict[str, str], log: Path | None
) -> subprocess.Popen[bytes]:
    output: IO[Any]
    if log is None:
        output = Path(os.devnull).open("wb")  # noqa: SIM115  closed below
    else:
        output = os.fdopen(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab")
    with output:
        return subprocess.Popen(
            argv,
            env=environment,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _require_reachable(tree: MoodleTree, account: str | None) -> None:
    if not web_account.can_reach(tree.webroot / "index.php", account):
        raise Unavailable(
            "server.unreachable",
            f"The account {account or 'of this process'} cannot read {tree.webroot}.",
            "Let it pass every directory on the way (chmod o+x), or put the tree elsewhere.",
        )


def _free_port(host: str, port: int) -> int:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise Conflict(
                "server.port",
                f"Port {port} of {host} cannot be used: {error.strerror}.",
                "Stop what listens there, or choose another port.",
            ) from error
        chosen: int = probe.getsockname()[1]
        return chosen


def _wait_until_it_accepts(
    process: subprocess.Popen[bytes], host: str, port: int, log: Path | None
) -> None:
    deadline = time.monotonic() + START_TIMEOUT_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=1.0):
            return
        time.sleep(_PAUSE_SECONDS)
    raise Unavailable(
        "server.start",
        f"PHP's web server did not start on {host}:{port}.",
        f"Its log is {log}." if log is not None else "Run `vmoodle doctor`; it checks PHP.",
    )


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
