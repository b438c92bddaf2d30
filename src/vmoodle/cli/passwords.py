"""Show a generated password once: on the terminal, or into a file of the administrator's."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from vmoodle.cli.output import say
from vmoodle.errors import InvalidInput
from vmoodle.secret import Secret

if TYPE_CHECKING:
    from vmoodle.installation import Installation
    from vmoodle.registry.models import Operation


def show_once(installation: Installation, operation: Operation) -> None:
    """Print the password an operation generated, if it was not shown yet, and forget it."""
    password = take(installation, operation)
    if password is not None:
        say(f"administrator's password (shown once): {password.reveal()}")


def take(installation: Installation, operation: Operation) -> Secret | None:
    """Return the generated password of a finished operation and forget it."""
    from vmoodle.registry import operations
    from vmoodle.registry.models import OperationState

    if operation.state != OperationState.DONE:
        return None
    token = operations.take_secret(operation.id)
    return installation.keyring.decrypt(token) if token else None


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
