"""Run one stock Moodle CLI script for one site, and keep secrets out of its command line."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vmoodle.errors import InvalidInput, Unavailable
from vmoodle.moodle.code.tree import MoodleTree
from vmoodle.moodle.php.binary import PhpBinary
from vmoodle.moodle.scripts.redaction import Redaction
from vmoodle.secret import Secret

Argument = str | Secret

TAIL_LINES = 200
_GRACE_SECONDS = 5.0
_LONGEST_LINE = 65536
_LOOK_SECONDS = 0.2

# Runs a script with arguments that arrive by standard input, each ended by NUL, as the script
# would see them had they been given to PHP. `require` stands in the global scope, where Moodle's
# scripts expect to be.
_BOOTSTRAP = (
    "$argv = explode(chr(0), (string) stream_get_contents(STDIN)); array_pop($argv);"
    " $argc = count($argv); $_SERVER['argv'] = $argv; $_SERVER['argc'] = $argc;"
    " $_SERVER['SCRIPT_NAME'] = $_SERVER['SCRIPT_FILENAME'] = $_SERVER['PHP_SELF']"
    " = $_SERVER['PATH_TRANSLATED'] = $argv[0];"
    " require $argv[0];"
)


@dataclass(frozen=True)
class CompletedScript:
    """How a script ended; `output_tail` is its last lines, secrets replaced by ***.

    A script that a signal ended has the status 128 + signal, as in a shell.
    """

    exit_status: int
    output_tail: str


def run_script(
    tree: MoodleTree,
    php: PhpBinary,
    script: str,
    args: Sequence[Argument] = (),
    *,
    site: str | None,
    timeout: float,
    redact: Sequence[Secret] = (),
    on_line: Callable[[str], None] | None = None,
    tail_lines: int | None = TAIL_LINES,
    stopped: threading.Event | None = None,
    settings: Mapping[str, str] | None = None,
) -> CompletedScript:
    """Run a script of the tree for a site and wait for it, at most `timeout` seconds.

    The script runs in its own directory and process group, as the web account when the caller is
    root, and is killed when the calling thread or process is, or once `stopped` is set. Arguments
    that are a Secret never stand on a command line; what is secret, and what follows the first =
    in `--option=value`, is *** in the output, as is each of `redact`. `tail_lines` of the output
    are kept, all of it for None. `settings` are PHP's own.

    Raise InvalidInput `exec.script` for no script of the tree, `exec.argument` for an argument
    with NUL, Unavailable `php.timeout` after killing the whole group, `php.failed` when PHP does
    not start.
    """
    path = tree.script(script)
    secrets = [argument for argument in args if isinstance(argument, Secret)]
    words = [str(path), *(_text(argument) for argument in args)]
    if any("\0" in word for word in words):
        raise InvalidInput("exec.argument", "An argument has a NUL character in it.")
    hide = Redaction([*secrets, *redact])
    if secrets:
        argv, environment = php.command(
            ["-r", _BOOTSTRAP],
            site=site,
            die_with_parent=True,
            settings={**(settings or {}), "disable_functions": _without_process_title(php)},
        )
        given = "".join(f"{word}\0" for word in words).encode("utf-8", "surrogateescape")
    else:
        argv, environment = php.command(
            words, site=site, die_with_parent=True, settings=dict(settings or {})
        )
        given = b""
    return _carry_out(
        _Call(script, php.path, argv, environment, path.parent, given, hide),
        timeout=timeout, on_line=on_line, tail_lines=tail_lines, stopped=stopped,
    )  # fmt: skip


def run_code(
    tree: MoodleTree,
    php: PhpBinary,
    code: str,
    *,
    site: str,
    what: str,
    timeout: float,
    given: str = "",
    redact: Sequence[Secret] = (),
) -> CompletedScript:
    """Run a few lines of PHP inside a site, behind its config.php; `what` names them in errors.

    For what Moodle has a function and no script. `given` is standard input: what may be secret, and
    what is not ours, comes by it and never in the code. Raise as `run_script`.
    """
    start = f"define('CLI_SCRIPT', true); require {_php_text(str(tree.root / 'config.php'))};"
    argv, environment = php.command(["-r", start + code], site=site, die_with_parent=True)
    call = _Call(what, php.path, argv, environment, tree.root, given.encode(), Redaction(redact))
    return _carry_out(call, timeout=timeout, tail_lines=None)


@dataclass(frozen=True)
class _Call:
    """A program to be run: what it is, its words, its place, its input, and what it may not say."""

    what: str
    php: Path
    argv: Sequence[str]
    environment: dict[str, str]
    directory: Path
    given: bytes
    hide: Callable[[str], str]


def _carry_out(
    call: _Call,
    *,
    timeout: float,
    on_line: Callable[[str], None] | None = None,
    tail_lines: int | None = TAIL_LINES,
    stopped: threading.Event | None = None,
) -> CompletedScript:
    """Run the program to its end or to the limit, as `run_script` says."""
    process = _start(call)
    tail: deque[str] = deque(maxlen=tail_lines)

    def take(line: bytes) -> None:
        text = call.hide(line.decode("utf-8", errors="replace").rstrip("\r\n"))
        tail.append(text)
        if on_line is not None:
            on_line(text)

    limit = _Limit(time.monotonic() + timeout, stopped or threading.Event())
    longest = None if tail_lines is None else _LONGEST_LINE
    try:
        _hand_over(process, call.given)
        finished = _read_lines(process, limit, take, longest) and _wait_until(process, limit)
    except BaseException:
        _kill_group(process)
        raise
    if not finished:
        _kill_group(process)
        if not limit.stopped.is_set():
            raise Unavailable(
                "php.timeout",
                f"{call.what} was stopped after {timeout:g} seconds. Its last line: "
                f"{tail[-1] if tail else '(none)'}",
                "Raise php.script_timeout in vmoodle.toml if it was still at work.",
            )
    status = process.wait()
    return CompletedScript(shell_status(status), "\n".join(tail))


def _start(call: _Call) -> subprocess.Popen[bytes]:
    """Start the program in a group of its own, which can be ended whole; raise Unavailable."""
    try:
        return subprocess.Popen(
            call.argv,
            env=call.environment,
            cwd=call.directory,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as error:
        raise Unavailable(
            "php.failed",
            f"PHP ({call.php}) does not start: {error.strerror}.",
            "Run `vmoodle doctor`; it checks PHP and the web account.",
        ) from error


def shell_status(status: int) -> int:
    """Return the status of a process as a shell tells it: 128 + signal where one ended it."""
    return status if status >= 0 else 128 - status


@dataclass(frozen=True)
class _Limit:
    """Until when a script may run: a time of the monotonic clock, or an event if that is first."""

    deadline: float
    stopped: threading.Event

    @property
    def is_reached(self) -> bool:
        return self.stopped.is_set() or time.monotonic() >= self.deadline

    @property
    def next_look(self) -> float:
        """Return the seconds to wait for anything else before the limit is looked at again."""
        return min(max(self.deadline - time.monotonic(), 0.01), _LOOK_SECONDS)


def _hand_over(process: subprocess.Popen[bytes], given: bytes) -> None:
    """Write the script's standard input and close it."""
    assert process.stdin is not None  # noqa: S101  made by Popen above
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(given)
        process.stdin.flush()
    with contextlib.suppress(BrokenPipeError):
        process.stdin.close()


