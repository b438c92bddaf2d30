"""The web server page's nginx blocks, run by a real nginx and PHP-FPM on both layouts."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from bench.fpm import WEB_ACCOUNT, fpm, program
from tests.hook_tree import ask, site, web_group

from vmoodle.hook.config_php import render_config_php
from vmoodle.hook.install import install_hook
from vmoodle.hook.map import HostMap
from vmoodle.hook.web_server import HIDDEN as HIDDEN_EXPRESSION
from vmoodle.sandbox import copy_tree

PAGE = Path(__file__).parent.parent.parent / "docs" / "how-to" / "web-server.md"
PLACE_OF_SUB_PATHS = "    # The blocks of sites below a path stand here.\n"
LIMIT_SECONDS = 20.0
HOST = "fleet.test"
CODEBASE = "main"
PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"

SAW = """<?php header('Content-Type: application/json'); echo json_encode([
    'script' => $_SERVER['SCRIPT_NAME'], 'file' => $_SERVER['SCRIPT_FILENAME'],
    'info' => $_SERVER['PATH_INFO'] ?? '', 'uri' => $_SERVER['REQUEST_URI'],
    'self' => $_SERVER['PHP_SELF'], 'query' => $_SERVER['QUERY_STRING'],
]);
"""
# Says what the hook took for the site, without the site's database.
SITE = """<?php define('ABORT_AFTER_CONFIG', true);
require __DIR__ . '/config.php'; echo $CFG->wwwroot;
"""
HIDDEN = [
    "vendor/x/eval.php",
    "lib/tests/fixtures/a.php",
    "lib/tests/behat/b.php",
    "config.before-vmoodle.php",
    "config.before-vmoodle-2.php",
    "config-dist.php",
    "node_modules/x.js",
    ".env",
    ".git/config",
    "README.md",
    "lib/readme_moodle.txt",
    "lib/upgrade.txt",
    "UPGRADING.md",
    "composer.lock",
    "composer.json",
    "package.json",
    "yarn.lock",
    "admin/environment.xml",
    "mod/quiz/db/install.xml",
    "phpunit.xml.dist",
    "Gruntfile.js",
]
NGINX = """
daemon off; master_process off; error_log {top}/error.log; pid {top}/nginx.pid;
{account}
events {{ worker_connections 64; }}
http {{
    access_log off;
    types {{ image/svg+xml svg; }}
    client_body_temp_path {top}/t1; proxy_temp_path {top}/t2; fastcgi_temp_path {top}/t3;
    uwsgi_temp_path {top}/t4; scgi_temp_path {top}/t5;
    {server}
}}
"""


def missing() -> str:
    try:
        program()
    except FileNotFoundError as error:
        return str(error)
    return "" if shutil.which("nginx", path=PATH) else "nginx is not installed"


pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())


@dataclass(frozen=True)
class Served:
    """A tree behind nginx."""

    address: tuple[str, int]
    web_root: Path

    def get(self, uri: str, host: str = HOST) -> tuple[int, dict[str, str], str]:
        answer = ask(self.address, host, uri)
        assert answer is not None, uri
        return answer.status, answer.headers, answer.body


def configuration(top: Path, web_root: Path, fpm_socket: Path, port: int) -> str:
    """Return the page's server with its sub-path blocks put where the page says."""
    server, below = re.findall(r"^```nginx\n(.*?)^```", PAGE.read_text(), re.M | re.S)
    assert server.count(PLACE_OF_SUB_PATHS) == 1
    text = server.replace(PLACE_OF_SUB_PATHS, below)
    for documented, here in (
        ("/run/php/php-fpm.sock", str(fpm_socket)),
        ("listen 80 default_server", f"listen 127.0.0.1:{port} default_server"),
        ("include fastcgi_params", "include /etc/nginx/fastcgi_params"),
        ("/srv/moodle", str(web_root)),
    ):
        assert documented in text
        text = text.replace(documented, here)
    account = f"user {WEB_ACCOUNT};" if os.geteuid() == 0 else ""
    return NGINX.format(top=top, account=account, server=text)


