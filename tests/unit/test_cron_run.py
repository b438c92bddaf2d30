"""One run of cron: it ends, or is ended with all it started; its output fills nothing."""

from __future__ import annotations

import os
import resource
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.trees import make_tree

from vmoodle.moodle.php.binary import PhpBinary, find_php
from vmoodle.scheduler.cron import run as cron_run
from vmoodle.scheduler.cron.choice import ADHOC, CRON
from vmoodle.scheduler.cron.processes import family
from vmoodle.scheduler.cron.run import Ended, Order, run_cron
from vmoodle.scheduler.cron.standing import Outcome
from vmoodle.secret import Secret

LIMIT = 30.0
Run = Callable[..., Ended]


@pytest.fixture(autouse=True)
def little_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cron_run, "GRACE_SECONDS", 0.5)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run a piece of PHP as a site's cron."""

    def act(code: str, *, timeout: float = LIMIT, keep: int = 20_000, script: str = CRON,
            stop: threading.Event | None = None) -> Ended:  # fmt: skip
        tree = make_tree(tmp_path / "tree", files={script: f"<?php {code}"})
        order = Order(
            f"run{os.getpid()}", "school", tree, script, timeout, keep, [Secret("S3cret")]
        )
        return run_cron(PhpBinary(find_php(None)), order, stop or threading.Event())

    return act


def wait_for(path: Path) -> str:
    until = time.monotonic() + LIMIT
    while not path.exists() or not path.read_text():
        assert time.monotonic() < until
        time.sleep(0.01)
    return path.read_text()


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_run_is_for_its_site_and_ends_well(run: Run) -> None:
    ended = run("echo getenv('VMOODLE_SITE'), ' ', implode(' ', array_slice($argv, 1)), ' S3cret';")
    assert (ended.outcome, ended.status, ended.error) == (Outcome.OK, 0, "")
    assert ended.said == "school --keep-alive=0 ***"
    assert run("echo $argv[1];", script=ADHOC).said == "--execute"


def test_a_run_that_fails_says_why(run: Run) -> None:
    ended = run('echo "first\\nMoodle upgrade pending, cron execution suspended.\\n"; exit(1);')
    assert (ended.outcome, ended.status) == (Outcome.FAILED, 1)
    assert ended.error.endswith("status 1: Moodle upgrade pending, cron execution suspended.")


def test_a_run_of_a_tree_that_is_gone_has_failed(tmp_path: Path) -> None:
    order = Order("x", "school", tmp_path / "none", CRON, LIMIT, 1000)
    ended = run_cron(PhpBinary(find_php(None)), order, threading.Event())
    assert (ended.outcome, ended.status) == (Outcome.FAILED, None)
    assert ended.error


def test_a_hundred_megabytes_of_output_fill_neither_memory_nor_disk(run: Run) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    ended = run("echo 'begins'; for ($i = 0; $i < 100; $i++) { echo str_repeat('x', 1000000); }"
                " echo 'ends';")  # fmt: skip
    assert ended.outcome is Outcome.OK and ended.size == 100_000_010
    assert ended.said.startswith("begins") and ended.said.endswith("ends")
    assert "99,980,010 bytes left out" in ended.said and len(ended.said) < 21_000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 30_000


def test_a_run_that_hangs_is_ended_and_has_failed(run: Run) -> None:
    began = time.monotonic()
    ended = run(
        "pcntl_signal(SIGTERM, SIG_IGN); echo 'waits'; while (true) { sleep(60); }", timeout=0.5
    )
    assert ended.outcome is Outcome.TIMEOUT and "after 0.5 seconds" in ended.error
    assert ended.said == "waits" and time.monotonic() - began < LIMIT / 3


CHILDREN = {
    "in its group": "if (pcntl_fork() === 0) { LOOP }",
    "in a session of its own": "if (pcntl_fork() === 0) { posix_setsid(); LOOP }",
    "of a parent that is gone": "if (pcntl_fork() === 0) { posix_setsid();"
    " if (pcntl_fork() === 0) { LOOP } exit(0); }",
    "another program": "exec('setsid sh -c \"echo \\$\\$ > FILE; exec sleep 600\""
    " >/dev/null 2>&1 &');",
    "without its environment": "proc_open(['env', '-i', '/usr/bin/setsid', '/bin/sh', '-c',"
    " 'echo $$ > FILE; exec sleep 600'], [], $pipes);",
}  # fmt: skip


@pytest.mark.parametrize("child", CHILDREN)
def test_what_a_run_that_hangs_has_started_is_ended_too(
    run: Run, tmp_path: Path, child: str
) -> None:
    file = tmp_path / "pid"
    loop = (
        "pcntl_signal(SIGTERM, SIG_IGN);"
        f" file_put_contents('{file}', getmypid()); sleep(600); exit;"
    )
    code = CHILDREN[child].replace("LOOP", loop).replace("FILE", str(file))
    ended = run(f"{code} while (true) {{ sleep(1); }}", timeout=1.5)
    assert ended.outcome is Outcome.TIMEOUT
    assert not is_alive(int(wait_for(file)))


def test_what_a_run_that_ended_well_has_left_is_ended_and_not_waited_for(
    run: Run, tmp_path: Path
) -> None:
    file = tmp_path / "pid"
    ended = run(
        f"if (pcntl_fork() === 0) {{ posix_setsid(); file_put_contents('{file}', getmypid());"
        f" sleep(600); exit; }} while (!file_exists('{file}')) {{ usleep(1000); }} echo 'done';"
    )
    assert ended.outcome is Outcome.OK
    assert "done\n(1 processes that it left behind were ended.)" in ended.said
    assert not is_alive(int(wait_for(file)))
    assert family(os.getppid() + 1_000_000, f"run{os.getpid()}") == set()


def test_a_run_that_is_stopped_ends_the_task_it_is_in(run: Run, tmp_path: Path) -> None:
    stop, file = threading.Event(), tmp_path / "pid"

    def ask() -> None:
        wait_for(file)
        stop.set()

    threading.Thread(target=ask).start()
    ended = run(
        "pcntl_async_signals(true); $stop = false;"
        " pcntl_signal(SIGTERM, function () use (&$stop) { $stop = true; });"
        f" file_put_contents('{file}', 'x'); while (!$stop) {{ usleep(1000); }} echo 'ended well';",
        stop=stop,
    )
    assert ended.outcome is Outcome.STOPPED and ended.said == "ended well"


@pytest.mark.parametrize(
    "word",
    [
        "Skipping processing of scheduled tasks. Concurrency limit",
        "Stopping processing of scheduled tasks as time limit",
    ],
)
def test_it_is_seen_when_moodle_did_not_try_everything(run: Run, word: str) -> None:
    assert run(f"echo '{word[:12]}'; flush(); echo '{word[12:]}';").cut
    assert not run("echo 'Cron run completed correctly';").cut
