"""Answers of commands: as JSON, by value, merged, and as a matrix."""

from __future__ import annotations

import datetime
from decimal import Decimal

import pytest

from vmoodle.fleet.result import (
    Matrix,
    Result,
    Scalar,
    Table,
    Text,
    by_row,
    cell,
    compared,
    from_json,
    grouped,
    merged,
    to_json,
)
from vmoodle.moodle.roles.comparison import compare_columns

TABLE = Table(("id", "name"), ((1, "a"), (2, None)))


@pytest.mark.parametrize("result", [Scalar(3), Text("two\nlines"), TABLE, Matrix({"a": 1})])
def test_a_result_that_was_kept_is_the_same(result: Result) -> None:
    assert from_json(to_json(result)) == result


def test_values_are_the_same_from_both_engines() -> None:
    assert cell(Decimal("12")) == cell(12) == 12
    assert cell(Decimal("1.50")) == "1.50"
    assert cell(b"\xff\x00") == "0xff00"
    assert cell(memoryview(b"text")) == "text"
    assert cell(datetime.date(2026, 1, 2)) == "2026-01-02"


def test_rows_are_objects_by_column_name_also_when_a_name_comes_twice() -> None:
    assert TABLE.as_facts() == {"rows": [{"id": 1, "name": "a"}, {"id": 2, "name": None}]}
    again = Table(("id", "id"), ((1, 2),), truncated=True)
    assert again.as_facts() == {"rows": [{"id": 1, "id_2": 2}], "truncated": True}


def test_answers_are_grouped_by_value_the_most_frequent_first() -> None:
    groups = grouped([("a", Scalar(1)), ("b", Scalar(0)), ("c", Scalar(0))])
    assert [(group.answer, group.sites) for group in groups] == [
        (Scalar(0), ("b", "c")), (Scalar(1), ("a",))
    ]  # fmt: skip
    assert len(grouped([("a", Scalar(1)), ("b", Scalar("1"))])) == 2


def test_rows_are_merged_with_a_column_for_the_site() -> None:
    own = Table(("site", "id"), (("x", 1),))
    assert list(merged([("a", TABLE), ("b", own), ("c", Scalar(5))])) == [
        {"site": "a", "id": 1, "name": "a"},
        {"site": "a", "id": 2, "name": None},
        {"site": "b", "site_2": "x", "id": 1},
        {"site": "c", "value": 5},
    ]


def test_each_row_stands_once_with_the_sites_that_have_it() -> None:
    other = Table(("id", "name"), ((2, None), (3, "c")))
    rows = by_row([("x", TABLE), ("y", other), ("z", Table(("id", "name"), ()))])
    assert [(one.row, one.sites) for one in rows] == [
        ({"id": 1, "name": "a"}, ["x"]),
        ({"id": 2, "name": None}, ["x", "y"]),
        ({"id": 3, "name": "c"}, ["y"]),
    ]


def test_a_row_of_a_matrix_tells_in_json_how_each_site_stands_out() -> None:
    answers = [("x", Matrix({"a": 1})), ("y", Matrix({"a": 1})), ("z", Matrix({"a": 2}))]
    (row,) = compared([*answers, ("w", Matrix({}))])
    assert row.as_facts() == {
        "name": "a",
        "majority": 1,
        "differing": {
            "w": {"value": None, "state": "not there"},
            "z": {"value": 2, "state": "differs"},
        },
    }


def test_a_matrix_tells_the_majority_and_who_differs() -> None:
    answers = [("a", Matrix({"x": 1, "y": 1})), ("b", Matrix({"x": 1})), ("c", Matrix({"x": 2}))]
    rows = {row.name: row for row in compared(answers)}
    assert (rows["x"].majority, rows["x"].differing) == (1, ("c",))
    # Most have no y: the one that has it is the one that differs.
    assert (rows["y"].unknown, rows["y"].differing) == (("b", "c"), ("a",))
    answers = [("a", Matrix({"x": 1})), ("b", Matrix({})), ("c", Matrix({"x": 1}))]
    assert compared(answers)[0].differing == ("b",)


def test_without_a_majority_all_values_are_told_whatever_the_order_of_sites() -> None:
    for values in ({"a": 1, "b": 2}, {"b": 2, "a": 1}, {"a": 1, "b": 2, "c": 3, "d": 4}):
        (row,) = compared([(site, Matrix({"x": value})) for site, value in values.items()])
        assert (row.is_split, row.majority) == (True, None)
        assert row.differing == tuple(sorted(values))
        assert row.as_facts()["no_majority"] is True
    # A site that knows no such name has no say, but is told.
    (row,) = compared([("a", Matrix({"x": 1})), ("b", Matrix({})), ("c", Matrix({"x": 2}))])
    assert (row.is_split, row.differing, row.state("b")) == (True, ("a", "b", "c"), "not there")


def test_a_role_is_compared_with_what_more_than_half_of_the_sites_say() -> None:
    columns = {
        "a": {"role": "there", "name": "A", "mod/quiz:view": "allow (module)"},
        "b": {"role": "there", "name": "B", "mod/quiz:view": "allow (module)"},
        "c": {"role": "no such role"},
    }
    rows = {row.name: row for row in compare_columns(columns)}
    assert (rows["role"].standard, rows["role"].differing) == ("there", ("c",))
    assert (rows["name"].is_split, rows["name"].differing) == (True, ("a", "b"))
    assert rows["mod/quiz:view"].differing == ()
