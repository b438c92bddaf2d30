"""A code tree of nothing but the hook: it serves, as JSON, what the hook put into $CFG."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from vmoodle.hook.address import parse_wwwroot
from vmoodle.hook.config_php import render_config_php
from vmoodle.hook.entry import PublishedSite
from vmoodle.hook.install import install_hook
from vmoodle.hook.map import HostMap

START_SECONDS = 20
ANSWER_SECONDS = 30
CODEBASE = "main"
_SETUP = """<?php
$shown = (array) $CFG;
unset($shown['dbpass']);
$shown['__host'] = $_SERVER['HTTP_HOST'] ?? null;
if (PHP_SAPI !== 'cli') {
    header('Content-Type: application/json');
}
echo json_encode($shown, JSON_THROW_ON_ERROR);
"""
_ROUTER = "<?php require __DIR__ . '/config.php';\n"
# What an administrator might have set, at its worst for a map that changes.
STALE_SETTINGS = {
    "opcache.enable": "1",
    "opcache.enable_cli": "1",
    "opcache.validate_timestamps": "0",
    "opcache.revalidate_freq": "3600",
    "display_errors": "1",
    "error_reporting": "-1",
    "html_errors": "0",
}


def site(shortname: str, url: str, **changes: object) -> PublishedSite:
    """Return a live site of the tree."""
    made = PublishedSite(
        shortname=shortname,
        codebase=CODEBASE,
        state="live",
        address=parse_wwwroot(url),
        dataroot=f"/srv/dataroot-of/{shortname}",
        database_config={
            "dbtype": "pgsql",
            "dbhost": "db.internal",
            "dbname": f"database_of_{shortname}",
            "dbuser": f"account_of_{shortname}",
            "dbpass": f"password-of-{shortname}",
            "prefix": "mdl_",
            "dboptions": {"dbport": 5432},
        },
        session_key=f"key{shortname}",
    )
    return replace(made, **changes)  # type: ignore[arg-type]


@dataclass(frozen=True)
class HookTree:
    """The tree and the host map that its config.php names."""

    directory: Path
    map_directory: Path
    host_map: HostMap

    @property
    def web(self) -> Path:
        """The files that web requests read."""
        return self.map_directory / "web"

    def php(
        self, *words: str, site: str | None, settings: Mapping[str, str] = STALE_SETTINGS
    ) -> subprocess.CompletedProcess[str]:
        """Run config.php on the command line, as a stock script would, for a site."""
        environment = {key: value for key, value in os.environ.items() if key != "VMOODLE_SITE"}
        if site is not None:
            environment["VMOODLE_SITE"] = site
        return subprocess.run(
            ["php", *_options(settings), str(self.directory / "config.php"), *words],
            env=environment, capture_output=True, text=True, timeout=ANSWER_SECONDS, check=False,
        )  # fmt: skip


@contextmanager
def hook_tree() -> Iterator[HookTree]:
    """Make a tree and an empty map that the web account can read."""
    top = Path(tempfile.mkdtemp(prefix="vmoodle-hook-"))
    try:
        top.chmod(0o755)
        tree = top / "tree"
        (tree / "lib").mkdir(parents=True)
        hook = install_hook(top / "home" / "hook")
        (tree / "config.php").write_text(render_config_php(hook, top / "home" / "map", CODEBASE))
        (tree / "lib" / "setup.php").write_text(_SETUP)
        (tree / "router.php").write_text(_ROUTER)
        host_map = HostMap(top / "home" / "map", web_group())
        host_map.publish_all([])
        yield HookTree(tree, top / "home" / "map", host_map)
    finally:
        shutil.rmtree(top)


def web_group() -> int | None:
    """Return the web account's group id; None where we are no root and everything is ours."""
    return pwd.getpwnam("www-data").pw_gid if os.geteuid() == 0 else None


@contextmanager
def served(
    tree: HookTree, settings: Mapping[str, str] = STALE_SETTINGS, workers: int = 2
) -> Iterator[tuple[str, int]]:
    """Serve the tree by PHP's own server, as the web account where we are root."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    account = (
        {"user": "www-data", "group": "www-data", "extra_groups": []} if os.geteuid() == 0 else {}
    )
    environment = {
        "PATH": os.environ["PATH"],
        "PHP_CLI_SERVER_WORKERS": str(workers),
        "VMOODLE_SITE": "environment",
    }
    process = subprocess.Popen(
        ["php", *_options(settings), "-S", f"127.0.0.1:{port}", "-t", str(tree.directory),
         str(tree.directory / "router.php")],
        env=environment, cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True, **account,  # type: ignore[call-overload]
    )  # fmt: skip
    try:
        limit = time.monotonic() + START_SECONDS
        while True:
            assert process.poll() is None, "PHP's server did not start"
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                assert time.monotonic() < limit
                time.sleep(0.02)
        yield ("127.0.0.1", port)
    finally:
        os.killpg(process.pid, 15)
        process.wait(timeout=START_SECONDS)


def _options(settings: Mapping[str, str]) -> Sequence[str]:
    return [word for name, value in settings.items() for word in ("-d", f"{name}={value}")]


@dataclass(frozen=True)
class Answer:
    """An HTTP answer; header names in lower case."""

    status: int
    headers: dict[str, str]
    body: str


def ask(
    server: tuple[str, int],
    host: str | bytes,
    uri: str | bytes = "/",
    *,
    method: str = "GET",
    headers: Sequence[str] = (),
) -> Answer | None:
    """Send a request by a raw socket, nothing made better; None when the server hung up on it."""
    lines = [
        method.encode() + b" " + _bytes(uri) + b" HTTP/1.0",
        b"Host: " + _bytes(host),
        *(line.encode() for line in headers),
        b"Connection: close",
    ]
    with socket.create_connection(server, timeout=ANSWER_SECONDS) as connection:
        try:
            connection.sendall(b"\r\n".join(lines) + b"\r\n\r\n")
            received = b""
            while part := connection.recv(65536):
                received += part
        except ConnectionError:
            return None
    head, _blank, body = received.partition(b"\r\n\r\n")
    if not head:
        return None
    status, *rest = head.decode("latin-1").split("\r\n")
    pairs = (line.partition(":") for line in rest)
    return Answer(
        int(status.split()[1]),
        {name.lower(): value.strip() for name, _colon, value in pairs},
        body.decode("utf-8", errors="replace"),
    )


def _bytes(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode("utf-8", errors="surrogateescape")
