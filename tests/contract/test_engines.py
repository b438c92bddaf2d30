"""The contract every database engine keeps, on real servers."""

from __future__ import annotations

import re
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest
from tests.engine_servers import Server, new_site

from servers import free_port, wait_until
from vmoodle.engines import mariadb_connection, postgresql_connection
from vmoodle.engines.address import ServerAddress
from vmoodle.engines.protocol import Engine, SiteDatabase, open_engine
from vmoodle.errors import (
    Conflict,
    Failed,
    InvalidInput,
    NotFound,
    Refused,
    Unavailable,
    VMoodleError,
)
from vmoodle.secret import Secret

MakeSite = Callable[..., SiteDatabase]

_ID = {"mariadb": "BIGINT AUTO_INCREMENT PRIMARY KEY", "postgresql": "BIGSERIAL PRIMARY KEY"}
_SLOW = {"mariadb": "SELECT SLEEP(30)", "postgresql": "SELECT pg_sleep(30)"}
TEXTS = (
    "plain",
    "Ünïcode, 日本語, 🎓🧪",
    "mdl_config and {config} inside",
    "quote ' double \" back \\ semicolon ; -- end",
    "line\nbreak\ttab\r\n",
    "50% %s",
    "",
)


def administer(address: ServerAddress, *statements: str) -> None:
    """Run statements as the server's administrator."""
    if address.engine == "mariadb":
        with mariadb_connection.open_session(address) as session:
            for statement in statements:
                session.run(statement)
    else:
        with postgresql_connection.open_session(address, database="postgres") as session:
            for statement in statements:
                session.run(statement)


def fill(engine: Engine, site: SiteDatabase) -> None:
    """Make two tables with awkward rows, of which the last has been deleted again."""
    with engine.connect(site, read_only=False) as connection:
        for table in ("config", "user_info_data"):
            connection.execute(
                f"CREATE TABLE {{{table}}}"
                f" (id {_ID[engine.address.engine]}, name VARCHAR(255) NOT NULL, value TEXT)"
            )
            for text in TEXTS:
                connection.execute(
                    f"INSERT INTO {{{table}}} (name, value) VALUES (%s, %s)", ("key", text)
                )
            connection.execute(f"INSERT INTO {{{table}}} (name) VALUES ('last')")
            connection.execute(f"DELETE FROM {{{table}}} WHERE name = 'last'")


def rows(engine: Engine, site: SiteDatabase, table: str = "config") -> list[tuple[object, ...]]:
    """Return a table's rows in order."""
    with engine.connect(site) as connection:
        return connection.query(f"SELECT id, name, value FROM {{{table}}} ORDER BY id")


def count(engine: Engine, site: SiteDatabase) -> int:
    """Return how many rows the site's config has."""
    return len(rows(engine, site))


# ---- accounts and databases


def test_a_server_says_what_it_is(engine: Engine) -> None:
    facts = engine.facts()
    assert facts.flavour == engine.address.engine
    assert int(facts.version.partition(".")[0]) >= 10
    assert not facts.read_only


def test_an_account_comes_and_goes(engine: Engine) -> None:
    site = new_site()
    assert not engine.account_exists(site.account)
    engine.create_account(site)
    assert engine.account_exists(site.account)
    with pytest.raises(Conflict) as caught:
        engine.create_account(site)
    assert caught.value.code == "engine.account.exists"
    engine.drop_account(site.account)
    assert not engine.account_exists(site.account)
    with pytest.raises(NotFound):
        engine.drop_account(site.account)
    engine.drop_account(site.account, if_exists=True)


def test_an_account_made_again_takes_the_new_password(engine: Engine, site: SiteDatabase) -> None:
    changed = replace(site, password=Secret("other'\"\\$%:; Ünï"))
    engine.create_account(changed, if_missing=True)
    assert engine.tables(changed) == []
    with pytest.raises(Unavailable) as caught:
        engine.tables(site)
    assert caught.value.code == "engine.login"


def test_a_database_comes_and_goes(engine: Engine, make_site: MakeSite) -> None:
    site = make_site(database=False)
    assert not engine.database_exists(site.name)
    engine.create_database(site)
    assert engine.database_exists(site.name)
    assert site.name in engine.list_databases()
    with pytest.raises(Conflict) as caught:
        engine.create_database(site)
    assert caught.value.code == "engine.database.exists"
    engine.create_database(site, if_missing=True)
    engine.drop_database(site)
    assert not engine.database_exists(site.name)
    assert site.name not in engine.list_databases()
    with pytest.raises(NotFound):
        engine.drop_database(site)
    engine.drop_database(site, if_exists=True)


