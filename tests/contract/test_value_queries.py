"""Queries that select sites: what is wrong with one is told as `vmoodle sql` tells it."""

from __future__ import annotations

import pytest
from tests.contract.test_sql import Mixed, both, mixed

__all__ = ["both", "mixed"]


@pytest.mark.parametrize(
    "query",
    [
        "SELEC 1",
        "SELECT nosuch FROM {user}",
        "DELETE FROM {user}",
        "CREATE TABLE {own} (id INT)",
        "SELECT :name",
        "SELECT 1; SELECT 'x",
    ],
)
def test_a_query_that_cannot_be_asked_is_told_as_sql_is(mixed: Mixed, query: str) -> None:
    for on, name in (("m*", "m1"), ("p*", "p1")):
        asked = mixed.fleet.run("sql", query, "--on", on, "--json", status=None)
        shown = mixed.fleet.run("target", "show", f"sql:'{quoted(query)}' & {on}", status=None)
        if asked.returncode == 1:
            rows = mixed.sql(query, "--on", on, status=1)
            error = rows[name]["error"]
        else:
            error = mixed.fleet.problem("sql", query, "--on", on)
        assert f"{error['detail']} [{error['code']}]" in shown.stderr
        assert shown.returncode > 0
    assert mixed.ask("p1", "SELECT COUNT(*) FROM {user}") == [(2,)]


def quoted(query: str) -> str:
    return query.replace("'", "''")


def test_an_answer_that_is_nonsense_is_told_once_with_its_sites(mixed: Mixed) -> None:
    shown = mixed.fleet.run("target", "show", "sql:SELECT 'perhaps'", status=1)
    (line,) = [one for one in shown.stderr.splitlines() if "target.value" in one]
    assert line.startswith("4 sites (m1, m2, p1, p2): could not be asked. The site answers")
    document = mixed.fleet.json("target", "show", "sql:SELECT 'perhaps'", status=1)
    assert all(row["hint"] for row in document["undecided"])
    run = mixed.fleet.run("sql", "SELECT 1", "--on", "m1, sql:SELECT 'perhaps'", status=1)
    assert "3 sites (m2, p1, p2): failed. The site answers 'perhaps'" in run.stderr
