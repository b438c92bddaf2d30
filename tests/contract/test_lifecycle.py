"""The life of sites through the `vmoodle` program: what two callers, a terminal and bad luck do."""

from __future__ import annotations

import os
import pty
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests import servers
from tests.fleet import LIMIT_SECONDS, PROGRAM, Fleet

from vmoodle.engines.protocol import Engine, SiteDatabase, open_engine
from vmoodle.secret import Secret


@pytest.fixture(scope="module", params=["mariadb", "postgresql"])
def server(request: pytest.FixtureRequest) -> Iterator[servers.PrivateServer]:
    with servers.private_server(request.param) as started:
        yield started


@pytest.fixture(scope="module")
def fleet(server: servers.PrivateServer) -> Iterator[Fleet]:
    directory = Path(tempfile.mkdtemp(prefix="vmoodle-life-"))
    directory.chmod(0o755)
    made = Fleet(directory / "home")
    made.run("server", "add", "main", server.url)
    made.run("codebase", "add", "sandbox", "sandbox")
    yield made
    made.assert_clean()
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def engine(server: servers.PrivateServer) -> Engine:
    return open_engine(server.address)


def delete(fleet: Fleet, shortname: str) -> None:
    fleet.run("site", "suspend", shortname)
    fleet.run("site", "delete", shortname, "--confirm", shortname, "--purge")


def submit(fleet: Fleet, shortname: str) -> str:
    document = fleet.json(
        "site", "create", shortname, "--detach", "--url", f"http://{shortname}.example.test"
    )
    return str(document["operation"])


def test_an_https_site_is_proved_before_any_web_server_knows_it(fleet: Fleet) -> None:
    fleet.run("site", "create", "tls", "--url", "https://tls.example.test", "--name", "Sicher")
    assert fleet.json("hook", "check", "tls")[0]["ok"]
    delete(fleet, "tls")


@pytest.mark.parametrize("url", ["http://port.example.test:8080", "https://port.example.test:8443"])
def test_a_site_at_a_port_of_its_own_is_proved(fleet: Fleet, url: str) -> None:
    fleet.run("site", "create", "port", "--url", url, "--name", "Hafen")
    assert fleet.json("hook", "check", "port")[0]["ok"]
    delete(fleet, "port")


def test_progress_and_password_are_shown_on_a_terminal(fleet: Fleet) -> None:
    master, slave = pty.openpty()
    with subprocess.Popen(
        [str(PROGRAM), "site", "create", "tty", "--url", "http://tty.example.test"],
        env=fleet.env() | {"TERM": "xterm"}, stdin=slave, stdout=slave, stderr=slave,
    ) as process:  # fmt: skip
        os.close(slave)
        shown = b""
        while True:
            try:
                part = os.read(master, 4096)
            except OSError:
                break
            if not part:
                break
            shown += part
        assert process.wait(LIMIT_SECONDS) == 0, shown
    os.close(master)
    assert b"installer" in shown
    assert b"password (shown once): " in shown
    delete(fleet, "tty")


def test_a_generated_password_left_by_a_killed_call_is_shown_once_by_follow(fleet: Fleet) -> None:
    operation = submit(fleet, "late")
    fleet.run("worker", "--until-idle")
    assert "password (shown once): " in fleet.run("operation", "follow", operation).stdout
    assert "password" not in fleet.run("operation", "follow", operation).stdout
    delete(fleet, "late")


def test_a_foreign_database_made_meanwhile_is_never_touched(fleet: Fleet, engine: Engine) -> None:
    operation = submit(fleet, "raced")
    foreign = SiteDatabase("vm_raced", "foreign_owner", Secret("Foreign-Passw0rd"))
    engine.create_account(foreign)
    engine.create_database(foreign)
    with engine.connect(foreign, read_only=False) as connection:
        connection.execute("CREATE TABLE precious (id int)")
    fleet.run("worker", "--until-idle")
    shown = fleet.json("operation", "show", operation)
    assert (shown["state"], shown["error"]) == ("reverted", "engine.database.exists")
    assert engine.tables(foreign) == ["precious"]
    engine.drop_database(foreign)
    engine.drop_account("foreign_owner")
    fleet.assert_clean()


def test_a_foreign_account_made_meanwhile_keeps_its_password(fleet: Fleet, engine: Engine) -> None:
    operation = submit(fleet, "raced2")
    foreign = SiteDatabase("foreign_db", "vm_raced2", Secret("Foreign-Passw0rd"))
    engine.create_account(foreign)
    engine.create_database(foreign)
    fleet.run("worker", "--until-idle")
    assert fleet.json("operation", "show", operation)["error"] == "engine.account.exists"
    with engine.connect(foreign) as connection:
        assert connection.query("SELECT 1")[0][0] == 1
    engine.drop_database(foreign)
    engine.drop_account("vm_raced2")


