"""Copies amid other work: of sites in use, several at once, killed and gone on with."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.checksums import checksum, table_checksums
from tests.database_content import is_mariadb
from tests.engine_content import MakeSite
from tests.engine_servers import Server

from servers import wait_until
from vmoodle.engines import mariadb_connection, mariadb_table_copies, postgresql_connection
from vmoodle.engines.address import ServerAddress
from vmoodle.engines.protocol import Engine, SiteDatabase
from vmoodle.errors import Unavailable, VMoodleError


def test_a_copy_of_a_site_that_writes_is_of_one_moment(
    engine: Engine, source: SiteDatabase, make_site: MakeSite
) -> None:
    with engine.connect(source, read_only=False) as connection:
        for table in ("aaa", "zzz"):
            connection.execute(f"CREATE TABLE {{{table}}} (id INT PRIMARY KEY)")
    copy, stop, written = make_site(database=False), threading.Event(), []

    def write() -> None:
        # First the one, then the other, each in a transaction of its own: never more in the last.
        while not stop.is_set():
            number = len(written)
            for table in ("aaa", "zzz"):
                with engine.connect(source, read_only=False) as connection:
                    connection.execute(f"INSERT INTO {{{table}}} VALUES (%s)", (number,))
            written.append(number)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        wait_until(lambda: len(written) > 3, "a write")
        engine.clone_database(source, copy)
    finally:
        stop.set()
        writer.join()
    with engine.connect(copy) as connection:
        ((first,), (last,)) = (
            connection.query(f"SELECT COUNT(*) FROM {{{table}}}")[0] for table in ("aaa", "zzz")
        )
    assert first - last in (0, 1)
    assert first > 3


def test_a_site_that_is_never_still_is_copied_by_a_dump(
    engine: Engine, source: SiteDatabase, make_site: MakeSite
) -> None:
    copy = make_site(database=False)
    with engine.connect(source, read_only=False) as connection:
        connection.execute("INSERT INTO {config} (name) VALUES ('not yet')")
        assert engine.clone_database(source, copy) == "dump"
    assert table_checksums(engine, copy) != table_checksums(engine, source)
    with engine.connect(copy) as connection:
        assert connection.query("SELECT name FROM {config} WHERE name = 'not yet'") == []


def test_several_copies_are_made_from_one_source_at_once(
    engine: Engine, moodle: SiteDatabase, make_site: MakeSite, anonymous: Callable[[], SiteDatabase]
) -> None:
    template = anonymous()
    engine.clone_database(moodle, template)
    targets = [make_site(database=False, prefix=prefix) for prefix in ("mdl_", "a_")]
    try:
        with ThreadPoolExecutor() as pool:
            methods = list(pool.map(lambda one: engine.clone_database(template, one), targets))
        assert methods == ["server"] * 2
        expected = checksum(engine, template)
        assert [checksum(engine, target) for target in targets] == [expected] * 2
    finally:
        engine.drop_database(template)


_COPYING = """
import sys
from dataclasses import replace
from vmoodle.engines.address import parse_url
from vmoodle.engines.protocol import SiteDatabase, open_engine
from vmoodle.secret import Secret
url, source, target, password = sys.argv[1:]
engine = open_engine(parse_url(url))
account = SiteDatabase(target, target, Secret(password), "x9_")
engine.clone_database(engine.anonymous_database(source), account)
"""


def has_begun(engine: Engine, target: SiteDatabase) -> bool:
    """Tell whether the copy is under way on the server."""
    address = engine.address
    if is_mariadb(engine):
        with mariadb_connection.open_session(address) as session:
            return (
                len(
                    session.run(
                        "SELECT 1 FROM information_schema.tables WHERE table_schema = %s LIMIT 20",
                        (target.name,),
                    )
                )
                == 20
            )
    with postgresql_connection.open_session(address, database="postgres") as other:
        found = other.ask(
            "SELECT 1 FROM pg_stat_activity"
            " WHERE query LIKE 'CREATE DATABASE%%' AND state = 'active'"
        )
        return bool(found) or engine.database_exists(target.name)


def test_a_copy_whose_process_was_killed_is_made_again(
    server: Server, moodle: SiteDatabase, make_site: MakeSite, anonymous: Callable[[], SiteDatabase]
) -> None:
    engine = server.engine
    template = anonymous()
    engine.clone_database(moodle, template)
    before = checksum(engine, template)
    target = make_site(database=False, prefix="x9_")
    address = engine.address
    secret = address.password.reveal()
    url = address.display().replace("@", f":{secret}@", 1)
    words = [url, template.name, target.name, target.password.reveal()]
    try:
        process = subprocess.Popen([sys.executable, "-c", _COPYING, *words])
        wait_until(lambda: has_begun(engine, target) or process.poll() is not None, "the copy")
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert engine.clone_database(template, target, replace=True) == "server"
        assert checksum(engine, target) == checksum(engine, template) == before
        assert all(name.startswith("x9_") for name in engine.tables(target))
    finally:
        engine.drop_database(template)


_WAITING = """
import sys
from vmoodle.engines.address import parse_url
from vmoodle.engines.postgresql_connection import open_session
with open_session(parse_url(sys.argv[1]), database="postgres") as session:
    session.ask("SELECT pg_sleep(600)")
