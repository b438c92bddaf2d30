"""The contract of copies, on real servers: fast or slow, they are exact, and spare the source."""

from __future__ import annotations

import gzip
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace

import pytest
from tests.checksums import checksum, table_checksums
from tests.engine_servers import Server, new_site

from fixtures import fixture
from servers import wait_until
from vmoodle.engines import mariadb as mariadb_engine
from vmoodle.engines import mariadb_connection, mariadb_table_copies, postgresql_connection
from vmoodle.engines.address import ServerAddress
from vmoodle.engines.protocol import Engine, SiteDatabase, open_engine
from vmoodle.errors import Conflict, InvalidInput, NotFound, Refused, Unavailable, VMoodleError
from vmoodle.secret import Secret

MakeSite = Callable[..., SiteDatabase]

DUMPS = {"mariadb": "moodle-4.5.5-content-mariadb", "postgresql": "moodle-4.5.5-content-postgresql"}


def is_mariadb(engine: Engine) -> bool:
    """Tell which of the two kinds is under test."""
    return engine.address.engine == "mariadb"


@pytest.fixture(scope="module")
def moodle(server: Server) -> SiteDatabase:
    """Return a real Moodle's database with content, in which VMoodle's tests change nothing."""
    engine = server.engine
    dump = fixture(f"{DUMPS[engine.address.engine]}.sql.gz")
    site = new_site()
    engine.create_account(site)
    engine.create_database(site)
    load(engine, site, gzip.decompress(dump.read_bytes()))
    return site


def load(engine: Engine, site: SiteDatabase, text: bytes) -> None:
    """Run a dump in SQL as the site's own account."""
    address = engine.address
    if is_mariadb(engine):
        command = ["mariadb", f"-h{address.host}", f"-P{address.effective_port}", "--protocol=tcp"]
        command += [f"-u{site.account}", site.name]
        secret = {"MYSQL_PWD": site.password.reveal()}
    else:
        command = ["psql", "-qX", "-v", "ON_ERROR_STOP=1", "-h", address.socket or address.host]
        command += ["-p", str(address.effective_port), "-U", site.account, site.name]
        secret = {"PGPASSWORD": site.password.reveal()}
    subprocess.run(
        command, input=text, env=os.environ | secret, check=True, stdout=subprocess.DEVNULL
    )


def small(engine: Engine, site: SiteDatabase) -> None:
    """Make tables with what a copy could lose: counters, indexes, quotes, an empty table."""
    number = "BIGINT AUTO_INCREMENT" if is_mariadb(engine) else "BIGSERIAL"
    with engine.connect(site, read_only=False) as connection:
        for table in ("config", "empty"):
            connection.execute(
                f"CREATE TABLE {{{table}}} (id {number} PRIMARY KEY,"
                " name VARCHAR(100) NOT NULL, value TEXT)"
            )
            connection.execute(f"CREATE UNIQUE INDEX mdl_{table}_nam_uix ON {{{table}}} (name)")
        for name in ("mdl_user and {config}", 'it\'s "quoted" \\ ; --', "Ünï 🎓", "50% %s"):
            connection.execute(
                "INSERT INTO {config} (name, value) VALUES (%s, %s)", (name, name * 2)
            )
        for table in ("config", "empty"):
            connection.execute(f"INSERT INTO {{{table}}} (name) VALUES ('gone')")
            connection.execute(f"DELETE FROM {{{table}}} WHERE name = 'gone'")


@pytest.fixture
def source(engine: Engine, make_site: MakeSite) -> SiteDatabase:
    """Return a site with a few awkward tables."""
    site = make_site()
    small(engine, site)
    return site


@pytest.fixture
def anonymous(engine: Engine) -> Callable[[], SiteDatabase]:
    """Return a function that names databases of the administrative account."""
    return lambda: engine.anonymous_database(new_site().name)


def next_ids(engine: Engine, site: SiteDatabase) -> list[object]:
    """Insert a row into both small tables and return the ids they get."""
    ids: list[object] = []
    with engine.connect(site, read_only=False) as connection:
        for table in ("config", "empty"):
            connection.execute(f"INSERT INTO {{{table}}} (name) VALUES ('next')")
            ids += connection.query(f"SELECT id FROM {{{table}}} WHERE name = 'next'")[0]
            with suppress(Conflict):
                connection.execute(f"INSERT INTO {{{table}}} (name) VALUES ('next')")
                raise AssertionError("the unique index is lost")
            connection.execute("ROLLBACK")
    return ids


