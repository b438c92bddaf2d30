"""Planted passwords are found nowhere: no process list, no environment, no log, error or JSON."""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests import servers
from tests.fleet import Fleet

ADMIN = "Planted-Admin-Passw0rd!"


class Watch:
    """Reads every process's arguments and environment as fast as it can, while it is entered."""

    def __init__(self, words: list[str]) -> None:
        self._words = [word.encode() for word in words]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self.looks = 0
        self.seen: set[str] = set()

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._stop.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._stop.is_set():
            self.looks += 1
            for process in Path("/proc").glob("[0-9]*"):
                for name in ("cmdline", "environ", "comm"):
                    with contextlib.suppress(OSError):
                        content = (process / name).read_bytes()
                        if any(word in content for word in self._words):
                            self.seen.add(content.replace(b"\0", b" ")[:200].decode("latin-1"))


@pytest.fixture(scope="module", params=["mariadb", "postgresql"])
def server(request: pytest.FixtureRequest) -> Iterator[servers.PrivateServer]:
    with servers.private_server(request.param) as started:
        yield started


def test_no_password_is_seen_while_a_site_is_made_and_deleted(
    server: servers.PrivateServer, tmp_path: Path
) -> None:
    directory = Path(tempfile.mkdtemp(prefix="vmoodle-planted-"))
    directory.chmod(0o755)
    fleet = Fleet(directory / "home", forked=False)  # what is watched is a process of its own
    administrator = server.address.password.reveal()
    url = server.url.replace(f":{administrator}@", "@")
    said = []
    with Watch([ADMIN, administrator]) as watch:
        said.append(fleet.run("server", "add", "main", url, "--password-file", "-",
                              stdin=administrator + "\n"))  # fmt: skip
        said.append(fleet.run("codebase", "add", "sandbox", "sandbox", "--json"))
        said.append(
            fleet.run(
                "site", "create", "s", "--url", "http://s.example.test", "--json",
                "--admin-password-file", "-", stdin=ADMIN + "\n",
            )
        )  # fmt: skip
        said.append(fleet.run("site", "show", "s", "--json"))
        said.append(fleet.run("server", "show", "main", "--json"))
        said.append(fleet.run("operation", "list", "--json"))
    own = site_password(fleet)
    with Watch([ADMIN, administrator, own]) as watch_own:
        said.append(fleet.run("exec", "s", "--", "admin/cli/cron.php", "--keep-alive=0"))
        said.append(fleet.run("site", "set", "s", "--name", "Other"))
        said.append(fleet.run("hook", "check", "--json"))
        said.append(fleet.run("doctor", "--json"))
        said.append(fleet.run("backup", str(directory / "kept.tar.zst")))
        said.append(fleet.run("backup", "verify", str(directory / "kept.tar.zst")))
        said.append(fleet.run("site", "suspend", "s", "--json"))
    assert watch.looks > 10
    assert watch.seen | watch_own.seen == set()
    printed = "".join(ended.stdout + ended.stderr for ended in said)
    kept = "".join(
        path.read_bytes().decode("latin-1") for path in fleet.home.rglob("*")
        if path.is_file() and not {"map", "codebases"} & set(path.relative_to(fleet.home).parts)
    )  # fmt: skip
    for word in (ADMIN, administrator, own):
        assert word not in printed
        assert word not in kept
    fleet.run("site", "delete", "s", "--confirm", "s", "--purge")
    assert own not in everything_in(fleet.home / "map")
    shutil.rmtree(directory)


def test_a_wrong_password_is_not_in_the_error(server: servers.PrivateServer) -> None:
    directory = Path(tempfile.mkdtemp(prefix="vmoodle-planted-"))
    administrator = server.address.password.reveal()
    wrong = server.url.replace(f":{administrator}@", ":Planted-Wrong-1@")
    ended = Fleet(directory / "home").run("server", "add", "main", wrong, status=6)
    assert "[engine.login]" in ended.stderr
    assert "Planted-Wrong-1" not in ended.stdout + ended.stderr
    shutil.rmtree(directory)


def site_password(fleet: Fleet) -> str:
    entry = json.loads((fleet.home / "map" / "cli" / "s.json").read_text())
    return str(entry["cfg"]["dbpass"])


def everything_in(directory: Path) -> str:
    return "".join(path.read_text() for path in directory.rglob("*") if path.is_file())
