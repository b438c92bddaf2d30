"""What others wrote never steers the terminal: not in a table, a block, an error or JSON."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from vmoodle.cli import main
from vmoodle.cli.output import in_a_cell, print_block, print_json, print_table, print_text, say
from vmoodle.cli.visible import visible
from vmoodle.errors import Failed

HOSTILE = "\x1b[31mred\x1b[0m \x9b2J \u202eevil\u2066 \x07\x7f\r."
STEERING = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def test_what_steers_a_terminal_is_seen_and_the_rest_is_left() -> None:
    assert visible(HOSTILE) == (r"\x1b[31mred\x1b[0m \x9b2J \u202eevil\u2066 \x07\x7f\r.")
    assert visible("Grüße, 日本\tand\r\nmore \\n") == "Grüße, 日本\tand\nmore \\n"


def test_no_output_carries_it_to_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    print_table((HOSTILE, "b"), [(HOSTILE, "l1\nl2\t")], "")
    print_block({HOSTILE: HOSTILE, "several": [HOSTILE, "x"]})
    print_text(HOSTILE)
    say(HOSTILE)
    print_json({"x": HOSTILE})
    main._report(Failed("php.failed", HOSTILE, HOSTILE))
    shown = capsys.readouterr()
    assert not STEERING.search(shown.out + shown.err)
    assert shown.err.count("evil") == 3
    assert shown.out.count("evil") == 7


def test_a_newline_begins_no_row_and_no_fact_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("x", "y"), [("a", "l1\nl2"), ("b", "c")], "")
    assert capsys.readouterr().out.splitlines() == ["x  y", r"a  l1\nl2", "b  c"]
    print_block({"state": "good\nstate  bad"})
    assert capsys.readouterr().out.splitlines() == ["state  good", "       state  bad"]


def test_a_very_long_cell_is_cut_and_widens_no_column(capsys: pytest.CaptureFixture[str]) -> None:
    long = "x" * 3_000_000
    assert in_a_cell(long) == f"{'x' * 200}… (3000000 characters)"
    print_table(("x", "y"), [(in_a_cell(long), 1), (long, 1)], "")
    heading, cut, _whole = capsys.readouterr().out.splitlines()
    assert len(heading) < 250
    assert len(cut) < 250


@pytest.mark.parametrize("value", [HOSTILE, "Grüße", {"a": ["\u2028"]}])
def test_json_means_the_same(value: Any, capsys: pytest.CaptureFixture[str]) -> None:
    print_json(value)
    assert json.loads(capsys.readouterr().out) == value
