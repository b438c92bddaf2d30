"""`vmoodle web-config`: a real nginx and a real Apache serve each site from its codebase's tree."""

from __future__ import annotations

import json
import shlex
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from bench.fpm import fpm
from tests import servers, web_servers
from tests.contract.copies import CopyFleet
from tests.fleet import Fleet
from tests.hook_tree import ask
from tests.unit.test_docs_web_server import HIDDEN, SAW

from vmoodle.engines.protocol import open_engine
from vmoodle.sandbox import copy_tree

WHO = """<?php require __DIR__ . '/config.php';
echo $CFG->wwwroot, ' ', basename(dirname(__DIR__)), '/', basename(__DIR__);
"""


@dataclass
class Place:
    """A fleet of two codebases behind a web server that follows it."""

    fleet: Fleet
    server: str
    running: web_servers.Running
    map_file: Path
    trees: dict[str, Path]

    def get(self, host: str, uri: str) -> tuple[int, dict[str, str], str]:
        answer = ask(self.running.address, host, uri)
        assert answer is not None, uri
        return answer.status, answer.headers, answer.body

    def upgrade(self, site: str, *options: str, **more: Any) -> dict[str, Any]:
        """Move sites to the new codebase, and return what became of them."""
        words = ("--accept", "plugin.missing", "--yes", "--retry", *options)
        ended = self.fleet.json("upgrade", "run", "--to", "new", "--on", site, *words, **more)
        return dict(ended)

    def check(self, status: int = 0) -> None:
        self.fleet.run("web-config", self.server, "--check", str(self.map_file), status=status)


@pytest.fixture(scope="module", params=["nginx", "apache"])
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    """Three sites on the codebase `old`, the codebase `new`, and the web server before both."""
    server = request.param
    if reason := web_servers.missing(server) or servers.postgresql_missing():
        pytest.skip(reason)
    directory = Path(tempfile.mkdtemp(prefix="vmoodle-web-"))
    directory.chmod(0o755)
    top = directory / "web"
    top.mkdir()
    port = servers.free_port()
    map_file = top / "sites.map"
    with servers.private_postgresql(directory / "server") as database, fpm(top, {}) as socket:
        socket.chmod(0o666)
        fleet = Fleet(directory / "home")
        fleet.environment |= {
            "VMOODLE_WEB__SERVER": server,
            "VMOODLE_WEB__MAP": str(map_file),
        }
        fleet.run("server", "add", "main", database.url)
        trees = {}
        for name, release in (("old", "4.5"), ("new", "5.1.0")):
            layout = "classic" if name == "old" else "public"
            tree = copy_tree(directory / name, layout=layout, release=release)
            trees[name] = tree / "public" if name == "new" else tree
            for file, text in (
                dict.fromkeys(HIDDEN, "<?php echo 'secret';")
                | {"who.php": WHO, "saw.php": SAW, "course/index.php": SAW, "r.php": SAW}
                | {"pix/logo.svg": "<svg/>"}
            ).items():
                path = trees[name] / file
                path.parent.mkdir(parents=True, exist_ok=True)
                if file in HIDDEN and path.exists():
                    continue
                path.write_text(text)
            fleet.run("codebase", "add", name, str(tree))
        made = CopyFleet(fleet, open_engine(database.address))
        made.make("site", "create", "top", "--url", "http://top.test", "--codebase", "old")
        fleet.run("site", "clone", "top", "below", "--url", "http://top.test/school1")
        fleet.run("site", "clone", "top", "ported", "--url", f"http://ported.test:{port}")
        fleet.run("site", "set", "ported", "--alias", "alias.test")
        text = fleet.run("web-config", server, "--server", "--fpm", f"unix:{socket}").stdout
        with web_servers.web_server(server, top, text, map_file, port) as running:
            fleet.environment["VMOODLE_WEB__RELOAD"] = running.reload
            fleet.environment["VMOODLE_WEB__CONNECT"] = f"127.0.0.1:{port}"
            yield Place(fleet, server, running, map_file, trees)
        fleet.assert_clean()
    shutil.rmtree(directory, ignore_errors=True)


ADDRESSES = [("top.test", ""), ("top.test", "/school1"), ("ported.test:1234", "")]


@pytest.mark.parametrize(("host", "prefix"), ADDRESSES)
def test_scripts_see_their_site_slash_arguments_and_the_router(
    place: Place, host: str, prefix: str
) -> None:
    place.running.test_configuration()
    for path, script, info in (
        ("/saw.php?a=b", "/saw.php", ""),
        ("/course/", "/course/index.php", ""),
        ("/saw.php/1/some%20file.txt?x=1", "/saw.php", "/1/some file.txt"),
        ("/saw.php/1/vendor/readme.txt", "/saw.php", "/1/vendor/readme.txt"),
        ("/course/5/manage?a=b", "/r.php", ""),
    ):
        status, _headers, body = place.get(host, prefix + path)
        assert status == 200, (path, body)
        saw = json.loads(body)
        assert (saw["script"], saw["info"]) == (prefix + script, info), path
        assert (saw["uri"], saw["query"]) == (prefix + path, path.partition("?")[2]), path
        assert saw["file"] == str(place.trees["old"] / script.lstrip("/"))
    status, headers, body = place.get(host, f"{prefix}/pix/logo.svg")
    assert (status, headers["content-type"], body) == (200, "image/svg+xml", "<svg/>")
    status, headers, _body = place.get(host, f"{prefix}/course?a=b")
    assert status == 301
    assert headers["location"].removeprefix(f"http://{host}") == f"{prefix}/course/?a=b"
    assert place.get(host, f"{prefix}/missing.php")[0] == 404


