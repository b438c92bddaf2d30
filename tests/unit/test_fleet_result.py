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


def test_each_row_is_told_once_with_the_sites_that_have_it() -> None:
    def answer(*rows: tuple[str, int]) -> Table:
        return Table(("name", "value"), rows)

    columns, rows = by_row(
        [("a", answer(("x", 1), ("y", 1))), ("b", answer(("y", 1))), ("c", answer(("y", 2)))]
    )
    assert columns == ["name", "value"]
    assert rows == [(["x", 1], ("a",)), (["y", 1], ("a", "b")), (["y", 2], ("c",))]
    assert by_row([("a", answer())]) == ([], [])


def test_a_matrix_tells_the_majority_and_who_differs() -> None:
    answers = [("a", Matrix({"x": 1, "y": 1})), ("b", Matrix({"x": 1})), ("c", Matrix({"x": 2}))]
    rows = {row.name: row for row in compared(answers)}
    assert (rows["x"].majority, rows["x"].differing) == (1, ("c",))
    # Most have no y: the one that has it is the one that differs.
    assert (rows["y"].unknown, rows["y"].differing) == (("b", "c"), ("a",))
    answers = [("a", Matrix({"x": 1})), ("b", Matrix({})), ("c", Matrix({"x": 1}))]
    assert compared(answers)[0].differing == ("b",)


def test_each_row_stands_once_with_the_sites_that_have_it() -> None:
    other = Table(("id", "name"), ((2, None), (1, "b")))
    assert by_row([("a", TABLE), ("b", other), ("c", TABLE)]) == (
        ["id", "name"],
        [([1, "a"], ("a", "c")), ([1, "b"], ("b",)), ([2, None], ("a", "b", "c"))],
    )
