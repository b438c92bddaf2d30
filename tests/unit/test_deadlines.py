"""What is done when a block takes too long."""

from __future__ import annotations

import os
import threading

import pytest

from vmoodle.engines.deadlines import later


def test_it_is_done_while_a_block_takes_too_long() -> None:
    late = threading.Event()
    with later(0.01, late.set):
        assert late.wait(10)


def test_the_earlier_deadline_comes_first_though_it_was_set_later() -> None:
    late = threading.Event()
    with later(60, pytest.fail), later(0.01, late.set):
        assert late.wait(10)


def test_it_is_not_done_for_a_block_that_ended() -> None:
    done, late = [], threading.Event()
    with later(0.02, lambda: done.append("done")):
        pass
    with later(0.05, late.set):
        assert late.wait(10)
    assert not done


def test_one_that_goes_wrong_keeps_no_other_from_being_done() -> None:
    late = threading.Event()
    with later(0.01, lambda: 1 / 0 and None), later(0.02, late.set):
        assert late.wait(10)


def test_a_forked_process_has_deadlines_of_its_own() -> None:
    with later(60, pytest.fail):
        child = os.fork()
        if not child:
            late = threading.Event()
            with later(0.01, late.set):
                os._exit(0 if late.wait(10) else 1)
        _pid, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
