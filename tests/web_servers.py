"""A real nginx or Apache on a port of its own, before a PHP-FPM, for as long as a test lasts."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.fpm import WEB_ACCOUNT, program

PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"
LIMIT_SECONDS = 20.0
_NGINX = """
daemon off; error_log {top}/error.log; pid {top}/nginx.pid; worker_processes 1;
{account}
events {{ worker_connections 64; }}
http {{
    access_log off;
    types {{ image/svg+xml svg; }}
    client_body_temp_path {top}/t1; proxy_temp_path {top}/t2; fastcgi_temp_path {top}/t3;
    uwsgi_temp_path {top}/t4; scgi_temp_path {top}/t5;
    include {map};
    include {top}/server.conf;
}}
"""
_APACHE = """
ServerRoot {top}
PidFile {top}/apache.pid
ErrorLog {top}/error.log
Listen 127.0.0.1:{port}
{account}
{modules}
TypesConfig /dev/null
AddType image/svg+xml .svg
Include {top}/server.conf
"""
_MODULES = (
    "mpm_event", "authz_core", "authz_host", "dir", "mime", "rewrite", "alias", "proxy",
    "proxy_fcgi", "setenvif",
)  # fmt: skip


def missing(server: str) -> str:
    """Return why there is no such web server or no PHP-FPM, empty where there is."""
    try:
        program()
    except FileNotFoundError as error:
        return str(error)
    return "" if _program(server) else f"{server} is not installed"


@dataclass(frozen=True)
class Running:
    """A web server that runs: where it listens, how it is told to read its map again."""

    address: tuple[str, int]
    reload: str
    config_test: list[str]

    def test_configuration(self) -> None:
        """Fail unless the program finds its configuration sound."""
        ended = subprocess.run(self.config_test, capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stderr


@contextmanager
def web_server(server: str, top: Path, text: str, map_file: Path, port: int) -> Iterator[Running]:
    """Run a web server whose server part is the text of `web-config --server` on the port."""
    name = _program(server)
    assert name
    for documented, here in (
        ("listen 80 default_server", f"listen 127.0.0.1:{port} default_server"),
        ("include fastcgi_params", "include /etc/nginx/fastcgi_params"),
        ("<VirtualHost *:80>", f"<VirtualHost *:{port}>"),
    ):
        text = text.replace(documented, here)
    (top / "server.conf").write_text(text)
    file = top / f"{server}.conf"
    root = os.geteuid() == 0
    if server == "nginx":
        account = f"user {WEB_ACCOUNT};" if root else ""
        file.write_text(_NGINX.format(top=top, account=account, map=map_file))
        words = [name, "-c", str(file), "-p", str(top), "-e", str(top / "error.log")]
        reload, test = f"{' '.join(words)} -s reload", [*words, "-t"]
        start = words
    else:
        account = f"User {WEB_ACCOUNT}\nGroup {WEB_ACCOUNT}" if root else ""
        modules = "\n".join(
            f"LoadModule {one}_module /usr/lib/apache2/modules/mod_{one}.so" for one in _MODULES
        )
        file.write_text(_APACHE.format(top=top, port=port, account=account, modules=modules))
        words = [name, "-f", str(file)]
        # Apache reads the map by itself.
        reload, test = "", [*words, "-t"]
        start = [*words, "-DFOREGROUND"]
    process = subprocess.Popen(start, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        _wait(process, port)
        yield Running(("127.0.0.1", port), reload, test)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=LIMIT_SECONDS)


def _wait(process: subprocess.Popen[bytes], port: int) -> None:
    limit = time.monotonic() + LIMIT_SECONDS
    while not _answers(port):
        assert process.poll() is None, process.stderr and process.stderr.read()
        assert time.monotonic() < limit
        time.sleep(0.02)


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def _program(server: str) -> str | None:
    return shutil.which("nginx" if server == "nginx" else "apache2", path=PATH)
