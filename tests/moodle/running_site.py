"""A real Moodle on a fixture's database, in a private copy of its tree: for proofs of effect."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from tests.fixtures import load_fixture
from tests.trees import real_trees
from tests.web import Browser

from vmoodle.engines.address import parse_url
from vmoodle.engines.protocol import Engine, SiteConnection, SiteDatabase, open_engine
from vmoodle.moodle.caches.stores import CachePlace
from vmoodle.moodle.code.tree import MoodleTree
from vmoodle.moodle.php.account import owner_ids
from vmoodle.moodle.php.binary import PhpBinary, find_php
from vmoodle.moodle.php.server import PhpServer
from vmoodle.secret import generate_password

HOST = "proof.example.test"
FIXTURES = {"4.5": "moodle-4.5.5-content", "5.1": "moodle-5.1.0"}
_numbers = count(1)


def site_kinds() -> list[Any]:
    """Return parameters for a test: a real tree of each series, on each server."""
    trees = {MoodleTree.open(path).version.series: path for path in reversed(real_trees())}
    return [
        pytest.param((trees[series], server), id=f"{trees[series].name}-{server}")
        for series in FIXTURES
        if series in trees
        for server in ("maria", "postgres")
    ] or [pytest.param(None, marks=pytest.mark.skip("no real Moodle tree (VMOODLE_MOODLE_TREES)"))]


@dataclass(frozen=True)
class RunningSite:
    """A site of one database, its code and its dataroot."""

    engine: Engine
    database: SiteDatabase
    tree: MoodleTree
    place: CachePlace
    php: PhpBinary

    @contextmanager
    def inside(self) -> Iterator[SiteConnection]:
        """Open the database for writing; what is written is committed at the end."""
        with self.engine.connect(self.database, read_only=False) as connection:
            yield connection

    def run(self, code: str) -> str:
        """Run a piece of PHP in the site's command line, and return what it prints."""
        start = f"define('CLI_SCRIPT', true); require '{self.tree.root}/config.php';"
        return self.php.ask(start + code).decode()

    @contextmanager
    def served(self) -> Iterator[Browser]:
        """Serve the site by PHP's own server, and visit it."""
        with PhpServer(self.tree, self.php) as server:
            yield Browser((server.host, server.port), HOST)


@contextmanager
def running_site(tree: Path, url: str) -> Iterator[RunningSite]:
    """Make a site of the fixture of the tree's series on a server; it is gone afterwards."""
    engine, number = open_engine(parse_url(url)), next(_numbers)
    word = f"vm_proof{number}"
    database = SiteDatabase(word, word, generate_password())
    account = "www-data" if os.geteuid() == 0 else None
    directory = Path(tempfile.mkdtemp(prefix="vmoodle-proof-"))
    directory.chmod(0o755)
    engine.create_account(database)
    engine.create_database(database)
    try:
        load_fixture(engine, database, FIXTURES[MoodleTree.open(tree).version.series])
        copy, dataroot = _copy(tree), directory / "data"
        dataroot.mkdir(mode=0o700)
        os.chown(dataroot, *owner_ids(account))
        _write_config(copy / "config.php", engine, database, dataroot, account)
        yield RunningSite(
            engine,
            database,
            MoodleTree.open(copy),
            CachePlace(dataroot),
            PhpBinary(find_php(None), account),
        )
    finally:
        shutil.rmtree(directory, ignore_errors=True)
        engine.drop_database(database)
        engine.drop_account(database.account)


@cache
def _copy(tree: Path) -> Path:
    """Copy a tree once for all sites that run on it, one after the other."""
    directory = Path(tempfile.mkdtemp(prefix="vmoodle-proof-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    directory.chmod(0o755)
    copy = directory / tree.name
    # Links to the same files: a tree has 30,000, and none of them is written.
    shutil.copytree(tree, copy, copy_function=_link, symlinks=True)
    copy.chmod(0o755)
    return copy


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _write_config(
    path: Path, engine: Engine, database: SiteDatabase, dataroot: Path, account: str | None
) -> None:
    values = {
        **engine.moodle_config(database),
        "wwwroot": f"http://{HOST}",
        "dataroot": str(dataroot),
        "directorypermissions": 0o2770,
        # A run in the background of a page would change what is compared.
        "cron_enabled": 0,
    }
    lines = [f"$CFG->{name} = {_php(value)};" for name, value in values.items()]
    text = "<?php unset($CFG); global $CFG; $CFG = new stdClass();\n" + "\n".join(lines)
    path.touch(0o640)
    os.chown(path, *owner_ids(account))
    path.write_text(f"{text}\nrequire_once __DIR__ . '/lib/setup.php';\n")


def _php(value: object) -> str:
    if isinstance(value, dict):
        return "[" + ", ".join(f"{_php(key)} => {_php(val)}" for key, val in value.items()) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    return "'" + str(value).replace("\\", "\\\\").replace("'", "\\'") + "'"
