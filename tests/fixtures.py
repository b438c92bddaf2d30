"""Dumps of real Moodle databases (shared/fixtures), and how a test loads one."""

from __future__ import annotations

import gzip
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import pytest

from vmoodle.engines.protocol import Engine, SiteConnection, SiteDatabase
from vmoodle.secret import generate_password

_PLACE = Path(__file__).parents[2] / "shared" / "fixtures"

_loaded: dict[tuple[str, str], SiteDatabase] = {}
_numbers = count(1)


@contextmanager
def undone(engine: Engine, name: str, *, alone: bool = False) -> Iterator[SiteConnection]:
    """Open a fixture's database for writing, and take everything back at the end.

    With `alone` in a database that no other test uses: on MariaDB DDL is not taken back.
    """
    key = (str(engine.address.effective_port), f"{name} {alone}")
    if key not in _loaded:
        word = f"vm_fixture{next(_numbers)}"
        site = SiteDatabase(word, word, generate_password())
        engine.create_account(site)
        engine.create_database(site)
        load_fixture(engine, site, name)
        _loaded[key] = site

    class Undo(Exception):
        pass

    try:
        with engine.connect(_loaded[key], read_only=False) as connection:
            yield connection
            raise Undo  # noqa: TRY301 - an error is what ends a transaction without a trace
    except Undo:
        return


def fixture(name: str) -> Path:
    """Return the path of a fixture file, or skip the test where there is none."""
    path = Path(os.environ.get("VMOODLE_FIXTURES") or _PLACE) / name
    if not path.exists():
        pytest.skip(f"no fixture {name} (VMOODLE_FIXTURES)")
    return path


def load_fixture(engine: Engine, site: SiteDatabase, name: str) -> None:
    """Load the dump `name` of the engine's flavour into the site's empty database."""
    flavour = engine.address.engine
    dump = fixture(f"{name}-{flavour}.sql.gz")
    address = engine.address
    if flavour == "mariadb":
        command = [
            "mariadb",
            "--no-defaults",
            f"--host={address.host}",
            f"--port={address.effective_port}",
            f"--user={site.account}",
            "--default-character-set=utf8mb4",
            site.name,
        ]
        secret = {"MYSQL_PWD": site.password.reveal()}
    else:
        command = [
            "psql",
            "--no-psqlrc",
            "--quiet",
            "--set=ON_ERROR_STOP=1",
            f"--host={address.socket or address.host}",
            f"--port={address.effective_port}",
            f"--username={site.account}",
            f"--dbname={site.name}",
        ]
        secret = {"PGPASSWORD": site.password.reveal(), "PGOPTIONS": "-c synchronous_commit=off"}
    ended = subprocess.run(
        command,
        input=gzip.decompress(dump.read_bytes()),
        env={**os.environ, **secret},
        capture_output=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr.decode(errors="replace")[-2000:]
