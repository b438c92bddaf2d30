"""Run one site's cron: PHP in a session of its own, ended with all it started.

Of its output the beginning and the end are kept; the rest goes nowhere.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from vmoodle.errors import VMoodleError
from vmoodle.moodle.code.tree import MoodleTree
from vmoodle.moodle.php.binary import PhpBinary, keeping_compiled
from vmoodle.moodle.scripts.redaction import Redaction
from vmoodle.moodle.scripts.script import shell_status
from vmoodle.scheduler.cron.choice import ADHOC, CRON
from vmoodle.scheduler.cron.processes import MARK, Seen, end_all, family
from vmoodle.scheduler.cron.standing import Outcome
from vmoodle.secret import Secret

ARGUMENTS = {CRON: ("--keep-alive=0",), ADHOC: ("--execute",)}
GRACE_SECONDS = 10.0
"""Between asking a run that took too long to end, and killing it."""
STOP_GRACE_SECONDS = 45.0
"""The same for one that is stopped: Moodle ends the task it is in."""
_CHUNK = 65536
_LOOK_SECONDS = 0.25
# What cron says when it has not tried everything (lib/classes/cron.php, 4.5 and 5.1).
_CUT = (b"Skipping processing of", b"Stopping processing of")
_MESSAGE = 300


@dataclass(frozen=True)
class Order:
    """One run: the site, the script, and its limits. `mark` is the run's id."""

    mark: str
    site: str
    tree: Path
    script: str
    timeout: float
    keep: int
    """Bytes of the output that are kept."""
    redact: Sequence[Secret] = field(default=(), repr=False)
    compiled: Path | None = None


@dataclass(frozen=True)
class Ended:
    """How a run ended; `said` is what is kept of its output, `size` how much there was."""

    mark: str
    outcome: Outcome
    status: int | None
    error: str
    seconds: float
    said: str
    size: int
    cut: bool


def run_cron(php: PhpBinary, order: Order, stop: threading.Event) -> Ended:
    """Run the script to its end, to its limit, or until `stop` is set.

    It is to be called in a thread that does nothing else meanwhile: PHP dies with that.
    """
    began = time.monotonic()
    output = _Output(order.keep)
    try:
        status, outcome, error = _carry_out(php, order, stop, output)
    except VMoodleError as raised:
        status, outcome, error = None, Outcome.FAILED, raised.message
    except OSError as raised:
        status, outcome = None, Outcome.FAILED
        error = f"PHP ({php.path}) does not start: {raised.strerror}."
    said = "\n".join(map(Redaction(order.redact), output.text().split("\n")))
    if outcome is Outcome.FAILED and not error:
        lines = [line.strip() for line in said.splitlines() if line.strip()]
        error = f"{order.script} ended with status {status}: {lines[-1] if lines else 'nothing'}"
    return Ended(
        order.mark, outcome, status, error[:_MESSAGE], time.monotonic() - began, said, output.size,
        output.cut,
    )  # fmt: skip


def _carry_out(
    php: PhpBinary, order: Order, stop: threading.Event, output: _Output
) -> tuple[int | None, Outcome, str]:
    path = MoodleTree.open(order.tree).script(order.script)
    argv, environment = php.command(
        [str(path), *ARGUMENTS[order.script]],
        site=order.site,
        die_with_parent=True,
        settings=keeping_compiled(order.compiled),
    )
    process = subprocess.Popen(
        argv,
        env={**environment, MARK: order.mark},
        cwd=path.parent,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        outcome, error = _watch(process, order, stop, output)
    except BaseException:
        end_all(process.pid, order.mark)
        process.wait()
        raise
    finally:
        assert process.stdout is not None  # noqa: S101  made by Popen above
        process.stdout.close()
    status = shell_status(process.wait())
    if outcome is Outcome.OK and status != 0:
        outcome = Outcome.FAILED
    return status, outcome, error


def _watch(
    process: subprocess.Popen[bytes], order: Order, stop: threading.Event, output: _Output
) -> tuple[Outcome, str]:
    """Read what it prints until it has ended, then end what it left; it is not waited for yet."""
    deadline = time.monotonic() + order.timeout
    outcome, error = Outcome.OK, ""
    children: frozenset[Seen] = frozenset()
    assert process.stdout is not None  # noqa: S101  made by Popen above
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while not _has_ended(process):
            _read(selector, process.stdout.fileno(), output, _LOOK_SECONDS)
            if time.monotonic() < deadline and not stop.is_set():
                continue
            if outcome is not Outcome.OK:
                break
            if stop.is_set():
                outcome, error = Outcome.STOPPED, "It was stopped, as the site was needed."
            else:
                outcome = Outcome.TIMEOUT
                error = f"It was ended after {order.timeout:g} seconds, with all it had started."
            children = frozenset(family(process.pid, order.mark))
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            grace = STOP_GRACE_SECONDS if outcome is Outcome.STOPPED else GRACE_SECONDS
            deadline = time.monotonic() + grace
            stop = threading.Event()
        # What is in the pipe by now; a child that was left behind may hold it open for ever.
        while _read(selector, process.stdout.fileno(), output, 0):
            if output.size > 1_000_000_000:
                break
        left = end_all(process.pid, order.mark, more=children)
    if outcome is Outcome.OK and left:
        output.add(f"\n({left} processes that it left behind were ended.)\n".encode())
    return outcome, error


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Tell whether it has ended, and leave it to be waited for: its id stays its own."""
    kind = os.WEXITED | os.WNOHANG | os.WNOWAIT
    return os.waitid(os.P_PID, process.pid, kind) is not None


def _read(selector: selectors.BaseSelector, pipe: int, output: _Output, seconds: float) -> bool:
    if not selector.get_map():
        time.sleep(min(seconds, 0.02))
        return False
    if not selector.select(seconds):
        return False
    chunk = os.read(pipe, _CHUNK)
    if chunk:
        output.add(chunk)
    else:
        selector.unregister(pipe)
    return bool(chunk)


class _Output:
    """Keeps the beginning and the end of what a run prints."""

    def __init__(self, keep: int) -> None:
        self.size = 0
        self.cut = False
        self._half = keep // 2
        self._head = bytearray()
        self._tail: deque[bytes] = deque()
        self._tail_size = 0
        self._last = b""

    def add(self, chunk: bytes) -> None:
        """Take what came."""
        self.size += len(chunk)
        seen = self._last + chunk
        self.cut = self.cut or any(word in seen for word in _CUT)
        self._last = chunk[-max(map(len, _CUT)) :]
        free = self._half - len(self._head)
        self._head += chunk[:free] if free > 0 else b""
        rest = chunk[max(free, 0) :]
        if not rest:
            return
        self._tail.append(rest)
        self._tail_size += len(rest)
        while self._tail_size - len(self._tail[0]) >= self._half:
            self._tail_size -= len(self._tail.popleft())

    def text(self) -> str:
        """Return what is kept, and between beginning and end how much is not."""
        tail = b"".join(self._tail)[-self._half :]
        left_out = self.size - len(self._head) - len(tail)
        middle = f"\n\n(… {left_out:,} bytes left out …)\n\n".encode() if left_out else b""
        return (bytes(self._head) + middle + tail).decode("utf-8", errors="replace")
