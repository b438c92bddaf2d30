"""What site creation needs is used up meanwhile: a disk that is full, a server that only reads."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pymysql
import pytest
from tests import servers
from tests.disk import fill, small_disk
from tests.fleet import Fleet

DISK_BYTES = 160 * 2**20
URL = "http://second.example.test"
READ_ONLY = {
    "mariadb": ("SET GLOBAL read_only = ON", "SET GLOBAL read_only = OFF"),
    "postgresql": (
        "ALTER SYSTEM SET default_transaction_read_only = on",
        "ALTER SYSTEM RESET default_transaction_read_only",
    ),
}


@pytest.fixture(scope="module", params=["mariadb", "postgresql"])
def server(request: pytest.FixtureRequest) -> Iterator[servers.PrivateServer]:
    with servers.private_server(request.param) as started:
        yield started


@pytest.fixture(scope="module")
def fleet(server: servers.PrivateServer) -> Iterator[Fleet]:
    directory = Path(tempfile.mkdtemp(prefix="vmoodle-exhausted-"))
    directory.chmod(0o755)
    made = Fleet(directory / "home")
    made.run("server", "add", "main", server.url)
    made.run("codebase", "add", "sandbox", "sandbox")
    yield made
    shutil.rmtree(directory, ignore_errors=True)


def administer(server: servers.PrivateServer, statement: str) -> None:
    address = server.address
    if address.engine == "mariadb":
        with (
            pymysql.connect(
                host=address.host, port=address.effective_port, user=address.user,
                password=address.password.reveal(),
            ) as connection,
            connection.cursor() as cursor,
        ):  # fmt: skip
            cursor.execute(statement)
        return
    url = f"{server.url.rstrip('/')}/postgres"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement)  # type: ignore[arg-type]
        connection.execute("SELECT pg_reload_conf()")

    def holds() -> bool:
        with psycopg.connect(url, autocommit=True) as connection:
            (said,) = connection.execute("SHOW default_transaction_read_only").fetchone() or ("",)
        return said == ("off" if "RESET" in statement else "on")

    servers.wait_until(holds, statement)


@contextmanager
def only_reading(server: servers.PrivateServer) -> Iterator[None]:
    """Keep the server from accepting writes for the length of the block."""
    begin, end = READ_ONLY[server.address.engine]
    administer(server, begin)
    try:
        yield
    finally:
        administer(server, end)


def order(fleet: Fleet, **more: str) -> str:
    """Queue the creation of the site; return the operation's id."""
    return str(
        fleet.json("site", "create", "second", "--url", URL, "--detach", **more)["operation"]
    )


def ended(fleet: Fleet, operation: str, **more: str) -> tuple[str, str]:
    """Execute the operation; return its state and the code of its error."""
    fleet.run("worker", "--until-idle", **more)
    shown = fleet.json("operation", "show", operation, **more)
    assert shown["message"]
    assert shown["hint"]
    return shown["state"], shown["error"]


def assert_nothing_left(fleet: Fleet, base: Path, **more: str) -> None:
    """Fail unless no site, file or entry is there, and doctor finds nothing."""
    assert fleet.json("site", "list", **more) == []
    assert list(base.glob("second*")) == []
    assert list((fleet.home / "map").glob("*/second*")) == []
    fleet.run("doctor", status=0, **more)


def test_a_server_that_only_reads_is_refused_before_anything_is_made(
    fleet: Fleet, server: servers.PrivateServer
) -> None:
    with only_reading(server):
        problem = fleet.problem("site", "create", "second", "--url", URL, "--detach")
        assert problem["code"] == "engine.readonly"
        assert fleet.problem("server", "add", "again", server.url)["code"] == "engine.readonly"
        assert [found["check"] for found in fleet.json("doctor", status=1)] == ["V010"]
    assert_nothing_left(fleet, fleet.home / "moodledata")
    assert fleet.json("operation", "list") == []


