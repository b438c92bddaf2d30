"""Reading the beginning of an answer: what is not wanted is neither fetched nor held."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable

import pytest

from vmoodle.engines.protocol import Engine, Most, SiteDatabase
from vmoodle.errors import InvalidInput, Refused, Unavailable

_MILLIONS = {
    "mariadb": "SELECT seq AS n, REPEAT('x', 200) AS t FROM seq_1_to_10000000",
    "postgresql": "SELECT n, repeat('x', 200) AS t FROM generate_series(1, 10000000) AS n",
}
_SLOW = {"mariadb": "SELECT SLEEP(30)", "postgresql": "SELECT pg_sleep(30)"}


@pytest.fixture
def filled(engine: Engine, make_site: Callable[..., SiteDatabase]) -> SiteDatabase:
    site = make_site()
    with engine.connect(site, read_only=False) as connection:
        connection.execute("CREATE TABLE {thing} (id int, name varchar(100))")
        for number in range(5):
            connection.execute("INSERT INTO {thing} VALUES (%s, %s)", (number, "n" * 10))
    return site


def test_an_answer_is_cut_at_its_rows_or_its_bytes(engine: Engine, filled: SiteDatabase) -> None:
    sql = "SELECT id, name FROM {thing} WHERE id < %s ORDER BY id"
    with engine.connect(filled) as connection:
        whole = connection.read(sql, (4,), most=Most(4, 1000))
        assert (whole.columns, whole[0], len(whole), whole.cut) == (
            ("id", "name"), (0, "n" * 10), 4, False
        )  # fmt: skip
        none = connection.read(sql, (-1,), most=Most(4, 1000))
        assert (none.columns, list(none), none.cut) == (("id", "name"), [], False)
    with engine.connect(filled) as connection:
        few = connection.read(sql, (9,), most=Most(2, 1000))
        assert ([row[0] for row in few], few.cut) == ([0, 1], True)
        # Another statement goes on behind the cut.
        assert connection.read("SELECT COUNT(*) FROM {thing}", most=Most(1, 10))[0] == (5,)
        small = connection.read(sql, (9,), most=Most(100, 20))
        assert (len(small), small.cut) == (2, True)


def test_answers_of_one_moment_are_so_however_they_are_read(
    engine: Engine, filled: SiteDatabase
) -> None:
    sql, most = "SELECT COUNT(*) FROM {thing}", Most(5, 1000)
    with engine.connect(filled, one_moment=True) as connection:
        assert connection.read(sql, most=most)[0] == (5,)
        with engine.connect(filled, read_only=False) as other:
            other.execute("DELETE FROM {thing}")
        assert connection.read(sql, most=most)[0] == (5,)
        assert connection.query(sql)[0] == (5,)


def test_ten_million_rows_fill_no_memory(engine: Engine, filled: SiteDatabase) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.monotonic()
    with engine.connect(filled, statement_timeout=60) as connection:
        rows = connection.read(_MILLIONS[engine.address.engine], most=Most(1000, 10_000_000))
        assert (len(rows), rows.cut, rows[0][0]) == (1000, True, 1)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # kB
    assert time.monotonic() - began < 30


def test_what_only_reads_cannot_write_this_way_either(engine: Engine, filled: SiteDatabase) -> None:
    for sql in (
        "DELETE FROM {thing}",
        "DROP TABLE {thing}",
        "WITH x AS (SELECT 1) DELETE FROM {thing}",
        "/* SELECT */ UPDATE {thing} SET id = 9",
    ):
        with pytest.raises((Refused, InvalidInput)), engine.connect(filled) as connection:
            connection.read(sql, most=Most(1, 100))
    with engine.connect(filled) as connection:
        assert connection.query("SELECT COUNT(*), MAX(id) FROM {thing}")[0] == (5, 4)


def test_errors_are_those_of_a_query(engine: Engine, filled: SiteDatabase) -> None:
    for sql, params in (("SELECT nothing FROM {thing}", ()), ("SELECT %s", (1, 2))):
        with pytest.raises(InvalidInput), engine.connect(filled) as connection:
            connection.read(sql, params, most=Most(1, 100))
    limited = engine.connect(filled, statement_timeout=0.2)
    with pytest.raises(Unavailable) as raised, limited as connection:
        connection.read(_SLOW[engine.address.engine], most=Most(1, 100))
    assert raised.value.code == "engine.timeout"
