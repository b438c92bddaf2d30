"""The first calls of a new home, started together: each works as if it were alone."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from tests import servers
from tests.fleet import LIMIT_SECONDS, PROGRAM, Fleet

ROUNDS = 4


@pytest.fixture
def directory() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="vmoodle-first-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made, ignore_errors=True)


def together(*fleets: Fleet) -> None:
    """Start a first call on each fleet at the same time; fail unless all of them list no site."""
    started = [
        subprocess.Popen(
            [str(PROGRAM), "site", "list", "--json"],
            env=fleet.env(), stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for fleet in fleets
    ]  # fmt: skip
    for process in started:
        out, said = process.communicate(timeout=LIMIT_SECONDS)
        assert process.returncode == 0, said
        assert json.loads(out) == []


def test_first_calls_on_one_home_all_work(directory: Path) -> None:
    for number in range(ROUNDS):
        fleet = Fleet(directory / f"home{number}")
        together(*[fleet] * 3)


def test_first_calls_of_two_nodes_on_one_postgresql_registry_both_work(directory: Path) -> None:
    servers.require("postgresql")
    with servers.private_postgresql(directory / "server") as server:
        url = server.url.rstrip("/")
        for number in range(ROUNDS):
            with psycopg.connect(f"{url}/postgres", autocommit=True) as administrator:
                administrator.execute(f"CREATE DATABASE registry{number}")  # type: ignore[arg-type]
            registry = {"VMOODLE_REGISTRY__URL": f"{url}/registry{number}"}
            together(*(Fleet(directory / f"node{number}{node}", registry) for node in ("a", "b")))
