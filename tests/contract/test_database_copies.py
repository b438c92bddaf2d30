"""The contract of copies, on real servers: fast or slow, they are exact, and spare the source."""

from __future__ import annotations

import pytest
from tests.checksums import checksum, table_checksums
from tests.database_content import is_mariadb, names, next_ids
from tests.engine_content import MakeSite

from vmoodle.engines import mariadb as mariadb_engine
from vmoodle.engines.protocol import Engine, SiteDatabase


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
