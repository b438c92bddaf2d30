"""Errors that a command did not foresee: contained and named, whoever made it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from traceback import format_exception

from vmoodle.errors import Failed, VMoodleError

log = logging.getLogger("vmoodle.fleet")


def unforeseen(error: BaseException, hide: Callable[[str], str] = str) -> Failed:
    """Return the error that is told of a stranger's."""
    return Failed(
        "command.internal",
        "The command met an error that it did not foresee.",
        f"Tell whoever made the command: {type(error).__name__}: {hide(_text(error))}.",
    )


@contextmanager
def contained(where: str, hide: Callable[[str], str] = str) -> Iterator[None]:
    """Raise `command.internal` in place of what a command did not foresee, and log that.

    `hide` takes out of both what nobody may read.
    """
    try:
        yield
    except VMoodleError:
        raise
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a stranger's code does
        log.error("%s: %s", where, hide("".join(format_exception(error))))  # noqa: TRY400
        raise unforeseen(error, hide) from None


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - whatever a stranger's error does
        return "it does not say what"
