"""Errors that reach an administrator: a stable code, a message, a hint and an exit status.

Every code is listed in `docs/reference/errors.md`; a test keeps the page and the code equal.
"""

from __future__ import annotations

from typing import ClassVar


class VMoodleError(Exception):
    """Base of every error VMoodle raises on purpose; its kind decides the exit status."""

    exit_status: ClassVar[int] = 1
    http_status: ClassVar[int] = 500
    kind: ClassVar[str] = "failed"

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint

    def as_problem(self) -> dict[str, object]:
        """Return the error as the members of an RFC 9457 problem document."""
        return {
            "type": f"urn:vmoodle:error:{self.code}",
            "title": self.kind,
            "status": self.http_status,
            "detail": self.message,
            "code": self.code,
            "hint": self.hint,
        }


class InvalidInput(VMoodleError):
    """What was asked for cannot be: a malformed name, URL, path or option. Nothing was changed."""

    exit_status = 2
    http_status = 422
    kind = "invalid input"


class NotFound(VMoodleError):
    """A site, codebase, server or operation of that name does not exist."""

    exit_status = 3
    http_status = 404
    kind = "not found"


class Conflict(VMoodleError):
    """It exists already, is in use, or is in a state that does not allow this."""

    exit_status = 4
    http_status = 409
    kind = "conflict"


class Refused(VMoodleError):
    """VMoodle could but will not: the act would lose data or touch what is not ours."""

    exit_status = 5
    http_status = 403
    kind = "refused"


class Unavailable(VMoodleError):
    """A server, a disk or a program that is needed does not answer as it must."""

    exit_status = 6
    http_status = 503
    kind = "unavailable"


class Failed(VMoodleError):
    """An operation was tried and did not succeed; what it had made was taken back."""


class NeedsAttention(VMoodleError):
    """An operation can go neither forward nor back by itself; a person must choose."""

    exit_status = 7
    http_status = 500
    kind = "needs attention"


def changed_since(code: str, what: str, hint: str) -> Conflict:
    """Return the error for what somebody else has changed since it was read, planned or set."""
    return Conflict(code, f"Changed by somebody else since: {what}.", hint)
