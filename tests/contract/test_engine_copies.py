"""Copies of a database on every engine: dumped and restored, or cloned inside the server."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.engine_content import TEXTS, MakeSite, check_copy, count, fill

from vmoodle.engines.protocol import Engine, SiteDatabase
from vmoodle.errors import (
    Conflict,
    Failed,
    InvalidInput,
    NotFound,
    Refused,
    Unavailable,
)


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
