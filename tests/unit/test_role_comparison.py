"""A role of many sites compared with that of one: who stands out."""

from __future__ import annotations

from vmoodle.moodle.roles.comparison import ROLE, THERE, CellState, compare_columns

CHAT = "mod/chat:chat"


def test_what_the_site_to_compare_with_does_not_know_stands_out_only_where_it_is_known() -> None:
    newer, older = {ROLE: THERE}, {ROLE: THERE, CHAT: "allow (module)"}
    unset = {ROLE: THERE, CHAT: "not set (module)"}
    columns = {"p1": newer, "p2": newer, "m1": older, "m2": unset}
    (row,) = [row for row in compare_columns(columns, newer) if row.name == CHAT]
    assert row.standard is None
    assert row.differing == ("m1",)
    assert row.states["m1"] == CellState.PERMISSION
    # Compared with a site that knows it, those that do not stand out.
    (row,) = [row for row in compare_columns(columns, older) if row.name == CHAT]
    assert row.differing == ("p1", "p2", "m2")