def _read_lines(
    process: subprocess.Popen[bytes],
    limit: _Limit,
    take: Callable[[bytes], None],
    longest: int | None,
) -> bool:
    """Give each line of output to `take`, in pieces above `longest` bytes; False at the limit.

    A child that the script left running may hold the pipe open: the script's own end counts.
    """
    assert process.stdout is not None  # noqa: S101  made by Popen above
    rest = b""
    with process.stdout, selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while True:
            ended = process.poll() is not None
            if limit.is_reached and not ended:
                return False
            if not selector.select(0 if ended else limit.next_look):
                if ended:
                    break
                continue
            chunk = os.read(process.stdout.fileno(), 65536)
            if not chunk:
                break
            *lines, rest = (rest + chunk).split(b"\n")
            if longest is not None and len(rest) > longest:
                lines, rest = [*lines, rest], b""
            for line in lines:
                take(line)
    if rest:
        take(rest)
    return True


def _wait_until(process: subprocess.Popen[bytes], limit: _Limit) -> bool:
    while process.poll() is None:
        if limit.is_reached:
            return False
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(limit.next_look)
    return True


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    """End the script and all it started: asked first, then killed."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_GRACE_SECONDS)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _text(argument: Argument) -> str:
    return argument.reveal() if isinstance(argument, Secret) else argument


def _php_text(text: str) -> str:
    """Return a text as PHP writes it."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _without_process_title(php: PhpBinary) -> str:
    """Return PHP's disable_functions with the one that would show the arguments in `ps`.

    cli_set_process_title_suffix() joins $_SERVER['argv'] into the title (lib/clilib.php, 4.5).
    """
    disabled = php.facts().settings.get("disable_functions", "")
    return ",".join(filter(None, (disabled, "cli_set_process_title")))
