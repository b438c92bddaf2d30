"""The `vmoodle` program, forked for each call from a process that has imported what it needs.

Importing is most of what a short call does. The process opens nothing and reads no setting, so that
a fork is what a new process would be.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from select import select
from typing import IO, Any, NoReturn

_MOST_BYTES = 1 << 20


def run(
    words: Sequence[str], env: Mapping[str, str], stdin: str | None, limit: float
) -> subprocess.CompletedProcess[str]:
    """Run the program with these words; raise TimeoutExpired after `limit` seconds."""
    request = json.dumps({"words": list(words), "env": dict(env), "cwd": str(Path.cwd())})
    reading, writing = os.pipe()
    with ExitStack() as stack:
        given, out, err = (stack.enter_context(tempfile.TemporaryFile()) for _ in range(3))
        answer = stack.enter_context(os.fdopen(reading, "rb"))
        given.write((stdin or "").encode())
        given.seek(0)
        descriptors = [given.fileno(), out.fileno(), err.fileno(), writing]
        try:
            socket.send_fds(_parent(os.getpid()), [request.encode()], descriptors)
        finally:
            os.close(writing)
        pid = int(answer.readline())
        if not select([answer], [], [], limit)[0]:
            os.kill(pid, signal.SIGKILL)
            raise subprocess.TimeoutExpired(words, limit)
        status = int(answer.readline())
        return subprocess.CompletedProcess(words, status, _text(out), _text(err))


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode()


@cache
def _parent(_of: int) -> socket.socket:
    """Start the process that forks, once in each process of the tests; it ends with it."""
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _MOST_BYTES)
    subprocess.Popen(
        [sys.executable, __file__, str(its.fileno())],
        pass_fds=[its.fileno()],
        stdin=subprocess.DEVNULL,
    )
    its.close()
    return ours


def _serve(line: socket.socket) -> None:
    """Fork the program for each request until the tests end."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        message, descriptors, _flags, _address = socket.recv_fds(line, _MOST_BYTES, 4)
        if not message:
            return
        if os.fork() == 0:
            line.close()
            _watch(json.loads(message), descriptors)
        for descriptor in descriptors:
            os.close(descriptor)


def _watch(request: dict[str, Any], descriptors: list[int]) -> NoReturn:
    """Fork the program, tell its process id, wait for its end and tell its status."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    *streams, answer = descriptors
    pid = os.fork()
    if pid == 0:
        os.close(answer)
        for number, descriptor in enumerate(streams):
            os.dup2(descriptor, number)
            os.close(descriptor)
        _become_the_program(request)
    os.write(answer, f"{pid}\n".encode())
    _pid, ended = os.waitpid(pid, 0)
    os.write(answer, f"{os.waitstatus_to_exitcode(ended)}\n".encode())
    os._exit(0)


def _become_the_program(request: dict[str, Any]) -> NoReturn:
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    sys.argv = [str(Path(sys.executable).parent / "vmoodle"), *request["words"]]
    try:
        main()
    finally:
        os._exit(1)


# Nothing of the registry's models: they need settings, which each fork reads for itself.
_NEEDED = (
    "cryptography.fernet",
    "dbos",
    "django.core.management",
    "django.db.backends.sqlite3.base",
    "django.db.migrations.executor",
    "django.db.models",
    "psycopg",
    "pydantic",
    "pydantic.deprecated.decorator",
    "pymysql",
    "sqlglot.dialects.mysql",
    "sqlglot.dialects.postgres",
    "vmoodle.engines.mariadb",
    "vmoodle.engines.postgresql",
    "vmoodle.fleet.sql.text",
    "vmoodle.hook.map",
    "vmoodle.moodle.care.account_reset",
    "vmoodle.moodle.copies.language_copy",
    "vmoodle.moodle.copies.table_copy",
    "vmoodle.moodle.desired_state",
    "vmoodle.moodle.files.file_area",
    "vmoodle.moodle.identity.apply",
    "vmoodle.moodle.php.server",
    "vmoodle.moodle.plugins.with_moodle",
    "vmoodle.moodle.roles.sync",
    "vmoodle.moodle.scripts.health_checks",
    "vmoodle.moodle.scripts.install",
    "vmoodle.moodle.upgrades.path",
    "vmoodle.settings",
    "vmoodle.store.store",
)

if __name__ == "__main__":
    for _name in _NEEDED:
        importlib.import_module(_name)
    from vmoodle.cli.main import main

    gc.collect()
    gc.freeze()
    _serve(socket.socket(fileno=int(sys.argv[1])))
