"""Copies prepared beforehand: filled as the source is then, and made anew where it is another."""

from __future__ import annotations

from tests.checksums import table_checksums
from tests.database_content import is_mariadb, names, next_ids
from tests.engine_content import MakeSite

from vmoodle.engines.protocol import Engine, SiteDatabase


def change(engine: Engine, site: SiteDatabase, *statements: str) -> None:
    with engine.connect(site, read_only=False) as connection:
        for statement in statements:
            connection.execute(statement)


def test_what_was_prepared_is_filled_with_what_is_there_by_then(
    engine: Engine,
    moodle: SiteDatabase,
    make_site: MakeSite,
) -> None:
    live, copy = make_site(database=False), make_site(database=False)
    engine.clone_database(moodle, live)
    prepared = engine.prepare_clone(live, copy)
    assert bool(prepared) == is_mariadb(engine)
    change(
        engine, live,
        "UPDATE {config} SET value = 'changed' WHERE name = 'siteidentifier'",
        "DELETE FROM {user} WHERE id > 2",
        "INSERT INTO {task_log} (type, component, classname, userid, timestart, timeend, dbreads,"
        " dbwrites, result, output) VALUES (0, 'a', 'b', 0, 1, 2, 3, 4, 0, 'c')",
    )  # fmt: skip
    before = table_checksums(engine, live)
    assert engine.clone_database(live, copy, prepared=prepared) == "server"
    assert table_checksums(engine, copy) == before == table_checksums(engine, live)
    assert names(engine, copy) == names(engine, live)


def test_counters_go_on_in_it(engine: Engine, source: SiteDatabase, make_site: MakeSite) -> None:
    copy = make_site(database=False)
    prepared = engine.prepare_clone(source, copy)
    change(
        engine, source,
        "INSERT INTO {empty} (name) VALUES ('more')",
        "DELETE FROM {empty} WHERE name = 'more'",
    )  # fmt: skip
    engine.clone_database(source, copy, prepared=prepared)
    assert next_ids(engine, copy) == [6, 3] == next_ids(engine, source)


def test_it_is_made_anew_where_a_table_changed_or_the_copy_is_gone(
    engine: Engine,
    source: SiteDatabase,
    make_site: MakeSite,
) -> None:
    copy = make_site(database=False)
    for statement in (
        "ALTER TABLE {config} ADD COLUMN more INT",
        "CREATE INDEX mdl_config_mor_ix ON {config} (more)",
        "CREATE TABLE {another} (id INT PRIMARY KEY)",
        "DROP TABLE {another}",
        "",
    ):
        prepared = engine.prepare_clone(source, copy)
        if statement:
            change(engine, source, statement)
        else:
            engine.drop_database(copy, if_exists=True)
        assert engine.clone_database(source, copy, replace=True, prepared=prepared) == "server"
        assert table_checksums(engine, copy) == table_checksums(engine, source), statement
        assert names(engine, copy) == names(engine, source), statement


def test_what_is_written_before_is_in_it_and_what_comes_after_is_not(
    engine: Engine,
    source: SiteDatabase,
    make_site: MakeSite,
) -> None:
    copy = make_site(database=False)
    prepared = engine.prepare_clone(source, copy)
    change(engine, source, "INSERT INTO {config} (name) VALUES ('later')")
    engine.clone_database(source, copy, prepared=prepared)
    change(engine, source, "INSERT INTO {config} (name) VALUES ('after')")
    with engine.connect(copy) as connection:
        found = connection.query("SELECT name FROM {config} WHERE name IN ('later', 'after')")
    assert [str(row[0]) for row in found] == ["later"]