def test_the_servers_own_databases_are_not_listed(engine: Engine) -> None:
    assert not {"postgres", "template1", "mysql", "sys"} & set(engine.list_databases())


def test_a_database_needs_its_account(engine: Engine) -> None:
    site = new_site()
    with pytest.raises(NotFound) as caught:
        engine.create_database(site)
    assert caught.value.code == "engine.account.missing"
    assert not engine.database_exists(site.name)


def test_a_dropped_account_can_no_longer_connect(engine: Engine, site: SiteDatabase) -> None:
    assert engine.tables(site) == []
    engine.drop_database(site)
    engine.drop_account(site.account)
    with pytest.raises(Unavailable) as caught:
        engine.tables(site)
    assert caught.value.code == "engine.login"


@pytest.mark.parametrize(
    ("mine", "other"),
    [("vm_a", "vmxa"), ("vm_a_b", "vm_axb"), ("vm_p%", "vm_pq"), ("vm_c", "vm_cc")],
)
def test_an_account_never_reaches_another_sites_database(
    engine: Engine, make_site: MakeSite, mine: str, other: str
) -> None:
    own, foreign = make_site(mine), make_site(other)
    fill(engine, foreign)
    intruder = replace(own, name=foreign.name)
    for attempt in (engine.tables, lambda site: rows(engine, site)):
        with pytest.raises((Unavailable, Refused)) as caught:
            attempt(intruder)
        assert caught.value.code in ("engine.login", "engine.grant")
    if engine.address.engine == "mariadb":
        with pytest.raises(Refused), engine.connect(own) as connection:
            connection.query(f"SELECT * FROM `{other}`.mdl_config")
        with engine.connect(own) as connection:
            seen = {name for (name,) in connection.query("SHOW DATABASES")}
        assert other not in seen


def test_a_later_database_of_the_same_name_is_closed_to_the_former_account(
    engine: Engine, make_site: MakeSite
) -> None:
    former = make_site()
    engine.drop_database(former)
    successor = replace(make_site(database=False), name=former.name)
    engine.create_database(successor)
    with pytest.raises(Unavailable):
        engine.tables(former)
    engine.drop_database(successor)


@pytest.mark.parametrize("name", ["vm_'; DROP DATABASE x; --", 'vm_"q`b', "vm_ünï 日本", "vm_\\_x"])
def test_quotes_and_semicolons_in_names_are_only_data(
    engine: Engine, make_site: MakeSite, name: str, tmp_path: Path
) -> None:
    site = make_site(name)
    assert site.name in engine.list_databases()
    fill(engine, site)
    assert engine.size(name) > 0
    engine.dump(site, tmp_path / "dump")
    engine.reset_database(site)
    engine.restore(tmp_path / "dump", site)
    assert [row[2] for row in rows(engine, site)] == list(TEXTS)


def test_dropping_a_database_ends_its_open_connections(engine: Engine, site: SiteDatabase) -> None:
    fill(engine, site)
    with pytest.raises(VMoodleError), engine.connect(site) as connection:
        assert len(connection.query("SELECT * FROM {config}")) == len(TEXTS)
        engine.drop_database(site)
        connection.query("SELECT * FROM {config}")
    assert not engine.database_exists(site.name)


def test_a_reset_database_is_empty_and_still_the_sites(engine: Engine, site: SiteDatabase) -> None:
    fill(engine, site)
    engine.reset_database(site)
    assert engine.tables(site) == []
    fill(engine, site)
    engine.drop_database(site)
    engine.reset_database(site)
    assert engine.tables(site) == []


def test_a_database_is_utf8(engine: Engine, site: SiteDatabase) -> None:
    question = {
        "mariadb": "SELECT @@collation_database",
        "postgresql": "SELECT current_setting('server_encoding')",
    }
    with engine.connect(site) as connection:
        answer = connection.query(question[engine.address.engine])
    assert answer[0][0] in ("utf8mb4_unicode_ci", "UTF8")


# ---- statements


def test_tables_and_size_are_known(engine: Engine, site: SiteDatabase) -> None:
    empty = engine.size(site.name)
    fill(engine, site)
    assert engine.tables(site) == ["mdl_config", "mdl_user_info_data"]
    assert engine.size(site.name) > empty
    with pytest.raises(NotFound):
        engine.size("vm_none")


