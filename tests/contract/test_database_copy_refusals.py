"""Copies that cannot be, and what is refused, on real servers."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.checksums import checksum
from tests.database_content import is_mariadb, small
from tests.engine_content import MakeSite
from tests.engine_servers import Server, new_site

from vmoodle.engines import mariadb_connection, postgresql_connection
from vmoodle.engines.protocol import Engine, SiteDatabase, open_engine
from vmoodle.errors import Conflict, InvalidInput, NotFound, Refused, VMoodleError
from vmoodle.secret import Secret


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
