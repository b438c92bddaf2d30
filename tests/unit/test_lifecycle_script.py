"""Scripts on one site and on all: how long they may take, and what is kept of what they print."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
from tests.trees import make_tree

from vmoodle.errors import Unavailable
from vmoodle.moodle.php.binary import PhpBinary, find_php
from vmoodle.secret import Secret

ACCOUNT = "www-data" if os.geteuid() == 0 else None
PASSWORD = "pl4nted-password-of-the-database"
LIMIT_SECONDS = 20.0
SCRIPTS = {
    "admin/cli/slow.php": "<?php file_put_contents($argv[1] . getenv('VMOODLE_SITE'), getmypid()); "
    "echo getenv('VMOODLE_SITE'), PHP_EOL; if (getenv('VMOODLE_SITE') !== 'quick') { sleep(60); }",
    "admin/cli/long.php": "<?php for ($i = 0; $i < 1000; $i++) { echo $i, PHP_EOL; } "
    "echo str_repeat('x', 100000), PHP_EOL;",
    "admin/cli/tell.php": f"<?php echo 'dbpass {PASSWORD}', PHP_EOL; exit(3);",
}


@pytest.fixture
def place() -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="vmoodle-test-"))
    directory.chmod(0o755)
    make_tree(directory / "tree", files=SCRIPTS)
    (directory / "pids").mkdir()
    (directory / "pids").chmod(0o777)
    yield directory
    shutil.rmtree(directory)


@pytest.fixture
def script(installation: object) -> Any:
    from vmoodle.lifecycle import script

    return script


@pytest.fixture
def fleet(place: Path, script: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Stands for an installation with two sites on one tree."""
    codebase = SimpleNamespace(path=str(place / "tree"))
    rows = {
        name: SimpleNamespace(shortname=name, state="enabled", codebase=codebase)
        for name in ("slow", "quick")
    }
    monkeypatch.setattr(script.sites, "find", rows.__getitem__)
    monkeypatch.setattr(script.sites, "every", lambda: list(rows.values()))
    return SimpleNamespace(
        php=PhpBinary(find_php(), ACCOUNT),
        settings=SimpleNamespace(php=SimpleNamespace(script_timeout=1)),
        site_database=lambda _site: SimpleNamespace(password=Secret(PASSWORD)),
    )


def pid_of(place: Path, site: str) -> int:
    limit = time.monotonic() + LIMIT_SECONDS
    file = place / "pids" / site
    while not file.exists() or not file.read_text():
        assert time.monotonic() < limit
        time.sleep(0.02)
    return int(file.read_text())


def test_a_script_on_one_site_is_ended_after_its_time(place: Path, fleet: Any, script: Any) -> None:
    with pytest.raises(Unavailable) as ended:
        script.run_on_one(fleet, "slow", ["admin/cli/slow.php", f"{place}/pids/"])
    assert ended.value.code == "php.timeout"
    assert not psutil.pid_exists(pid_of(place, "slow"))


def test_one_site_that_takes_too_long_does_not_keep_the_others(
    place: Path, fleet: Any, script: Any
) -> None:
    slow, quick = script.run_on_all(
        fleet, ["admin/cli/slow.php", f"{place}/pids/"], at_once=1, watch=lambda _result: None
    )
    assert (slow.site, slow.error, slow.exit_status) == ("slow", "php.timeout", 6)
    assert (quick.site, quick.exit_status, quick.output) == ("quick", 0, "quick")


def test_an_interrupted_call_ends_the_scripts_that_run(
    place: Path, fleet: Any, script: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet.settings.php.script_timeout = 60
    rows = [script.sites.find(name) for name in ("quick", "slow")]
    monkeypatch.setattr(script.sites, "every", lambda: rows)

    def interrupt(_result: object) -> None:
        pid_of(place, "slow")
        raise KeyboardInterrupt

    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        script.run_on_all(
            fleet, ["admin/cli/slow.php", f"{place}/pids/"], at_once=2, watch=interrupt
        )
    assert time.monotonic() - began < LIMIT_SECONDS
    assert not psutil.pid_exists(pid_of(place, "slow"))


def test_all_of_the_output_is_kept_in_its_lines(fleet: Any, script: Any) -> None:
    result = script.run_on_one(fleet, "quick", ["admin/cli/long.php"])
    lines = result.output.splitlines()
    assert (lines[0], lines[999], len(lines[1000]), len(lines)) == ("0", "999", 100000, 1001)


def test_the_sites_password_is_hidden(fleet: Any, script: Any) -> None:
    result = script.run_on_one(fleet, "quick", ["admin/cli/tell.php"])
    assert (result.exit_status, result.output) == (3, "dbpass ***")