def names(engine: Engine, site: SiteDatabase) -> dict[str, list[str]]:
    """Return the names of tables, indexes and sequences by kind."""
    if is_mariadb(engine):
        return {"r": engine.tables(site)}
    found: dict[str, list[str]] = {}
    with engine.connect(site) as connection:
        rows = connection.query(
            "SELECT relkind::text, relname FROM pg_class"
            " WHERE relnamespace = 'public'::regnamespace ORDER BY 1, 2"
        )
    for kind, name in rows:
        found.setdefault(str(kind), []).append(str(name))
    return found


# ---- exactness, on a real Moodle


def test_a_copy_of_a_real_moodle_equals_it(
    engine: Engine, moodle: SiteDatabase, make_site: MakeSite
) -> None:
    before = table_checksums(engine, moodle)
    assert len(before) == 494
    copy = make_site(database=False)
    assert engine.clone_database(moodle, copy) == "server"
    assert names(engine, copy) == names(engine, moodle)
    assert table_checksums(engine, copy) == before
    assert table_checksums(engine, moodle) == before


def test_another_prefix_renames_tables_and_leaves_content_alone(
    engine: Engine, moodle: SiteDatabase, make_site: MakeSite
) -> None:
    copy = make_site(database=False, prefix="x9_")
    assert engine.clone_database(moodle, copy) == "server"
    expected = {
        kind: sorted("x9_" + name.removeprefix("mdl_") for name in found)
        for kind, found in names(engine, moodle).items()
    }
    assert names(engine, copy) == expected
    assert table_checksums(engine, copy) == table_checksums(engine, moodle)
    with engine.connect(copy) as connection:
        kept = connection.query("SELECT COUNT(*) FROM {course} WHERE summary LIKE %s", ("%mdl_%",))
    assert kept[0][0] > 0


