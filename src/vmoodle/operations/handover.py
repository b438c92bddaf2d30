"""Hand over the one-time password that an operation generated: shown once, then forgotten."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from vmoodle.installation import Installation
from vmoodle.registry import operations
from vmoodle.registry.models import OperationState
from vmoodle.secret import Secret


def waits(operation_id: str) -> bool:
    """Tell whether an operation is done and its generated password was not handed over yet."""
    row = operations.find(operation_id)
    return row.state == OperationState.DONE and bool(row.secret_encrypted)


@contextmanager
def handing_over(installation: Installation, operation_id: str) -> Iterator[Secret | None]:
    """Give the password of an operation, None where none waits; forget it when the block ends well.

    A block that raises, because it could not be shown or written, leaves it for the next call.
    """
    if not waits(operation_id):
        yield None
        return
    yield installation.keyring.decrypt(operations.find(operation_id).secret_encrypted)
    operations.take_secret(operation_id)
