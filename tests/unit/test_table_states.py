"""Two states of a database are compared table by table."""

from __future__ import annotations

from vmoodle.moodle.database.table_states import TableState, changes

BEFORE = {
    "same": TableState("d", "c", 3, "4"),
    "altered": TableState("d", "c", 3, "4"),
    "written": TableState("d", "c", 3, "4"),
    "came_and_went": TableState("d", "c", 3, "4"),
    "gone": TableState("d", "c", 3, "4"),
}
AFTER = {
    "same": TableState("d", "c", 3, "4"),
    "altered": TableState("e", "c", 3, "4"),
    "written": TableState("d", "x", 5, "6"),
    "came_and_went": TableState("d", "c", 3, "5"),
    "new": TableState("d", "c", 1, "2"),
}


def test_each_change_is_named_with_the_rows_before_and_after() -> None:
    found = changes(BEFORE, AFTER)
    assert {name: change.what for name, change in found.items()} == {
        "altered": ("definition",),
        "written": ("rows", "counter"),
        "came_and_went": ("counter",),
        "gone": ("removed",),
        "new": ("made",),
    }
    assert found["written"].as_facts() == {
        "what": ["rows", "counter"], "rows_before": 3, "rows_after": 5
    }  # fmt: skip
    assert (found["gone"].rows_before, found["gone"].rows_after) == (3, 0)


def test_the_same_state_has_no_changes() -> None:
    assert changes(BEFORE, BEFORE) == {}