def test_a_copy_by_dump_equals_it_too(
    engine: Engine, moodle: SiteDatabase, make_site: MakeSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = make_site(database=False, prefix="x9_")
    if is_mariadb(engine):
        monkeypatch.setattr(mariadb_engine, "_LIVE_LIMIT", 1)
        assert engine.clone_database(moodle, copy) == "dump"
    else:
        with engine.connect(moodle) as connection:
            connection.query("SELECT 1")
            assert engine.clone_database(moodle, copy) == "dump"
    assert table_checksums(engine, copy) == table_checksums(engine, moodle)


def test_counters_and_indexes_go_on_in_a_copy(
    engine: Engine, source: SiteDatabase, make_site: MakeSite
) -> None:
    for prefix in ("mdl_", "x9_", ""):
        copy = make_site(database=False, prefix=prefix)
        engine.clone_database(source, copy)
        assert next_ids(engine, copy) == [6, 2]
    assert next_ids(engine, source) == [6, 2]


def test_names_of_databases_and_tables_may_hold_anything(
    engine: Engine, make_site: MakeSite
) -> None:
    site = make_site("vm_o'b\"r`i%s;")
    copy = make_site("vm_ü {x} \\", database=False, prefix="x9_")
    quote = "`" if is_mariadb(engine) else '"'
    with engine.connect(site, read_only=False) as connection:
        for table in ("mdl_it's;%s", "mdl_täble {x}", "other_mdl_", "mdl_"):
            connection.execute(f"CREATE TABLE {quote}{table}{quote} (id INT PRIMARY KEY)")
            connection.execute(f"INSERT INTO {quote}{table}{quote} VALUES (7)")
    engine.clone_database(site, copy)
    assert engine.tables(copy) == sorted(["x9_it's;%s", "x9_täble {x}", "other_mdl_", "x9_"])
    assert checksum(engine, copy) == checksum(engine, site)


def test_a_checksum_tells_every_change_and_no_order(
    engine: Engine, source: SiteDatabase, make_site: MakeSite
) -> None:
    copy = make_site(database=False)
    engine.clone_database(source, copy)
    first = checksum(engine, source)
    assert checksum(engine, copy) == first
    with engine.connect(copy, read_only=False) as connection:
        connection.execute("UPDATE {config} SET name = 'moved' WHERE id = 1")
        connection.execute("INSERT INTO {config} (id, name) VALUES (100, 'z')")
        connection.execute("DELETE FROM {config} WHERE id = 100")
    changed = table_checksums(engine, copy)
    assert changed["empty"] == table_checksums(engine, source)["empty"]
    assert changed["config"] != table_checksums(engine, source)["config"]
    with engine.connect(copy, read_only=False) as connection:
        connection.execute("UPDATE {config} SET name = %s WHERE id = 1", ("mdl_user and {config}",))
    assert checksum(engine, copy) == first
    with engine.connect(copy, read_only=False) as connection:
        connection.execute("UPDATE {config} SET value = '' WHERE value IS NULL")
        connection.execute("UPDATE {config} SET value = NULL WHERE id = 2")
    assert checksum(engine, copy) != first
    with engine.connect(source, read_only=False) as connection:
        connection.execute("ALTER TABLE {empty} ADD COLUMN extra INT")
    assert checksum(engine, source) != first


# ---- what cannot be, and what is refused


def test_a_prefix_that_cannot_be_is_refused_before_anything_is_made(
    engine: Engine, source: SiteDatabase, make_site: MakeSite
) -> None:
    for prefix in ("Mdl_", "1a_", "a-b_", "a b", "x" * 11, "x'"):
        target = make_site(database=False, prefix=prefix)
        with pytest.raises(InvalidInput) as caught:
            engine.clone_database(source, target)
        assert caught.value.code == "engine.clone.prefix"
        assert not engine.database_exists(target.name)


def test_names_that_would_clash_or_be_too_long_leave_no_copy(
    engine: Engine, make_site: MakeSite
) -> None:
    for table, code in (
        ("x9_config", "engine.clone.names"),
        ("mdl_" + "t" * 57, "engine.clone.prefix"),
    ):
        site, target = make_site(), make_site(database=False, prefix="x9_")
        target = replace(target, prefix="x9_longer_" if "prefix" in code else "x9_")
        with engine.connect(site, read_only=False) as connection:
            connection.execute("CREATE TABLE {config} (id INT PRIMARY KEY)")
            connection.execute(f"CREATE TABLE {table} (id INT)")
        with pytest.raises(VMoodleError) as caught:
            engine.clone_database(site, target)
        assert caught.value.code == code
        assert not engine.database_exists(target.name)


def test_text_that_names_tables_is_refused_under_another_prefix_only(
    engine: Engine, source: SiteDatabase, make_site: MakeSite
) -> None:
    with engine.connect(source, read_only=False) as connection:
        connection.execute("CREATE VIEW {seen} AS SELECT name FROM {config}")
        if not is_mariadb(engine):
            connection.execute(
                "CREATE FUNCTION counted() RETURNS bigint LANGUAGE sql"
                " AS 'SELECT count(*) FROM mdl_config'"
            )
    same, other = make_site(database=False), make_site(database=False, prefix="x9_")
    engine.clone_database(source, same)
    with engine.connect(same) as connection:
        assert len(connection.query("SELECT name FROM {seen}")) == 4
    with pytest.raises(Conflict) as caught:
        engine.clone_database(source, other)
    assert caught.value.code == "engine.clone.programs"
    assert not engine.database_exists(other.name)


def test_a_postgresql_view_follows_its_table_to_another_prefix(
    engine: Engine, source: SiteDatabase, make_site: MakeSite
) -> None:
    if is_mariadb(engine):
        pytest.skip("MariaDB keeps views as text")
    with engine.connect(source, read_only=False) as connection:
        connection.execute("CREATE VIEW {seen} AS SELECT name FROM {config}")
    copy = make_site(database=False, prefix="x9_")
    engine.clone_database(source, copy)
    with engine.connect(copy) as connection:
        assert len(connection.query("SELECT name FROM {seen}")) == 4


def test_a_foreign_key_survives_under_the_same_prefix(
    engine: Engine, source: SiteDatabase, make_site: MakeSite
) -> None:
    copy = make_site(database=False)
    with engine.connect(source, read_only=False) as connection:
        connection.execute(
            "CREATE TABLE {child} (id INT PRIMARY KEY, parent BIGINT,"
            " FOREIGN KEY (parent) REFERENCES {config} (id))"
        )
        connection.execute("INSERT INTO {child} VALUES (1, 1)")
    engine.clone_database(source, copy)
    with pytest.raises(VMoodleError), engine.connect(copy, read_only=False) as connection:
        connection.execute("INSERT INTO {child} VALUES (2, 999)")
    with engine.connect(copy) as connection:
        assert connection.query("SELECT id, parent FROM {child}") == [(1, 1)]


def test_nothing_is_copied_onto_itself_and_nothing_replaced_unasked(
    engine: Engine, source: SiteDatabase, make_site: MakeSite
) -> None:
    first = checksum(engine, source)
    with pytest.raises(Refused) as refused:
        engine.clone_database(source, source, replace=True)
    assert refused.value.code == "engine.clone.itself"
    taken = make_site()
    with pytest.raises(Conflict) as caught:
        engine.clone_database(source, taken)
    assert caught.value.code == "engine.database.exists"
    assert engine.tables(taken) == []
    with pytest.raises(NotFound):
        engine.clone_database(replace(source, name="vm_none"), taken, replace=True)
    assert engine.database_exists(taken.name)
    engine.clone_database(source, taken, replace=True)
    assert checksum(engine, taken) == checksum(engine, source) == first


def test_the_administrative_account_is_never_a_sites(engine: Engine) -> None:
    own = engine.anonymous_database("vm_own")
    for act in (
        lambda: engine.create_account(own, if_missing=True),
        lambda: engine.drop_account(own.account, if_exists=True),
    ):
        with pytest.raises(Refused) as caught:
            act()
        assert caught.value.code == "engine.account.administrative"
    assert engine.facts()


# ---- sources in use, several copies at once


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


def test_an_administrator_with_just_the_rights_it_needs_can_do_all_this(
    server: Server, source: SiteDatabase
) -> None:
    engine = server.engine
    weak = replace(engine.address, user="vm_weak", password=Secret("w-1"))
    if is_mariadb(engine):
        with mariadb_connection.open_session(engine.address) as session:
            session.run("CREATE OR REPLACE USER 'vm_weak'@'%' IDENTIFIED BY 'w-1'")
            for grant in open_engine(weak).missing_grants():
                session.run(grant.statement)
    else:
        with postgresql_connection.open_session(engine.address, database="postgres") as other:
            other.run("CREATE ROLE vm_weak LOGIN CREATEDB CREATEROLE PASSWORD 'w-1'")
            other.run("GRANT CONNECT ON DATABASE postgres TO vm_weak")
    one = open_engine(weak)
    site, waiting = new_site(), new_site()
    template = one.anonymous_database(new_site().name)
    for account in (site, waiting):
        one.create_account(account)
    one.create_database(site)
    small(one, site)
    first = checksum(one, site)
    try:
        one.clone_database(site, template)
        one.clone_database(template, replace(waiting, prefix="x9_"))
        copies = (site, template, replace(waiting, prefix="x9_"))
        assert {checksum(one, each) for each in copies} == {first}
    finally:
        for each in (template, site, waiting):
            one.drop_database(each, if_exists=True)
        for each in (site, waiting):
            one.drop_account(each.account, if_exists=True)
        if is_mariadb(engine):
            with mariadb_connection.open_session(engine.address) as session:
                session.run("DROP USER 'vm_weak'@'%'")
        else:
            with postgresql_connection.open_session(engine.address, database="postgres") as other:
                other.run("DROP OWNED BY vm_weak")
                other.run("DROP ROLE vm_weak")


def test_everything_in_a_copy_belongs_to_its_account_whoever_had_it(
    engine: Engine, source: SiteDatabase, make_site: MakeSite
) -> None:
    if is_mariadb(engine):
        pytest.skip("on MariaDB tables have no owner")
    with postgresql_connection.open_session(engine.address, database=source.name) as session:
        session.run("CREATE TABLE mdl_by_hand (id int)")
    copy = make_site(database=False)
    engine.clone_database(source, copy)
    with engine.connect(copy, read_only=False) as connection:
        connection.execute("ALTER TABLE {by_hand} ADD COLUMN extra int")
        owners = connection.query(
            "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'"
        )
    assert owners == [(copy.account,)]