def test_where_the_server_keeps_its_data_is_told_or_nothing(engine: Engine) -> None:
    told = engine.data_directory()
    assert told == "" or Path(told).is_absolute()
    if engine.address.engine == "mariadb":
        assert told


def test_an_answer_has_columns_and_a_change_a_count(engine: Engine, site: SiteDatabase) -> None:
    fill(engine, site)
    with engine.connect(site, read_only=False) as connection:
        found = connection.query("SELECT id, name AS n FROM {config} WHERE name = %s", ("key",))
        assert found.columns == ("id", "n")
        assert len(found) == len(TEXTS)
        assert connection.execute("DELETE FROM {config} WHERE value = %s", ("plain",)) == 1
        assert connection.query("SELECT 1 FROM {config} WHERE value LIKE '50%'") == [(1,)]
    assert count(engine, site) == len(TEXTS) - 1


def test_text_that_looks_like_a_placeholder_stays(engine: Engine, site: SiteDatabase) -> None:
    with engine.connect(site) as connection:
        assert connection.query("SELECT '{config}', 'it''s {user}' /* {x} */")[0] == (
            "{config}",
            "it's {user}",
        )


def test_parameters_are_only_data(engine: Engine, site: SiteDatabase) -> None:
    fill(engine, site)
    hostile = "x'; DROP TABLE mdl_config; --"
    with engine.connect(site, read_only=False) as connection:
        connection.execute("INSERT INTO {config} (name) VALUES (%s)", (hostile,))
        assert connection.query("SELECT name FROM {config} WHERE name = %s", (hostile,)) == [
            (hostile,)
        ]


@pytest.mark.parametrize(
    ("sql", "params"),
    [("SELEC 1", ()), ("SELECT 1; SELECT 2", ()), ("SELECT * FROM {none}", ()), ("SELECT %s", ())],
)
def test_sql_the_server_does_not_take_is_invalid_input(
    engine: Engine, site: SiteDatabase, sql: str, params: Sequence[object]
) -> None:
    with pytest.raises(InvalidInput), engine.connect(site, read_only=False) as connection:
        connection.query(sql, params)


def test_too_few_parameters_are_invalid_input(engine: Engine, site: SiteDatabase) -> None:
    with pytest.raises(InvalidInput), engine.connect(site) as connection:
        connection.query("SELECT %s, %s", (1,))


WAYS_OUT_OF_A_READING_TRANSACTION = (
    "SELECT 1",
    "COMMIT",
    "ROLLBACK",
    "SET TRANSACTION READ WRITE",
    "SET SESSION TRANSACTION READ WRITE",
    "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE",
    "SET default_transaction_read_only = off",
    "START TRANSACTION READ WRITE",
    "BEGIN READ WRITE",
)


@pytest.mark.parametrize(
    "write",
    [
        "INSERT INTO {config} (name) VALUES ('x')",
        "DELETE FROM {config}",
        "DROP TABLE {config}",
        "TRUNCATE TABLE {config}",
        "SET STATEMENT tx_read_only = 0 FOR DELETE FROM {config}",
        "COMMIT; DELETE FROM {config}",
        "/*!50000 DROP TABLE {config} */",
        "EXPLAIN ANALYZE DELETE FROM {config}",
        "EXECUTE IMMEDIATE 'DROP TABLE mdl_config'",
        "WITH gone AS (DELETE FROM {config} RETURNING id) SELECT * FROM gone",
    ],
)
def test_a_reading_connection_refuses_every_write(
    engine: Engine, site: SiteDatabase, write: str
) -> None:
    fill(engine, site)
    for way_out in WAYS_OUT_OF_A_READING_TRANSACTION:
        with suppress(Refused, InvalidInput), engine.connect(site) as connection:
            try:
                connection.execute(way_out)
            except VMoodleError:
                connection.execute("ROLLBACK")
            connection.execute(write)
        assert count(engine, site) == len(TEXTS), way_out


def test_a_refused_write_says_that_the_connection_only_reads(
    engine: Engine, site: SiteDatabase
) -> None:
    fill(engine, site)
    with pytest.raises(Refused) as caught, engine.connect(site) as connection:
        connection.execute("DELETE FROM {config}")
    assert caught.value.code == "engine.sql.readonly"


