"""A private PHP-FPM with one worker on a Unix socket, and the FastCGI client that asks it."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import struct
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

WEB_ACCOUNT = "www-data"
_START_SECONDS = 10
_BEGIN, _END, _PARAMS, _STDIN, _STDOUT = 1, 3, 4, 5, 6
_HEADER = struct.Struct("!BBHHBx")
_POOL = """[global]
error_log = {directory}/fpm.log
daemonize = no
[bench]
{account}listen = {socket}
pm = static
pm.max_children = 1
process.dumpable = yes
catch_workers_output = yes
"""


def program() -> str:
    """Return the PHP-FPM of this machine; raise FileNotFoundError where there is none."""
    found = sorted(Path("/usr/sbin").glob("php-fpm*")) + sorted(
        Path("/usr/local/sbin").glob("php-fpm*")
    )
    name = shutil.which("php-fpm") or (str(found[-1]) if found else None)
    if name is None:
        raise FileNotFoundError("php-fpm is not installed")
    return name


def web_group() -> int | None:
    """Return the group id of the web account the worker runs as, None when it runs as us."""
    return pwd.getpwnam(WEB_ACCOUNT).pw_gid if os.geteuid() == 0 else None


@contextmanager
def fpm(directory: Path, settings: Mapping[str, str]) -> Iterator[Path]:
    """Run PHP-FPM with these PHP settings while the block lasts; give the path of its socket.

    As root its worker is the web account, which must be able to enter the directory.
    """
    path = directory / "fpm.sock"
    account = f"user = {WEB_ACCOUNT}\ngroup = {WEB_ACCOUNT}\n" if os.geteuid() == 0 else ""
    pool = directory / "fpm.conf"
    pool.write_text(_POOL.format(directory=directory, account=account, socket=path))
    options = [word for name, value in settings.items() for word in ("-d", f"{name}={value}")]
    root = ["--allow-to-run-as-root"] if os.geteuid() == 0 else []
    process = subprocess.Popen(
        [program(), "--nodaemonize", *root, "--fpm-config", str(pool), *options],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        limit = time.monotonic() + _START_SECONDS
        while not path.exists():
            if process.poll() is not None or time.monotonic() > limit:
                raise RuntimeError(f"php-fpm did not start:\n{(directory / 'fpm.log').read_text()}")
            time.sleep(0.01)
        yield path
    finally:
        process.terminate()
        process.wait(timeout=_START_SECONDS)


def request(path: Path, script: Path, host: str, uri: str = "/") -> str:
    """Run a script through the socket, return the body; raise RuntimeError unless it is a 200."""
    parameters = {
        "GATEWAY_INTERFACE": "CGI/1.1",
        "REQUEST_METHOD": "GET",
        "SCRIPT_FILENAME": str(script),
        "SCRIPT_NAME": f"/{script.name}",
        "REQUEST_URI": uri,
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_NAME": "_",
        "SERVER_PORT": "80",
        "REMOTE_ADDR": "127.0.0.1",
        "HTTP_HOST": host,
    }
    encoded = b"".join(_pair(name, value) for name, value in parameters.items())
    message = (
        _record(_BEGIN, struct.pack("!HB5x", 1, 0))
        + _record(_PARAMS, encoded)
        + _record(_PARAMS, b"")
        + _record(_STDIN, b"")
    )
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.connect(str(path))
        connection.sendall(message)
        with connection.makefile("rb") as answer:
            headers, _blank, body = _output(answer).partition(b"\r\n\r\n")  # type: ignore[arg-type]
    if b"Status:" in headers:
        raise RuntimeError(headers.decode() + body.decode()[:300])
    return body.decode()


def _output(answer: socket.SocketIO) -> bytes:
    output = b""
    while header := answer.read(_HEADER.size):
        _version, kind, _request, length, padding = _HEADER.unpack(header)
        content = answer.read(length + padding) or b""
        if kind == _END:
            break
        if kind == _STDOUT:
            output += content[:length]
    return output


def _record(kind: int, content: bytes) -> bytes:
    return _HEADER.pack(1, kind, 1, len(content), 0) + content


def _pair(name: str, value: str) -> bytes:
    first, second = name.encode(), value.encode()
    return struct.pack("!BI", len(first), len(second) | 0x80000000) + first + second
