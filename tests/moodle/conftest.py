"""Eight sites over two codebases and two engines in one registry, on the sandbox and on Moodle."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests import servers
from tests.fleet import Fleet
from tests.trees import real_trees
from tests.web import Browser

from vmoodle.moodle.code.tree import MoodleTree
from vmoodle.moodle.php.binary import PhpBinary, find_php
from vmoodle.moodle.php.server import PhpServer

SERVERS = ("maria", "postgres")


@dataclass(frozen=True)
class SiteUnderTest:
    """A site, its administrator's password, and a way to visit it."""

    shortname: str
    name: str
    codebase: str
    server: str
    password: str
    address: tuple[str, int]

    @property
    def host(self) -> str:
        return f"{self.shortname}.example.test"

    def browser(self) -> Browser:
        return Browser(self.address, self.host)


@dataclass(frozen=True)
class World:
    """The fleet and its sites."""

    fleet: Fleet
    sites: list[SiteUnderTest]
    addresses: dict[str, tuple[str, int]]


def _real_pair() -> dict[str, Path]:
    chosen: dict[str, Path] = {}
    for path in real_trees():
        series = MoodleTree.open(path).version.series
        chosen.setdefault(series, path)
    return chosen


@pytest.fixture(scope="session")
def database_urls() -> Iterator[dict[str, str]]:
    servers.require("mariadb")
    servers.require("postgresql")
    directory = Path(tempfile.mkdtemp(prefix="vmoodle-servers-"))
    directory.chmod(0o755)
    with (
        servers.private_mariadb(directory / "maria") as maria,
        servers.private_postgresql(directory / "postgres") as postgres,
    ):
        yield {"maria": maria.url, "postgres": postgres.url}
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session", params=["sandbox", pytest.param("real", marks=pytest.mark.moodle)])
def world(request: pytest.FixtureRequest, database_urls: dict[str, str]) -> Iterator[World]:
    """Two codebases, two servers, for each pair a site and a clone of it, made by `vmoodle`."""
    trees: dict[str, Path | str] = {"4.5": "sandbox", "5.1": "sandbox-5.1"}
    if request.param == "real":
        real = _real_pair()
        if not {"4.5", "5.1"} <= set(real):
            pytest.skip(f"no real Moodle 4.5 and 5.1 found (VMOODLE_MOODLE_TREES): {sorted(real)}")
        trees = {"4.5": real["4.5"], "5.1": real["5.1"]}
    directory = Path(tempfile.mkdtemp(prefix="vmoodle-world-"))
    directory.chmod(0o755)
    fleet = Fleet(directory / "home")
    try:
        yield from _build(fleet, directory, database_urls, trees)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _build(
    fleet: Fleet, directory: Path, urls: dict[str, str], trees: dict[str, Path | str]
) -> Iterator[World]:
    for name in SERVERS:
        fleet.run("server", "add", name, urls[name])
    for series, path in trees.items():
        source = _sandbox_public(directory) if path == "sandbox-5.1" else path
        fleet.run("codebase", "add", f"moodle{series}", str(source), "--copy")
    wanted = [
        (f"s{series.replace('.', '')}-{server[0]}{number}", series, server, number)
        for series in trees
        for server in SERVERS
        for number in (1, 2)
    ]
    for number in (1, 2):
        for shortname, series, server in [row[:3] for row in wanted if row[3] == number]:
            # The first of each pair by Moodle's installer, the second as its copy.
            how = ["create"] if number == 1 else ["clone", f"{shortname[:-1]}1"]
            fleet.run(
                "site", *how, shortname, "--detach",
                "--url", f"http://{shortname}.example.test",
                "--name", full_name(shortname),
                "--codebase", f"moodle{series}", "--server", server,
                "--admin-password-file", "-", stdin=f"Own-{shortname}-Passw0rd!\n",
            )  # fmt: skip
        fleet.run("worker", "--until-idle")
    for operation in fleet.json("operation", "list"):
        assert operation["state"] == "done", fleet.run("operation", "show", operation["id"]).stdout
    php = PhpBinary(find_php(None), "www-data" if _is_root() else None)
    homes = {series: fleet.json("codebase", "show", f"moodle{series}")["path"] for series in trees}
    with (
        PhpServer(MoodleTree.open(Path(homes["4.5"])), php) as older,
        PhpServer(MoodleTree.open(Path(homes["5.1"])), php) as newer,
    ):
        addresses = {"4.5": (older.host, older.port), "5.1": (newer.host, newer.port)}
        yield World(
            fleet,
            [
                SiteUnderTest(
                    shortname, full_name(shortname), f"moodle{series}", server,
                    f"Own-{shortname}-Passw0rd!", addresses[series],
                )
                for shortname, series, server, _number in wanted
            ],
            addresses,
        )  # fmt: skip
    _delete_all(fleet)


def _delete_all(fleet: Fleet) -> None:
    """Delete the sites as an administrator would: the next world has the same names and servers."""
    fleet.run("site", "suspend", "--all")
    everyone = ",".join(site["shortname"] for site in fleet.json("site", "list"))
    fleet.run("site", "delete", "--all", "--purge", "--confirm", everyone, "--detach")
    fleet.run("worker", "--until-idle")
    fleet.assert_clean()
    assert fleet.json("site", "list") == []


def full_name(shortname: str) -> str:
    """A name Moodle allows and that many a program does not survive."""
    return f'École «{shortname}»; it\'s "x" & co'


def _sandbox_public(directory: Path) -> Path:
    from vmoodle.sandbox import copy_tree

    target = directory / "sandbox-5.1"
    copy_tree(target, layout="public", release="5.1.0")
    return target


def _is_root() -> bool:
    import os

    return os.geteuid() == 0