def test_a_failed_block_is_rolled_back(engine: Engine, site: SiteDatabase) -> None:
    fill(engine, site)
    with pytest.raises(InvalidInput), engine.connect(site, read_only=False) as connection:
        assert connection.execute("DELETE FROM {config}") == len(TEXTS)
        connection.execute("DELETE FROM {none}")
    assert count(engine, site) == len(TEXTS)


def test_a_slow_statement_is_ended_by_its_limit(engine: Engine, site: SiteDatabase) -> None:
    with (
        pytest.raises(Unavailable) as caught,
        engine.connect(site, statement_timeout=0.2) as connection,
    ):
        connection.query(_SLOW[engine.address.engine])
    assert caught.value.code == "engine.timeout"


# ---- copies


def check_copy(engine: Engine, source: SiteDatabase, copy: SiteDatabase) -> None:
    """Assert that a copy has all rows, goes on counting as the source, and is its account's own."""
    assert engine.tables(copy) == engine.tables(source)
    for table in ("config", "user_info_data"):
        assert rows(engine, copy, table) == rows(engine, source, table)
    for site in (copy, source):
        with engine.connect(site, read_only=False) as connection:
            connection.execute("INSERT INTO {config} (name) VALUES ('next')")
            connection.execute("ALTER TABLE {config} ADD COLUMN extra INT")
            found = connection.query("SELECT id FROM {config} WHERE name = 'next'")
        assert found == [(len(TEXTS) + 2,)]


