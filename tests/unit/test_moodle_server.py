"""PHP's own web server on a tree: what it serves, what it hides, and how it ends."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from tests.places import passable_directory
from tests.processes import lives
from tests.servers import wait_until
from tests.trees import make_tree

from vmoodle.errors import Conflict, Unavailable
from vmoodle.moodle.code.tree import MoodleTree
from vmoodle.moodle.php.binary import PhpBinary, find_php
from vmoodle.moodle.php.server import PhpServer, read_detached, start_detached, stop_detached

LIMIT_SECONDS = 20.0
FAMILY_OF_THREE = 5  # the watching shell, PHP's master and its three workers
AS_ROOT = os.geteuid() == 0
ACCOUNT = "www-data" if AS_ROOT else None

SHOW = """<?php header('Content-Type: application/json'); echo json_encode([
    'script' => $_SERVER['SCRIPT_NAME'], 'file' => $_SERVER['SCRIPT_FILENAME'],
    'self' => $_SERVER['PHP_SELF'], 'info' => $_SERVER['PATH_INFO'] ?? null,
    'uri' => $_SERVER['REQUEST_URI'], 'get' => $_GET, 'cwd' => getcwd(),
    'host' => $_SERVER['HTTP_HOST'], 'user' => posix_geteuid(), 'vars' => get_defined_vars() !== [],
    'pid' => getmypid(), 'input' => ini_get('max_input_vars'),
]);
"""
FILES = {
    "index.php": SHOW,
    "file.php": SHOW,
    "course/index.php": SHOW,
    "theme/boost/config.php": SHOW,
    "pix/logo.svg": "<svg/>",
    "config.php": "<?php echo 'secret';",
    "config.before-vmoodle.php": "<?php echo 'secret';",
    ".env": "secret",
    ".git/config": "secret",
    "empty/readme.txt": "secret",
    "composer.lock": "secret",
    "admin/environment.xml": "secret",
    "mod/quiz/db/install.xml": "secret",
}


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    with passable_directory() as directory:
        yield directory


@pytest.fixture(scope="module")
def tree(place: Path) -> MoodleTree:
    root = make_tree(place / "tree", files=FILES)
    (place / "outside.txt").write_text("secret", encoding="utf-8")
    (root / "link.txt").symlink_to(place / "outside.txt")
    return MoodleTree.open(root)


@pytest.fixture(scope="module")
def php() -> PhpBinary:
    return PhpBinary(find_php(), ACCOUNT)


@pytest.fixture(scope="module")
def server(tree: MoodleTree, php: PhpBinary) -> Iterator[PhpServer]:
    with PhpServer(tree, php) as running:
        yield running


def ask(server: PhpServer, path: str, method: str = "GET") -> tuple[int, dict[str, str], bytes]:
    """Send the path as it is; http.client refuses control characters, a socket does not."""
    with socket.create_connection((server.host, server.port), timeout=LIMIT_SECONDS) as line:
        line.sendall(
            f"{method} {path} HTTP/1.1\r\nHost: one.localhost\r\nConnection: close\r\n\r\n".encode()
        )
        answer = http.client.HTTPResponse(line, method=method)
        answer.begin()
        return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()


@pytest.mark.parametrize(
    ("path", "script", "info"),
    [
        ("/", "/index.php", None),
        ("/index.php?a=b", "/index.php", None),
        ("/course/", "/course/index.php", None),
        ("/file.php/1/some%20file.txt?x=1", "/file.php", "/1/some file.txt"),
        ("/school1/", "/school1/index.php", None),
        ("/school1/course/", "/school1/course/index.php", None),
        ("/school1/file.php/2/a.b", "/school1/file.php", "/2/a.b"),
        ("//course//index.php", "/course/index.php", None),
    ],
)
def test_scripts_see_what_a_production_server_would_tell_them(
    server: PhpServer, tree: MoodleTree, path: str, script: str, info: str | None
) -> None:
    status, _headers, body = ask(server, path)

    saw = json.loads(body)
    assert status == 200
    assert (saw["script"], saw["info"], saw["uri"]) == (script, info, path)
    assert saw["self"] == script + (info or "")
    assert saw["file"] == str(tree.root / script.removeprefix("/school1").lstrip("/"))
    assert saw["cwd"] == str(Path(saw["file"]).parent)
    assert saw["host"] == "one.localhost"
    assert saw["input"] == "10000"


@pytest.mark.parametrize("path", ["/pix/logo.svg", "/school1/pix/logo.svg?rev=1"])
def test_static_files_have_their_type(server: PhpServer, path: str) -> None:
    status, headers, body = ask(server, path)

    assert (status, headers["content-type"], body) == (200, "image/svg+xml", b"<svg/>")


def test_head_gives_the_length_without_the_content(server: PhpServer) -> None:
    status, headers, body = ask(server, "/pix/logo.svg", "HEAD")

    assert (status, headers["content-length"], body) == (200, "6", b"")


def test_a_static_file_takes_no_post(server: PhpServer) -> None:
    assert ask(server, "/pix/logo.svg", "POST")[0] == 405


@pytest.mark.parametrize(
    ("path", "location"),
    [("/course?a=1", "/course/?a=1"), ("/school1", "/school1/"), ("//course", "/course/")],
)
def test_a_directory_gets_its_slash(server: PhpServer, path: str, location: str) -> None:
    status, headers, _body = ask(server, path)

    assert (status, headers["location"]) == (301, location)


@pytest.mark.parametrize("base", ["", "/school1"])
@pytest.mark.parametrize(
    "path",
    [
        "/config.php",
        "/CONFIG.PHP",
        "//config.php",
        "/%63onfig.php",
        "/config.php/x",
        "/config.before-vmoodle.php",
        "/.env",
        "/.git/config",
        "/./.env",
        "/course/../config.php",
        "/course/%2e%2e/config.php",
        "/course/..%2f..%2foutside.txt",
        "/../outside.txt",
        "/link.txt",
        "/empty/readme.txt",
        "/empty/",
        "/composer.lock",
        "/admin/environment.xml",
        "/mod/quiz/db/install.xml",
        "/nothing.php",
        "/pix/logo.svg/more",
        "/index.php%00.svg",
        "/..\\config.php",
        "/%",
        "/" + "a/" * 3000,
    ],
)
def test_what_is_no_page_is_not_served(server: PhpServer, base: str, path: str) -> None:
    status, _headers, body = ask(server, base + path)

    assert status in {400, 404}
    assert b"secret" not in body and b"/tmp" not in body


def test_a_themes_config_php_is_no_secret_of_the_tree(server: PhpServer) -> None:
    assert ask(server, "/theme/boost/config.php")[0] == 200


@pytest.mark.skipif(not AS_ROOT, reason="only root may become the web account")
def test_root_serves_as_the_web_account(server: PhpServer) -> None:
    import pwd

    assert json.loads(ask(server, "/")[2])["user"] == pwd.getpwnam("www-data").pw_uid


@pytest.mark.skipif(not AS_ROOT, reason="only root may become the web account")
def test_a_tree_the_web_account_cannot_reach_is_said(place: Path, php: PhpBinary) -> None:
    root = make_tree(place / "closed" / "tree")
    (place / "closed").chmod(0o700)

    with pytest.raises(Unavailable) as caught, PhpServer(MoodleTree.open(root), php):
        pass

    assert caught.value.code == "server.unreachable"


def test_a_port_in_use_is_said(server: PhpServer, tree: MoodleTree, php: PhpBinary) -> None:
    with pytest.raises(Conflict) as caught, PhpServer(tree, php, port=server.port):
        pass

    assert caught.value.code == "server.port"


def test_nothing_of_a_server_is_left_after_its_block(tree: MoodleTree, php: PhpBinary) -> None:
    with PhpServer(tree, php, workers=3) as server:
        wait_until(lambda: len(_of(server)) == FAMILY_OF_THREE, "the workers did not start")
        workers = _of(server)

    wait_until(lambda: not any(lives(pid) for pid in workers), "a worker was left")


def test_a_killed_caller_leaves_no_server(tree: MoodleTree, php: PhpBinary) -> None:
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from vmoodle.moodle.php.binary import PhpBinary\n"
        "from vmoodle.moodle.php.server import PhpServer\n"
        "from vmoodle.moodle.code.tree import MoodleTree\n"
        f"with PhpServer(MoodleTree.open({str(tree.root)!r}), PhpBinary(Path({str(php.path)!r}),"
        f" {ACCOUNT!r}), workers=3) as server:\n"
        "    print(server.port, flush=True)\n"
        "    sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as caller:
        assert caller.stdout is not None
        caller.stdout.readline()
        family = psutil.Process(caller.pid)
        wait_until(
            lambda: len(family.children(recursive=True)) == FAMILY_OF_THREE,
            "the workers did not start",
        )
        children = [child.pid for child in family.children(recursive=True)]
        caller.kill()

    wait_until(lambda: not any(lives(pid) for pid in children), "a process of the server was left")


def test_a_detached_server_survives_its_starter_and_is_stopped_by_its_file(
    place: Path, tree: MoodleTree, php: PhpBinary
) -> None:
    pid_file, log_file = place / "server.json", place / "server.log"
    code = (
        "from pathlib import Path\n"
        "from vmoodle.moodle.php.binary import PhpBinary\n"
        "from vmoodle.moodle.php.server import start_detached\n"
        "from vmoodle.moodle.code.tree import MoodleTree\n"
        f"start_detached(MoodleTree.open({str(tree.root)!r}), PhpBinary(Path({str(php.path)!r}),"
        f" {ACCOUNT!r}), host='127.0.0.1', port=0, workers=2,"
        f" pid_file=Path({str(pid_file)!r}), log_file=Path({str(log_file)!r}))\n"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True)
    try:
        running = read_detached(pid_file)
        assert running is not None
        again = start_detached(
            tree,
            php,
            host="127.0.0.1",
            port=running.port,
            workers=2,
            pid_file=pid_file,
            log_file=log_file,
        )
        assert again == running
        with socket.create_connection((running.host, running.port), timeout=5):
            pass
    finally:
        assert stop_detached(pid_file)

    assert not lives(running.pid) and not pid_file.exists()
    assert not stop_detached(pid_file)


def test_a_pid_that_another_process_has_by_now_is_left_alone(place: Path) -> None:
    pid_file = place / "stale.json"
    with subprocess.Popen(["sleep", "60"]) as other:
        pid_file.write_text(
            json.dumps(
                {
                    "pid": other.pid,
                    "created": psutil.Process(other.pid).create_time(),
                    "host": "127.0.0.1",
                    "port": 1,
                    "webroot": "/x",
                    "router": "/x/router.php",
                }
            ),
            encoding="utf-8",
        )

        assert not stop_detached(pid_file)
        assert other.poll() is None
        other.kill()


def _of(server: PhpServer) -> list[int]:
    return [
        process.pid
        for process in psutil.process_iter()
        if f"{server.host}:{server.port}" in _command_line(process)
    ]


def _command_line(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []
