"""Equal answers of two engines are one, whatever the engines call the columns."""

from __future__ import annotations

from vmoodle.fleet.headings import Headings, shared
from vmoodle.fleet.result import Result, Table, grouped, merged


def _merged(*answers: tuple[str, Result]) -> list[dict[str, object]]:
    return [dict(row) for row in merged(shared(answers, Headings(answers)))]


def test_one_cell_is_grouped_by_its_value_whatever_its_column_is_called() -> None:
    count = [("m", Table(("COUNT(*)",), ((2,),))), ("p", Table(("count",), ((2,),)))]
    (group,) = grouped(count)
    assert group.sites == ("m", "p")
    (none,) = grouped([("m", Table(("MAX(id)",), ())), ("p", Table(("max",), ()))])
    assert none.sites == ("m", "p")
    cut = grouped([("m", Table(("a",), ((1,),))), ("p", Table(("a",), ((1,),), truncated=True))])
    assert len(cut) == 2


def test_rows_of_two_engines_stand_under_one_heading() -> None:
    mariadb = Table(("COUNT(*)", "2", "Total"), ((5, 2, 1),))
    postgresql = Table(("count", "?column?", "total"), ((6, 2, 1),))
    expected = [
        {"site": "m", "count": 5, "2": 2, "Total": 1}, {"site": "p", "count": 6, "2": 2, "Total": 1}
    ]  # fmt: skip
    assert _merged(("m", mariadb), ("p", postgresql)) == expected
    assert _merged(("p", postgresql), ("m", mariadb)) == expected[::-1]


def test_columns_that_somebody_named_are_not_taken_for_each_other() -> None:
    old, new = Table(("id", "name"), ((1, "a"),)), Table(("name", "id"), (("b", 2),))
    assert _merged(("x", old), ("y", new)) == [
        {"site": "x", "id": 1, "name": "a"}, {"site": "y", "name": "b", "id": 2}
    ]  # fmt: skip