def test_a_restored_dump_equals_the_site(
    engine: Engine, make_site: MakeSite, tmp_path: Path
) -> None:
    source, copy = make_site(), make_site()
    fill(engine, source)
    path = tmp_path / "dump"
    engine.dump(source, path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert [found.name for found in tmp_path.iterdir()] == ["dump"]
    engine.restore(path, copy)
    check_copy(engine, source, copy)


def test_a_dump_is_restored_into_an_empty_database_only(
    engine: Engine, site: SiteDatabase, tmp_path: Path
) -> None:
    fill(engine, site)
    engine.dump(site, tmp_path / "dump")
    with pytest.raises(Conflict) as caught:
        engine.restore(tmp_path / "dump", site)
    assert caught.value.code == "engine.database.not_empty"
    assert count(engine, site) == len(TEXTS)


def test_a_dump_that_cannot_be_made_leaves_no_file(
    engine: Engine, site: SiteDatabase, tmp_path: Path
) -> None:
    with pytest.raises((Failed, Unavailable, NotFound)):
        engine.dump(replace(site, name="vm_none"), tmp_path / "dump")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(Unavailable):
        engine.dump(site, tmp_path / "none" / "dump")


def test_a_dump_that_is_none_is_an_error(
    engine: Engine, site: SiteDatabase, tmp_path: Path
) -> None:
    with pytest.raises(InvalidInput):
        engine.restore(tmp_path / "none", site)
    (tmp_path / "dump").write_text("this is no dump\n")
    with pytest.raises(Failed):
        engine.restore(tmp_path / "dump", site)
    assert engine.tables(site) == []


def test_a_clone_equals_its_source(engine: Engine, make_site: MakeSite) -> None:
    source, target = make_site(), make_site(database=False)
    fill(engine, source)
    engine.clone_database(source, target)
    check_copy(engine, source, target)
    with pytest.raises((Unavailable, Refused)):
        engine.tables(replace(source, name=target.name))


def test_a_site_in_use_can_be_cloned(engine: Engine, make_site: MakeSite) -> None:
    source, target = make_site(), make_site(database=False)
    fill(engine, source)
    with engine.connect(source) as connection:
        assert len(connection.query("SELECT * FROM {config}")) == len(TEXTS)
        engine.clone_database(source, target)
        assert len(connection.query("SELECT * FROM {config}")) == len(TEXTS)
    check_copy(engine, source, target)


def test_a_clone_with_views_keeps_them(engine: Engine, make_site: MakeSite) -> None:
    source, target = make_site(), make_site(database=False)
    fill(engine, source)
    with engine.connect(source, read_only=False) as connection:
        connection.execute("CREATE VIEW {seen} AS SELECT name FROM {config}")
        if engine.address.engine == "mariadb":
            connection.execute(
                "CREATE TRIGGER mdl_t BEFORE INSERT ON {config} FOR EACH ROW SET NEW.value = 'set'"
            )
    engine.clone_database(source, target)
    with engine.connect(target) as connection:
        assert len(connection.query("SELECT * FROM {seen}")) == len(TEXTS)


def test_a_clone_takes_no_place_that_is_taken(engine: Engine, make_site: MakeSite) -> None:
    source, target = make_site(), make_site()
    fill(engine, source)
    with pytest.raises(Conflict):
        engine.clone_database(source, target)
    with pytest.raises(NotFound):
        engine.clone_database(replace(source, name="vm_none"), make_site(database=False))
    with pytest.raises(InvalidInput):
        engine.clone_database(source, replace(target, prefix="Other-"))
    assert engine.tables(target) == []


# ---- servers that are down, slow, read-only; accounts without rights


def test_a_server_that_is_down_is_unavailable(server: Server) -> None:
    with server.stopped(), pytest.raises(Unavailable) as caught:
        server.engine.facts()
    assert caught.value.code == "engine.connect"
    assert server.engine.facts()


def test_a_port_nobody_listens_on_is_unavailable(engine: Engine) -> None:
    address = replace(engine.address, host="127.0.0.1", socket=None, port=free_port())
    with pytest.raises(Unavailable) as caught:
        open_engine(address).facts()
    assert caught.value.code == "engine.connect"


def test_a_server_that_does_not_answer_is_unavailable(server: Server) -> None:
    with server.paused(), pytest.raises(Unavailable) as caught:
        server.engine.facts()
    assert caught.value.code == "engine.timeout"
    assert "paused" in caught.value.hint
    assert server.engine.facts()


def test_a_wrong_password_is_told_from_a_server_that_is_down(engine: Engine) -> None:
    for wrong in (
        replace(engine.address, password=Secret("wrong")),
        replace(engine.address, user="nobody_here"),
    ):
        with pytest.raises(Unavailable) as caught:
            open_engine(wrong).missing_grants()
        assert caught.value.code == "engine.login"


@contextmanager
def read_only(address: ServerAddress) -> Iterator[None]:
    """Let the server refuse writes for the length of the block."""
    role = f"ALTER ROLE {address.user}"
    begin, end = {
        "mariadb": (("SET GLOBAL read_only = 1",), ("SET GLOBAL read_only = 0",)),
        "postgresql": (
            (f"{role} SET default_transaction_read_only = on",),
            (
                "SET default_transaction_read_only = off",
                f"{role} RESET default_transaction_read_only",
            ),
        ),
    }[address.engine]
    administer(address, *begin)
    try:
        yield
    finally:
        administer(address, *end)


def test_a_read_only_server_says_so(engine: Engine) -> None:
    site = new_site()
    with read_only(engine.address):
        assert engine.facts().read_only
        with pytest.raises(Unavailable) as caught:
            engine.create_account(site)
    assert caught.value.code == "engine.readonly"
    assert not engine.account_exists(site.account)


@pytest.fixture
def weak(server: Server) -> Iterator[Engine]:
    """Yield the engine with an administrative account that has no right but to log in."""
    make, remove = {
        "mariadb": (
            ["CREATE USER 'weak'@'%' IDENTIFIED BY 'w-1'"],
            ["DROP USER 'weak'@'%'"],
        ),
        "postgresql": (
            ["CREATE ROLE weak LOGIN PASSWORD 'w-1'", "GRANT CONNECT ON DATABASE postgres TO weak"],
            ["DROP OWNED BY weak", "DROP ROLE weak"],
        ),
    }[server.address.engine]
    administer(server.address, *make)
    yield open_engine(replace(server.address, user="weak", password=Secret("w-1")))
    administer(server.address, *remove)


def test_a_missing_grant_is_named_with_the_statement_that_gives_it(
    engine: Engine, weak: Engine, tmp_path: Path
) -> None:
    assert engine.missing_grants() == []
    site, copy = new_site(), new_site()
    missing = weak.missing_grants()
    assert missing
    with pytest.raises(Refused) as caught:
        weak.create_account(site)
    assert caught.value.code == "engine.grant"
    assert missing[0].statement in caught.value.hint
    administer(engine.address, *(grant.statement for grant in missing))
    assert weak.missing_grants() == []

    for one in (site, copy):
        weak.create_account(one)
    weak.create_database(site)
    fill(weak, site)
    weak.clone_database(site, copy)
    check_copy(weak, site, copy)
    weak.dump(site, tmp_path / "dump")
    assert weak.size(site.name) > 0
    weak.reset_database(site)
    weak.restore(tmp_path / "dump", site)
    for one in (site, copy):
        weak.drop_database(one)
        weak.drop_account(one.account)


def test_the_documented_rights_suffice_from_the_first_site_to_the_last(
    server: Server, tmp_path: Path
) -> None:
    if server.name != "mariadb":
        pytest.skip("the page's statements for MariaDB")
    page = Path(__file__).parents[2] / "docs" / "how-to" / "database-server.md"
    (block,) = re.findall(r"## MariaDB\n\n```sql\n(.*?)```", page.read_text(), re.DOTALL)
    administer(server.address, *block.replace("…", "w-1").splitlines())
    try:
        documented = open_engine(replace(server.address, user="vmoodle", password=Secret("w-1")))
        assert documented.missing_grants() == []
        site, copy = new_site(), new_site()
        for one in (site, copy):
            documented.create_account(one)
        documented.create_database(site)
        documented.create_database(site, if_missing=True)
        fill(documented, site)
        documented.clone_database(site, copy)
        check_copy(documented, site, copy)
        documented.dump(site, tmp_path / "dump")
        documented.reset_database(site)
        documented.restore(tmp_path / "dump", site)
        for one in (site, copy):
            documented.drop_database(one)
            documented.drop_database(one, if_exists=True)
            documented.drop_account(one.account)
            assert not documented.account_exists(one.account)
    finally:
        administer(server.address, "DROP USER 'vmoodle'@'%'")


def test_one_missing_grant_is_the_only_one_named(engine: Engine, weak: Engine) -> None:
    first, *others = weak.missing_grants()
    administer(engine.address, *(grant.statement for grant in others))
    assert weak.missing_grants() == [first]


# ---- passwords


def _dump_process() -> Path | None:
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            program = place.read_bytes().split(b"\0")[0]
        except OSError:
            continue
        if program.endswith((b"/pg_dump", b"/mariadb-dump", b"/mysqldump")):
            return place.parent
    return None


def test_no_password_is_on_a_command_line_or_in_an_environment(
    engine: Engine, site: SiteDatabase, tmp_path: Path
) -> None:
    fill(engine, site)
    lock = {"mariadb": "LOCK TABLES {config} WRITE", "postgresql": "LOCK TABLE {config}"}
    dumping = threading.Thread(target=engine.dump, args=(site, tmp_path / "dump"))
    with engine.connect(site, read_only=False) as connection:
        connection.execute(lock[engine.address.engine])
        dumping.start()
        wait_until(lambda: _dump_process() is not None, "the start of the dump")
        place = _dump_process()
        assert place is not None
        shown = (place / "cmdline").read_bytes() + (place / "environ").read_bytes()
    dumping.join(60)
    assert (tmp_path / "dump").stat().st_size > 0
    for secret in (site.password, engine.address.password):
        assert secret.reveal().encode() not in shown


def test_no_password_is_in_an_error_or_a_repr(engine: Engine, site: SiteDatabase) -> None:
    wrong = replace(site, password=Secret("planted-Pa55"))
    texts = [repr(engine.address), repr(wrong), engine.address.display(), str(engine.address)]
    with pytest.raises(Unavailable) as caught:
        engine.tables(wrong)
    texts += traceback.format_exception(caught.value)
    with pytest.raises(VMoodleError) as refused:
        engine.create_account(wrong)
    texts += [*traceback.format_exception(refused.value), repr(refused.value.as_problem())]
    for secret in (wrong.password, site.password, engine.address.password):
        assert all(secret.reveal() not in text for text in texts)


# ---- what Moodle is told


def test_moodle_is_told_how_to_reach_its_database(engine: Engine, site: SiteDatabase) -> None:
    config = engine.moodle_config(site)
    assert config["dbtype"] == {"mariadb": "mariadb", "postgresql": "pgsql"}[engine.address.engine]
    assert config["dblibrary"] == "native"
    assert config["dbname"] == site.name
    assert config["dbuser"] == site.account
    assert config["dbpass"] == site.password.reveal()
    assert config["prefix"] == "mdl_"
    options = config["dboptions"]
    assert isinstance(options, dict)
    assert options["dbpersist"] is False
    assert options["dbsocket"] == (engine.address.socket or "")


def test_moodle_reaches_a_local_mariadb_by_tcp_or_by_socket_as_told(server: Server) -> None:
    if server.address.engine != "mariadb":
        pytest.skip("a rule of the mysqli driver")
    local = replace(server.address, host="localhost")
    assert open_engine(local).moodle_config(new_site())["dbhost"] == "127.0.0.1"