@pytest.mark.parametrize(("host", "prefix"), ADDRESSES)
def test_what_is_no_page_is_hidden(place: Place, host: str, prefix: str) -> None:
    for path in [*HIDDEN, "vendor/x/eval.php/more", "config.php", "VENDOR/x/eval.php"]:
        status, _headers, body = place.get(host, f"{prefix}/{path}")
        assert status in (403, 404), path
        assert "secret" not in body


def test_a_sub_path_without_its_slash_gets_it_and_unknown_hosts_the_hooks_page(
    place: Place,
) -> None:
    status, headers, _body = place.get("top.test", "/school1?lang=de")
    assert status == 301
    assert headers["location"].removeprefix("http://top.test") == "/school1/?lang=de"
    # A segment is a site's only at its own host, and a capital or a dot changes no host.
    for host in ("nobody.test", "ported.test", "..", "a" * 260):
        status, _headers, body = place.get(host, "/school1/who.php")
        assert status in (400, 404), host
        assert "old" not in body
    assert place.get("TOP.test.", "/who.php")[2].startswith("http://top.test ")


def test_a_site_that_moves_is_served_from_its_new_tree_and_the_others_stay(place: Place) -> None:
    assert place.get("top.test", "/school1/who.php")[2].startswith("http://top.test/school1 ")
    place.check()
    ended = place.upgrade("below")
    assert ended["summary"] == {"done": 1}, ended
    place.check()
    saw = json.loads(place.get("top.test", "/school1/saw.php")[2])
    assert saw["file"] == str(place.trees["new"] / "saw.php")
    assert place.get("top.test", "/school1/who.php")[2].endswith("new/public")
    assert place.get("top.test", "/who.php")[2].startswith("http://top.test ")
    assert json.loads(place.get("top.test", "/saw.php")[2])["file"] == str(
        place.trees["old"] / "saw.php"
    )


def test_a_move_that_fails_goes_back_in_the_web_server_too(place: Place) -> None:
    mark = place.trees["new"] / "lib" / "db" / "fail_upgrade"
    mark.touch()
    try:
        ended = place.upgrade("ported", status=1)
    finally:
        mark.unlink()
    assert ended["summary"] == {"failed": 1}
    assert json.loads(place.get("ported.test", "/saw.php")[2])["file"] == str(
        place.trees["old"] / "saw.php"
    )
    place.check()


def test_a_web_server_that_cannot_be_told_stops_the_move_and_is_told_of(place: Place) -> None:
    ended = place.upgrade("ported", status=1, VMOODLE_WEB__RELOAD="/bin/false")
    assert [one["error_code"] for one in ended["sites"]] == ["web.reload"]
    assert place.fleet.json("site", "show", "ported")["codebase"] == "old"
    found = json.loads(place.fleet.run("doctor", "--json", status=1).stdout)
    assert [one["check"] for one in found] == ["V031"]
    place.fleet.run("doctor", "--mend", "--yes")
    place.fleet.assert_clean()


def test_sites_move_side_by_side_while_the_web_server_is_slow_to_follow(place: Place) -> None:
    for name in ("first", "second"):
        place.fleet.run("site", "clone", "top", name, "--url", f"http://{name}.test")
    slow = shlex.join(["sh", "-c", f"sleep 1; {place.running.reload}"])
    words = ("--waves", "2", "--in-parallel", "2")
    ended = place.upgrade("first, second", *words, VMOODLE_WEB__RELOAD=slow)
    assert ended["summary"] == {"done": 2}, ended
    place.check()
    problem = place.fleet.problem("site", "list", VMOODLE_WEB__RELOAD="nginx 'reload")
    assert problem["code"] == "settings.value"


def test_the_map_follows_sites_that_come_and_go_and_says_when_it_is_stale(place: Place) -> None:
    place.fleet.run("site", "clone", "top", "later", "--url", "http://later.test")
    place.check()
    assert place.get("later.test", "/who.php")[2].startswith("http://later.test ")
    place.fleet.run("site", "suspend", "later")
    assert "later.test" in place.map_file.read_text()
    assert place.get("later.test", "/who.php")[0] == 503
    place.fleet.run("site", "delete", "later", "--yes", "--no-snapshot", status=None)
    place.check()
    place.map_file.write_text("something else")
    place.check(status=4)
    problem = place.fleet.problem("web-config", place.server, "--check", str(place.map_file))
    assert problem["code"] == "web.stale"
    place.fleet.run("web-config", place.server, "--write", str(place.map_file))
    place.check()
    for words, code in (
        (("--write", "/nowhere/at/all"), "web.file"),
        (("--server", "--fpm", "a b;"), "web.fpm"),
        (("--server", "--check", "x"), "usage"),
    ):
        assert place.fleet.problem("web-config", place.server, *words)["code"] == code
    assert place.fleet.problem("web-config", "caddy")["code"] == "usage"