def test_a_server_that_begins_to_only_read_meanwhile_leaves_nothing(
    fleet: Fleet, server: servers.PrivateServer
) -> None:
    operation = order(fleet)
    with only_reading(server):
        assert ended(fleet, operation) == ("reverted", "engine.readonly")
    assert_nothing_left(fleet, fleet.home / "moodledata")


def test_a_server_that_only_reads_before_anything_could_be_taken_back_says_so_and_can_be_reverted(
    fleet: Fleet, server: servers.PrivateServer
) -> None:
    tree = Path(fleet.json("codebase", "show", "sandbox")["path"])
    script = tree / "admin" / "cli" / "install_database.php"
    original = script.read_text()
    flag = fleet.home / "moodledata" / "second" / "installing"
    script.write_text(
        "<?php define('CLI_SCRIPT', true); define('ABORT_AFTER_CONFIG', true);"
        " require __DIR__ . '/../../config.php'; touch($CFG->dataroot . '/installing');"
        " while (file_exists($CFG->dataroot . '/installing')) { usleep(10000); clearstatcache(); }"
        ' echo "the server only reads\\n"; exit(1);\n'
    )
    operation = order(fleet)
    try:
        worker = fleet.start("worker", "--until-idle")
        servers.wait_until(flag.exists, "the installation")
        with only_reading(server):
            flag.unlink()
            assert worker.wait(servers.LIMIT) == 0
            shown = fleet.json("operation", "show", operation)
            assert (shown["state"], shown["error"]) == ("needs attention", "install.failed")
            assert fleet.json("site", "show", "second")["state"] == "needs attention"
    finally:
        script.write_text(original)
    fleet.run("operation", "revert", operation)
    assert_nothing_left(fleet, fleet.home / "moodledata")


@pytest.fixture
def disk() -> Iterator[Path]:
    with small_disk(DISK_BYTES) as place:
        yield place


def test_a_disk_that_is_full_is_refused_before_anything_is_made(fleet: Fleet, disk: Path) -> None:
    base = {"VMOODLE_SITES__DATAROOT_BASE": str(disk / "moodledata")}
    fill(disk, leave=50 * 2**20)
    problem = fleet.problem("site", "create", "second", "--url", URL, "--detach", **base)
    assert problem["code"] == "dataroot.space"
    assert_nothing_left(fleet, disk, **base)


def test_a_disk_that_fills_up_before_moodledata_is_made_leaves_nothing(
    fleet: Fleet, disk: Path
) -> None:
    base = {"VMOODLE_SITES__DATAROOT_BASE": str(disk / "moodledata")}
    operation = order(fleet, **base)
    fill(disk)
    assert ended(fleet, operation, **base) == ("reverted", "dataroot.space")
    assert not (disk / "moodledata").exists()
    assert_nothing_left(fleet, disk, **base)


def test_a_disk_that_fills_up_under_moodles_installer_leaves_nothing(
    fleet: Fleet, disk: Path
) -> None:
    base = {"VMOODLE_SITES__DATAROOT_BASE": str(disk / "moodledata")}
    tree = Path(fleet.json("codebase", "show", "sandbox")["path"])
    library = tree / "lib" / "installlib.php"
    original = library.read_text()
    # The site's own files take what is left, in the midst of the real installation.
    library.write_text(
        original + "\n$filler = fopen($CFG->dataroot . '/filler', 'wb');"
        "\nwhile (@fwrite($filler, str_repeat('x', 1 << 20)) === 1 << 20) {}\n"
    )
    operation = order(fleet, **base)
    try:
        state, code = ended(fleet, operation, **base)
    finally:
        library.write_text(original)
    said = json.dumps(fleet.json("operation", "show", operation, **base))
    assert (state, code) == ("reverted", "install.disk"), said
    assert "found a disk full" in said
    assert_nothing_left(fleet, disk / "moodledata", **base)
    assert shutil.disk_usage(disk).free > 0.9 * DISK_BYTES
