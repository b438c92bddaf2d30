"""Accounts and databases of sites on every engine: their passwords, and what Moodle is told."""

from __future__ import annotations

import threading
import traceback
from dataclasses import replace
from pathlib import Path

import pytest
from tests.engine_content import TEXTS, MakeSite, fill, rows
from tests.engine_servers import Server, new_site

from servers import wait_until
from vmoodle.engines.protocol import Engine, SiteDatabase, open_engine
from vmoodle.errors import (
    Conflict,
    NotFound,
    Refused,
    Unavailable,
    VMoodleError,
)
from vmoodle.secret import Secret


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