def test_a_deletion_cancelled_before_it_began_leaves_a_suspended_site(fleet: Fleet) -> None:
    fleet.run("site", "create", "kept", "--url", "http://kept.example.test")
    fleet.run("site", "suspend", "kept")
    operation = fleet.json("site", "delete", "kept", "--confirm", "kept", "--purge", "--detach")[
        "operation"
    ]
    fleet.run("operation", "cancel", operation)
    fleet.run("worker", "--until-idle")
    assert fleet.json("operation", "show", operation)["state"] == "cancelled"
    assert fleet.json("site", "show", "kept")["state"] == "suspended"
    fleet.run("site", "resume", "kept")
    assert fleet.json("hook", "check", "kept")[0]["ok"]
    delete(fleet, "kept")


def test_a_creation_cancelled_before_it_began_leaves_nothing(fleet: Fleet) -> None:
    words = ("site", "create", "never", "--url", "http://never.example.test", "--detach")
    operation = fleet.json(*words)["operation"]
    fleet.run("operation", "cancel", operation)
    fleet.run("worker", "--until-idle")
    assert fleet.json("operation", "show", operation)["state"] == "cancelled"
    assert fleet.json("site", "list", "never") == []
    fleet.assert_clean()


def test_a_site_whose_deletion_was_ordered_cannot_be_resumed(fleet: Fleet) -> None:
    fleet.run("site", "create", "alive", "--url", "http://alive.example.test")
    fleet.run("site", "suspend", "alive")
    operation = fleet.json("site", "delete", "alive", "--confirm", "alive", "--purge", "--detach")[
        "operation"
    ]
    assert fleet.problem("site", "resume", "alive")["code"] == "site.state"
    fleet.run("operation", "cancel", operation)
    fleet.run("worker", "--until-idle")
    fleet.run("site", "delete", "alive", "--confirm", "alive", "--purge")


def test_two_sites_created_at_the_same_time_both_come_to_be(fleet: Fleet) -> None:
    started = [
        fleet.start("site", "create", name, "--url", f"http://{name}.example.test")
        for name in ("twin1", "twin2")
    ]
    assert [process.wait(LIMIT_SECONDS) for process in started] == [0, 0]
    assert [row["ok"] for row in fleet.json("hook", "check")] == [True, True]
    for name in ("twin1", "twin2"):
        delete(fleet, name)


def test_a_second_operation_on_a_site_is_refused_and_names_the_first(fleet: Fleet) -> None:
    fleet.run("site", "create", "held", "--url", "http://held.example.test")
    fleet.run("site", "suspend", "held")
    first = fleet.json("site", "delete", "held", "--confirm", "held", "--purge", "--detach")[
        "operation"
    ]
    problem = fleet.problem("site", "delete", "held", "--confirm", "held", "--purge")
    assert problem["code"] == "operation.site.busy"
    assert first in problem["detail"]
    fleet.run("worker", "--until-idle")


def test_a_server_that_does_not_answer_is_named_and_a_site_can_still_be_suspended(
    fleet: Fleet, server: servers.PrivateServer
) -> None:
    fleet.run("site", "create", "calm", "--url", "http://calm.example.test")
    with server.paused():
        problem = fleet.problem(
            "site", "create", "never", "--url", "http://never.example.test",
            "--admin-password-out", str(fleet.home / "never"),
        )  # fmt: skip
        assert problem["code"] == "engine.timeout"
        fleet.run("site", "suspend", "calm")
    fleet.run("site", "resume", "calm")
    delete(fleet, "calm")


def test_a_deleted_address_answers_410_again_after_a_failed_creation(fleet: Fleet) -> None:
    fleet.run("site", "create", "gone", "--url", "http://gone.example.test")
    delete(fleet, "gone")
    tree = Path(fleet.json("codebase", "show", "sandbox")["path"])
    script = tree / "admin" / "cli" / "install_database.php"
    original = script.read_text()
    script.write_text("<?php exit(1);\n")
    try:
        fleet.run("site", "create", "gone", "--url", "http://gone.example.test", status=1)
    finally:
        script.write_text(original)
    entry = (fleet.home / "map" / "web" / "gone.example.test.json").read_text()
    assert '"deleted"' in entry


