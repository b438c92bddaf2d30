"""SQL as text: statements, parameters, and the same for the other engine."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmoodle.errors import InvalidInput
from vmoodle.fleet.sql.text import (
    Statement,
    first_word,
    refuse_transaction_words,
    split,
    statements,
)


def test_a_script_is_split_where_statements_end_and_nowhere_else() -> None:
    script = "SELECT 'a;b' -- c;\n; /* ; */ DELETE FROM {user} WHERE x = \";\"; -- end\n;"
    assert split(script, "mariadb") == [
        "SELECT 'a;b' -- c;", '/* ; */ DELETE FROM {user} WHERE x = ";"'
    ]  # fmt: skip
    assert split("DO $$ BEGIN; END $$; SELECT 1;", "postgresql")[1] == "SELECT 1"
    assert split("SELECT 1;", "mariadb") == ["SELECT 1"]
    for empty in ("", " ; ", "-- only this", "/* x */;"):
        with pytest.raises(InvalidInput) as raised:
            split(empty, "mariadb")
        assert raised.value.code == "sql.empty"
    with pytest.raises(InvalidInput) as raised:
        split("SELECT 'a; DELETE FROM b", "mariadb")
    assert raised.value.code == "sql.syntax"


def test_named_parameters_are_bound_outside_of_texts() -> None:
    sql = "SELECT ':a', x::int FROM {t} WHERE a = :a AND b LIKE '%:b' AND c = :c_1 OR d = :a"
    (one,) = statements(sql, ["a=1", "c_1=x=y"], "postgresql")
    assert one == Statement(
        "SELECT ':a', x::int FROM {t} WHERE a = %s AND b LIKE '%%:b' AND c = %s OR d = %s",
        ("1", "x=y", "1"),
    )
    (plain,) = statements("SELECT '50%' = ':x'", [], "mariadb")
    assert plain.sql == "SELECT '50%' = ':x'"


@pytest.mark.parametrize(
    ("sql", "parameters", "said"),
    [
        ("SELECT :a", [], ":a has no value."),
        ("SELECT :a; SELECT :b", ["a=1"], ":b has no value."),
        ("SELECT :n", ["x=1"], "The SQL has :n; given is x."),
        ("SELECT :n, :m", ["n=1", "m=1", "x"], "The SQL has :n, :m; given is x."),
        ("SELECT :n", ["n"], "The parameter n lacks the = and its value (n=VALUE)."),
        ("SELECT 1", ["x=s3cret"], "The SQL has no parameter; given is x."),
    ],
)
def test_it_is_said_which_parameter_is_missing_or_foreign(
    sql: str, parameters: list[str], said: str
) -> None:
    for dialect in ("mariadb", "postgresql"):
        with pytest.raises(InvalidInput) as raised:
            statements(sql, parameters, dialect)  # type: ignore[arg-type]
        assert raised.value.message == said
    assert "name=value" in raised.value.hint


def test_what_only_looks_like_a_parameter_needs_no_value() -> None:
    for sql, dialect in (
        ("SELECT x::text, ':a', \":b\" /* :c */ FROM t -- :d", "postgresql"),
        ("SELECT E'\\' :a', $$ :b $$, $x$ :c $x$, a[1:n]", "postgresql"),
        ("SELECT '\\' :a', \"\\\" :b\", `:c`, @x:=y # :d", "mariadb"),
    ):
        (one,) = statements(sql, [], dialect)  # type: ignore[arg-type]
        assert one == Statement(sql)


def test_parameters_by_position_go_to_the_statements_in_turn() -> None:
    first, second = statements("SELECT %s, '%%'; SELECT %s, %s", ["a", "b", "c=d"], "mariadb")
    assert (first.values, second.values) == (("a",), ("b", "c=d"))


@pytest.mark.parametrize(
    ("sql", "parameters"),
    [
        ("SELECT :a, :b", ["a=1"]),
        ("SELECT :a", ["a=1", "a=2"]),
        ("SELECT :a", ["a=1", "b=2"]),
        ("SELECT 1", ["a=1"]),
        ("SELECT %s", ["a", "b"]),
    ],
)
def test_parameters_that_do_not_fit_are_refused(sql: str, parameters: list[str]) -> None:
    with pytest.raises(InvalidInput) as raised:
        statements(sql, parameters, "mariadb")
    assert raised.value.code == "sql.parameter"


def test_a_statement_is_put_into_the_other_engines_sql() -> None:
    sql = "SELECT GROUP_CONCAT(`name` SEPARATOR ',') FROM {user} WHERE id < :most LIMIT 5, 10"
    (one,) = statements(sql, ["most=7"], "postgresql", "mariadb")
    assert one.values == ("7",)
    assert one.sql == (
        "SELECT STRING_AGG(\"name\", ',') FROM {user} WHERE id < %s LIMIT 10 OFFSET 5"
    )
    (same,) = statements(sql, ["most=7"], "mariadb", "mariadb")
    assert "GROUP_CONCAT" in same.sql
    (other,) = statements("SELECT a || 'x%' FROM {t}", [], "mariadb", "postgresql")
    assert other.sql == "SELECT CONCAT(a, 'x%') FROM {t}"
    for untranslatable in ("CREATE TABLE {x} (id int)", "SHOW TABLES", "SELECT FROM WHERE ("):
        with pytest.raises(InvalidInput) as raised:
            statements(untranslatable, [], "postgresql", "mariadb")
        assert raised.value.code == "sql.dialect"
        assert "\x1b" not in raised.value.message


def test_words_that_end_a_transaction_are_refused() -> None:
    assert first_word("/* a */ -- b\n (SELECT 1)") == "SELECT"
    for word in ("COMMIT", "begin", "/* x */ Rollback", "-- y\nSTART TRANSACTION"):
        with pytest.raises(InvalidInput) as raised:
            refuse_transaction_words([Statement("SELECT 1"), Statement(word)])
        assert raised.value.code == "sql.transaction"


@given(st.text(alphabet="SELECT ab'\"`;:%-/*\n\\$#()", max_size=40))
def test_any_text_is_split_or_refused(text: str) -> None:
    for dialect in ("mariadb", "postgresql"):
        try:
            statements(text, ["a=1"], dialect)  # type: ignore[arg-type]
            split(text, dialect)  # type: ignore[arg-type]
        except InvalidInput as error:
            assert error.code.startswith("sql.")


_IN_MANY_THREADS = """
import sys, threading
from vmoodle.fleet.sql.text import statements

sys.setswitchinterval(1e-6)
together, said = threading.Barrier(16), []

def translate():
    together.wait()
    sql = "SELECT GROUP_CONCAT(username SEPARATOR '+') FROM {user}"
    said.append(statements(sql, [], "postgresql", "mariadb")[0].sql)

threads = [threading.Thread(target=translate) for _ in range(16)]
for one in threads: one.start()
for one in threads: one.join()
print(len(said), *sorted(set(said)), sep="\\n")
"""


def test_many_sites_that_are_the_first_to_need_a_translation_get_the_same() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _IN_MANY_THREADS], capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    assert done.stdout.splitlines() == ["16", "SELECT STRING_AGG(username, '+') FROM {user}"]