"""


def sleeping(address: ServerAddress) -> int:
    """Return how many sessions of the administrator sleep on the server."""
    with postgresql_connection.open_session(address, database="postgres") as session:
        return len(
            session.ask(
                "SELECT 1 FROM pg_stat_activity"
                " WHERE query = 'SELECT pg_sleep(600)' AND state = 'active'"
            )
        )


def test_what_a_killed_process_asked_for_is_ended_and_what_a_living_one_asks_for_goes_on(
    server: Server, site: SiteDatabase
) -> None:
    if server.name == "mariadb":
        pytest.skip("MariaDB's sessions do not tell whose they are")
    address = server.address
    url = address.display().replace("@", f":{address.password.reveal()}@", 1)
    living, killed = (
        subprocess.Popen([sys.executable, "-c", _WAITING, url]) for _number in range(2)
    )
    try:
        wait_until(lambda: sleeping(address) == 2, "both statements")
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        assert sleeping(address) == 2
        server.engine.create_account(site, if_missing=True)
        assert sleeping(address) == 1
    finally:
        living.kill()
        living.wait()
        server.engine.create_account(site, if_missing=True)
    assert sleeping(address) == 0


def test_a_server_that_goes_down_in_a_copy_is_a_typed_error_and_the_copy_is_made_again(
    server: Server, moodle: SiteDatabase, make_site: MakeSite, anonymous: Callable[[], SiteDatabase]
) -> None:
    engine = server.engine
    template = anonymous()
    engine.clone_database(moodle, template)
    before = checksum(engine, template)
    target = make_site(database=False, prefix="x9_")
    errors: list[BaseException] = []

    def copy() -> None:
        try:
            engine.clone_database(template, target)
        except BaseException as error:  # noqa: BLE001 - the test judges each
            errors.append(error)

    copying = threading.Thread(target=copy)
    copying.start()
    wait_until(lambda: has_begun(engine, target) or not copying.is_alive(), "the copy")
    with server.stopped():
        copying.join()
    assert all(isinstance(error, VMoodleError) for error in errors), errors
    assert engine.clone_database(template, target, replace=True) == "server"
    assert checksum(engine, target) == checksum(engine, template) == before
    engine.drop_database(template)


def test_a_copy_that_fails_leaves_no_database(
    engine: Engine, source: SiteDatabase, make_site: MakeSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = make_site(database=False)
    before = checksum(engine, source)
    if is_mariadb(engine):
        plain = mariadb_table_copies._copy_table

        def fail(session: object, database: str, table: object) -> None:
            plain(session, database, table)  # type: ignore[arg-type]
            raise Unavailable("engine.disk", "full", "")

        monkeypatch.setattr(mariadb_table_copies, "_copy_table", fail)
    else:

        def fail_after(*_arguments: object) -> None:
            raise Unavailable("engine.disk", "full", "")

        monkeypatch.setattr("vmoodle.engines.postgresql.hand_over", fail_after)
    # One that nobody writes: a session that is just going sends no copy through a dump.
    frozen = engine.anonymous_database(source.name, source.prefix)
    with pytest.raises(Unavailable) as caught:
        engine.clone_database(frozen, target)
    assert caught.value.code == "engine.disk"
    assert not engine.database_exists(target.name)
    assert checksum(engine, source) == before
