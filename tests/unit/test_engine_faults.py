"""What servers and their client programs say, as sentences of an error."""

from __future__ import annotations

import os
import sys

import pytest

from vmoodle.engines.clients import Client
from vmoodle.engines.faults import DOWN, said, sentences
from vmoodle.errors import Failed


def fault_of(script: str) -> str:
    descriptor = os.open(os.devnull, os.O_RDONLY)
    try:
        with pytest.raises(Failed) as caught:
            Client([sys.executable, "-c", script], {}, descriptor).run()
    finally:
        os.close(descriptor)
    assert caught.value.code == "engine.client.failed"
    return caught.value.message.partition(" ")[2]


def test_a_client_that_was_killed_says_by_which_signal() -> None:
    kill = "import os; os.kill(os.getpid(), 9)"
    assert fault_of(kill) == "was ended by signal 9 (KILL)."
    assert fault_of(f"import os; os.write(2, b'reading'); {kill}") == (
        "was ended by signal 9 (KILL). It said: reading."
    )


def test_what_a_client_said_ends_in_a_full_stop() -> None:
    assert fault_of("raise SystemExit(3)") == "did not succeed: it said nothing."
    assert fault_of("raise SystemExit('no such table')") == "did not succeed: no such table."


def test_sentences_of_several_lines_are_kept_apart() -> None:
    text = "connection failed: Connection refused\n\tIs the server running on that host?\n"
    assert sentences(text) == (
        "connection failed: Connection refused. Is the server running on that host?"
    )
    assert sentences("All failures were:\n- host a\n  and more") == (
        "All failures were: - host a and more"
    )
    assert sentences("") == ""
    assert said(DOWN, "gone").message == "The database server said: gone."
