"""A question is answered by what a person types after it was asked."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from collections.abc import Iterator

import pytest

# It asks only once something was typed already.
_ASKING = """
import select
from vmoodle.cli import question
select.select([0], [], [])
print(question.{call})
"""


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    ours, its = pty.openpty()
    yield ours, its
    os.close(ours)
    os.close(its)


@pytest.mark.parametrize(
    ("call", "asked", "typed", "answered"),
    [
        ("ask_to_change(2)", "2 sites would be changed. Type 2 to change them:", "no", "no"),
        ("ask_to_change(1)", "1 site would be changed. Type 1 to change it:", "1", "1"),
        ("ask_to_change(3, 'upgrade', 'upgraded')",
         "3 sites would be upgraded. Type 3 to upgrade them:", "x", "x"),
        ("ask_whether('Mend it?')", "Mend it? [y/N]:", "n", "False"),
    ],
)  # fmt: skip
def test_what_was_typed_before_the_question_answers_nothing(
    terminal: tuple[int, int], call: str, asked: str, typed: str, answered: str
) -> None:
    ours, its = terminal
    os.write(ours, b"2\ny\n")
    with subprocess.Popen(
        [sys.executable, "-c", _ASKING.format(call=call)],
        stdin=its, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as asking:  # fmt: skip
        assert asking.stderr
        assert asking.stdout
        assert asking.stderr.read(len(asked)).decode() == asked
        os.write(ours, f"{typed}\n".encode())
        assert asking.stdout.read().decode().strip() == answered
