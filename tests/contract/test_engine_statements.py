"""Statements on every database engine: what they answer, and what is refused."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pytest
from tests.engine_content import TEXTS, count, fill

from vmoodle.engines.protocol import Engine, SiteDatabase
from vmoodle.errors import (
    InvalidInput,
    NotFound,
    Refused,
    Unavailable,
    VMoodleError,
)

_SLOW = {"mariadb": "SELECT SLEEP(30)", "postgresql": "SELECT pg_sleep(30)"}


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
