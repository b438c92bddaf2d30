"""Show a generated password once: on the terminal, or into a file of the administrator's."""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from vmoodle.cli.output import print_text, say
from vmoodle.errors import InvalidInput

if TYPE_CHECKING:
    from vmoodle.installation import Installation
    from vmoodle.registry.models import Operation

_HINT = "Name a file that does not exist yet, in a directory this account may write."
_MODE = 0o600


@contextmanager
def new_file(path: Path | None) -> Iterator[int | None]:
    """Make the file (0600) before there is a password, and remove it when none was written.

    An empty file of this account's with that mode is what a killed call left, and is taken.
    Gives its descriptor, None where no file is wanted. Raise InvalidInput `secret.unwritable` when
    another one exists, another call has it open, or it cannot be made.
    """
    if path is None:
        yield None
        return
    try:
        descriptor = _open_empty(path)
    except OSError as error:
        raise InvalidInput(
            "secret.unwritable", f"{path} cannot be made: {error.strerror}.", _HINT
        ) from error
    try:
        yield descriptor
    finally:
        if os.fstat(descriptor).st_size == 0:
            path.unlink(missing_ok=True)
        os.close(descriptor)


def _open_empty(path: Path) -> int:
    """Return a descriptor of a new file, or of the one a killed call left; raise OSError."""
    flags = os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        descriptor = os.open(path, flags | os.O_CREAT | os.O_EXCL, _MODE)
    except FileExistsError:
        # Looked at before it is opened: a device may do something when it is.
        if not _is_left_over(path.lstat()):
            raise
        descriptor = os.open(path, flags | os.O_NONBLOCK)
        # A call that lives holds its file, and may have written to it or removed it meanwhile.
        if _hold(descriptor) and _is_left_over(os.fstat(descriptor)):
            return descriptor
        os.close(descriptor)
        raise
    _hold(descriptor)
    return descriptor


def _hold(descriptor: int) -> bool:
    """Lock the file for this process; tell whether that went well."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _is_left_over(status: os.stat_result) -> bool:
    return (
        stat.S_ISREG(status.st_mode)
        and stat.S_IMODE(status.st_mode) == _MODE
        and status.st_uid == os.geteuid()
        and status.st_size == 0
        and status.st_nlink == 1
    )


def show_once(installation: Installation, operation: Operation, out: int | None = None) -> None:
    """Print the password an operation generated, or write it to a new file, then forget it.

    Where it generated none, is not done, or the password was shown before, a file stays empty.
    """
    from vmoodle.operations.handover import handing_over

    with handing_over(installation, operation.id) as password:
        if password is None:
            if out is not None:
                say("there is no password to write: none was generated, or it was shown before")
        elif out is None:
            print_text(f"\nadministrator's password (shown once): {password.reveal()}")
        else:
            write(out, f"{password.reveal()}\n", operation)


def waits(operation: Operation) -> bool:
    """Tell whether an operation is done and its generated password was not shown yet."""
    from vmoodle.operations import handover

    return handover.waits(operation.id)


def how_to_get(operation: Operation) -> str:
    """Return the call that writes the waiting password of an operation to a file."""
    return f"vmoodle operation follow {operation.id} --password-out FILE"


def write(descriptor: int, text: str, operation: Operation) -> None:
    """Append the line with the password of an operation to a new file, all of it or nothing.

    Raise InvalidInput `secret.unwritable`; the password is kept then.
    """
    before = os.lseek(descriptor, 0, os.SEEK_END)
    rest = text.encode()
    try:
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        os.fsync(descriptor)
    except OSError as error:
        os.ftruncate(descriptor, before)
        raise InvalidInput(
            "secret.unwritable",
            f"The password cannot be written: {error.strerror}.",
            f"It is kept: {how_to_get(operation)}",
        ) from error