def test_a_generated_password_goes_to_a_file_that_is_there_before_the_site(
    fleet: Fleet, tmp_path: Path
) -> None:
    address = ("--url", "http://filed.example.test")
    out = tmp_path / "password"
    for words, code in (
        (("--admin-password-out", str(tmp_path / "none" / "password")), "secret.unwritable"),
        (("--admin-password-out", str(out), "--detach"), "site.password.out"),
        (("--admin-password-out", str(out), "--server", "none"), "server.unknown"),
    ):
        problem = fleet.problem("site", "create", "filed", *address, *words)
        assert problem["code"] == code
        assert fleet.json("site", "list", "filed") == []
        assert list(tmp_path.iterdir()) == []
    made = fleet.json("site", "create", "filed", *address, "--admin-password-out", str(out))
    assert made["state"] == "enabled"
    assert out.stat().st_mode & 0o777 == 0o600
    assert len(out.read_text().strip()) > 8
    delete(fleet, "filed")


def test_the_password_of_a_detached_creation_is_fetched_by_follow(
    fleet: Fleet, tmp_path: Path
) -> None:
    operation = submit(fleet, "fetched")
    out = tmp_path / "password"
    followed = fleet.json("operation", "follow", operation)
    assert followed["password"] == f"vmoodle operation follow {operation} --password-out FILE"
    fetched = fleet.run("operation", "follow", operation, "--password-out", str(out))
    assert "password" not in fetched.stdout
    assert out.stat().st_mode & 0o777 == 0o600
    assert len(out.read_text().strip()) > 8
    again = tmp_path / "again"
    followed = fleet.json("operation", "follow", operation, "--password-out", str(again))
    assert "password" not in followed
    assert not again.exists()
    delete(fleet, "fetched")


def test_a_site_whose_database_was_dropped_is_told_what_to_do_restored_and_ended(
    fleet: Fleet, engine: Engine
) -> None:
    fleet.run("site", "create", "lost", "--url", "http://lost.example.test")
    fleet.run("snapshot", "create", "lost")
    snapshot = fleet.json("snapshot", "list", "lost")[0]["id"]

    def drop() -> str:
        name = str(fleet.json("site", "show", "lost")["database"])
        engine.drop_database(engine.anonymous_database(name))
        return name

    def hints() -> list[str]:
        told = [fleet.problem("site", "set", "lost", "--name", "Lost"),
                fleet.problem("snapshot", "create", "lost", failed=True)]  # fmt: skip
        assert {problem["code"] for problem in told} == {"engine.database.missing"}
        (found,) = [row for row in fleet.json("doctor", status=1) if "is gone" in row["message"]]
        return [*(problem["hint"] for problem in told), found["hint"]]

    drop()
    for hint in hints():
        assert f"vmoodle snapshot restore {snapshot} " in hint
        assert "vmoodle site suspend lost, then vmoodle site delete lost --no-snapshot" in hint
    fleet.run("snapshot", "restore", snapshot, "--confirm", "lost")
    fleet.run("snapshot", "create", "lost")
    name = drop()
    for row in fleet.json("snapshot", "list", "lost"):
        fleet.run("snapshot", "delete", row["id"])
    assert not any("restore" in hint for hint in hints())
    fleet.run("site", "suspend", "lost")
    fleet.run("site", "delete", "lost", "--no-snapshot", "--confirm", "lost")
    said = fleet.run("site", "purge", "lost", "--now", "--confirm", "lost").stdout
    assert f"  was gone already: database {name} on main\n" in said
    assert "\n  account vm_lost on main\n" in said


def test_a_retried_purge_certifies_what_its_first_attempt_destroyed(
    fleet: Fleet, engine: Engine
) -> None:
    if engine.address.engine != "postgresql":
        pytest.skip("MariaDB drops an account whatever else it is used for")
    fleet.run("site", "create", "held", "--url", "http://held.example.test")
    fleet.run("site", "suspend", "held")
    other = SiteDatabase("other_held", "vm_held", Secret("Other-Passw0rd"))
    engine.create_database(other)
    fleet.problem("site", "delete", "held", "--confirm", "held", "--purge")
    (operation,) = fleet.json("operation", "list", "--active")
    assert (operation["state"], operation["step"]) == ("needs attention", "account")
    engine.drop_database(other)
    ended = fleet.json("operation", "retry", operation["id"])
    certificate = ended["result"]["certificate"]
    assert sorted(thing["kind"] for thing in certificate["destroyed"]) == [
        "account", "database", "directory"
    ]  # fmt: skip
    assert certificate["gone_already"] == []
