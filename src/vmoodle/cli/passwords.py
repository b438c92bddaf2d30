"""Show a generated password once: on the terminal, or into a file of the administrator's."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from vmoodle.errors import InvalidInput
from vmoodle.secret import Secret

if TYPE_CHECKING:
    from vmoodle.installation import Installation
    from vmoodle.registry.models import Operation


def show_once(installation: Installation, operation: Operation, out: Path | None = None) -> None:
    """Print the password an operation generated, or write it to a new file, then forget it.

    Nothing happens when it generated none, is not done, or the password was shown before.
    """
    from vmoodle.registry import operations
    from vmoodle.registry.models import OperationState

    token = operations.find(operation.id).secret_encrypted
    if operation.state != OperationState.DONE or not token:
        return
    password = installation.keyring.decrypt(token)
    if out is None:
        typer.echo(f"\nadministrator's password (shown once): {password.reveal()}")
    else:
        write_new(out, password)
    operations.take_secret(operation.id)


def write_new(path: Path, password: Secret) -> None:
    """Write a password to a new file of mode 0600; raise InvalidInput when it exists."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise InvalidInput(
            "secret.unwritable",
            f"The password cannot be written to {path}: {error.strerror}.",
            "Name a file that does not exist yet, in a directory this account may write.",
        ) from error
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(password.reveal() + "\n")