@contextmanager
def nginx(top: Path, web_root: Path, fpm_socket: Path) -> Iterator[tuple[str, int]]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    file = top / "nginx.conf"
    file.write_text(configuration(top, web_root, fpm_socket, port))
    name = shutil.which("nginx", path=PATH)
    assert name
    process = subprocess.Popen(
        [name, "-c", str(file), "-p", str(top), "-e", str(top / "error.log")],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        limit = time.monotonic() + LIMIT_SECONDS
        while True:
            assert process.poll() is None, (top / "error.log").read_text()
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                assert time.monotonic() < limit
                time.sleep(0.02)
        yield "127.0.0.1", port
    finally:
        process.terminate()
        process.wait(timeout=LIMIT_SECONDS)


@pytest.fixture(scope="module", params=["classic", "public"])
def served(request: pytest.FixtureRequest) -> Iterator[Served]:
    top = Path(tempfile.mkdtemp(prefix="vmoodle-nginx-"))
    try:
        top.chmod(0o755)
        release = "4.5" if request.param == "classic" else "5.1"
        tree = copy_tree(top / "tree", layout=request.param, release=release)
        web_root = tree / "public" if request.param == "public" else tree
        hook = install_hook(top / "home" / "hook")
        (tree / "config.php").write_text(render_config_php(hook, top / "home" / "map", CODEBASE))
        dataroot = top / "moodledata"
        dataroot.mkdir()
        dataroot.chmod(0o777)
        HostMap(top / "home" / "map", web_group()).publish_all(
            [
                site("one", f"http://{HOST}", dataroot=str(dataroot)),
                site("two", f"http://{HOST}/school1", dataroot=str(dataroot)),
            ]
        )
        files = dict.fromkeys(HIDDEN, "<?php echo 'secret';")
        files |= {"file.php": SAW, "course/index.php": SAW, "mod/file.php": SAW, "which.php": SITE}
        files["r.php"] = SAW
        files["mod/readmenotes/file.php"] = SAW
        for name, text in (files | {"pix/logo.svg": "<svg/>"}).items():
            path = web_root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        with fpm(top, {"display_errors": "1"}) as fpm_socket:
            fpm_socket.chmod(0o666)
            with nginx(top, web_root, fpm_socket) as address:
                yield Served(address, web_root)
    finally:
        shutil.rmtree(top)


def test_the_page_hides_what_the_generated_server_hides() -> None:
    assert PAGE.read_text().count(HIDDEN_EXPRESSION) == 2


@pytest.mark.parametrize("segment", ["", "/school1"])
@pytest.mark.parametrize(
    "path", [*HIDDEN, "vendor/x/eval.php/more", "config.php", "VENDOR/x/eval.php"]
)
def test_what_is_no_page_is_hidden(served: Served, segment: str, path: str) -> None:
    status, _headers, body = served.get(f"{segment}/{path}")
    assert status == 404
    assert "secret" not in body
    assert "nginx" in body, "PHP was asked"


@pytest.mark.parametrize("segment", ["", "/school1"])
@pytest.mark.parametrize(
    ("path", "script", "info"),
    [
        ("/file.php?a=b", "/file.php", ""),
        ("/course/", "/course/index.php", ""),
        ("/file.php/1/some%20file.txt?x=1", "/file.php", "/1/some file.txt"),
        ("/file.php/1/vendor/readme.txt", "/file.php", "/1/vendor/readme.txt"),
        ("/mod/file.php/2/a.php", "/mod/file.php", "/2/a.php"),
        ("/mod/readmenotes/file.php", "/mod/readmenotes/file.php", ""),
        ("/course/5/manage?a=b", "/r.php", ""),
    ],
)
def test_scripts_see_their_site_and_slash_arguments(
    served: Served, segment: str, path: str, script: str, info: str
) -> None:
    status, _headers, body = served.get(segment + path)
    assert status == 200, body
    saw = json.loads(body)
    assert saw["script"] == segment + script
    assert saw["info"] == info
    assert saw["self"] == segment + script + info
    assert saw["uri"] == segment + path
    assert saw["query"] == path.partition("?")[2]
    assert saw["file"] == str(served.web_root / script.lstrip("/"))


@pytest.mark.parametrize("segment", ["", "/school1"])
def test_the_hook_finds_the_site(served: Served, segment: str) -> None:
    assert served.get(f"{segment}/which.php")[::2] == (200, f"http://{HOST}{segment}")


def test_an_unknown_host_gets_the_hooks_page(served: Served) -> None:
    status, _headers, body = served.get("/", host="nobody.test")
    assert status == 404
    assert "nginx" not in body


@pytest.mark.parametrize("segment", ["", "/school1"])
def test_static_files_and_directories(served: Served, segment: str) -> None:
    status, headers, body = served.get(f"{segment}/pix/logo.svg")
    assert (status, headers["content-type"], body) == (200, "image/svg+xml", "<svg/>")
    status, headers, _body = served.get(f"{segment}/course")
    assert (status, headers["location"]) == (301, f"{segment}/course/")
    assert served.get(f"{segment}/pix/logo.svg/x.php")[0] == 404
    assert served.get(f"{segment}/missing.php")[0] == 404


def test_a_sub_path_without_its_slash_gets_it(served: Served) -> None:
    status, headers, _body = served.get("/school1")
    assert (status, headers["location"]) == (301, "/school1/")
    _status, headers, _body = served.get("/school1?lang=de&a=b")
    assert headers["location"] == "/school1/?lang=de&a=b"
