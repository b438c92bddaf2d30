"""Server errors as VMoodle's own: the kinds that all engines have in common."""

from __future__ import annotations

from vmoodle.errors import Conflict, InvalidInput, NotFound, Refused, Unavailable, VMoodleError

_ENDINGS = ".!?:;,"

Fault = tuple[type[VMoodleError], str, str]
"""The type of an error, its code and its hint; the message is the server's."""

DOWN: Fault = (Unavailable, "engine.connect", "Check that the server runs and listens there.")
LOGIN: Fault = (
    Unavailable,
    "engine.login",
    "Check user and password, and from where it may log in: PostgreSQL's pg_hba.conf; MariaDB's "
    "accounts, where an anonymous ''@'localhost' often stands before the one that is meant.",
)
GRANT: Fault = (Refused, "engine.grant", "Give the account the right, then try again.")
NO_DATABASE: Fault = (NotFound, "engine.database.missing", "Check the name of the database.")
DATABASE_EXISTS: Fault = (
    Conflict,
    "engine.database.exists",
    "Choose another name, or remove that database.",
)
NO_ACCOUNT: Fault = (NotFound, "engine.account.missing", "Create the account first.")
NO_GRANT: Fault = (
    NotFound,
    "engine.grant.none",
    "Nothing has to be taken back.",
)
READ_ONLY: Fault = (
    Unavailable,
    "engine.readonly",
    "Name the primary, or end its read-only mode.",
)
TIMEOUT: Fault = (Unavailable, "engine.timeout", "Ask for less at once, or allow more time.")
SILENT: Fault = (
    Unavailable,
    "engine.timeout",
    "Look whether the server is paused or overloaded, or its machine off.",
)
BUSY: Fault = (Unavailable, "engine.busy", "Try again when other work on the database has ended.")
DISK: Fault = (Unavailable, "engine.disk", "Free some space on the database server.")
FULL: Fault = (
    Unavailable,
    "engine.connections",
    "Try again, or raise the server's max_connections.",
)
DUPLICATE: Fault = (Conflict, "engine.sql.duplicate", "A row with that key is there already.")
SYNTAX: Fault = (InvalidInput, "engine.sql", "Look for a typing error where the message points.")
READS_ONLY: Fault = (Refused, "engine.sql.readonly", "This connection only reads.")


def unlisted(kind: type[VMoodleError]) -> Fault:
    """Return the fault of a server error that no table lists."""
    return kind, "engine.sql", "Read the server's message above."


def sentences(text: str) -> str:
    """Return what a program said in lines as sentences on one line, each with its full stop."""
    lines = [" ".join(line.split()) for line in text.splitlines() if line.strip()]
    for place, following in enumerate(lines[1:]):
        if following[0].isupper() and lines[place][-1] not in _ENDINGS:
            lines[place] += "."
    return " ".join(lines)


def stopped(text: str) -> str:
    """Return a text with a full stop, unless it ends as a sentence does."""
    text = text.rstrip()
    return text if text.endswith((".", "!", "?")) else f"{text}."


def said(fault: Fault, text: str, *, about: str = "The database server said") -> VMoodleError:
    """Return the error of a fault, with what the server said."""
    kind, code, hint = fault
    if fault is SYNTAX:
        about = "The SQL is not understood"
    return kind(code, f"{about}: {stopped(text)}", hint)


def unusable_parameters(error: Exception) -> InvalidInput:
    """Return the error for parameters that the driver cannot put into the statement."""
    return InvalidInput(
        "engine.sql.parameters",
        f"The parameters do not fit the statement: {error}.",
        "Give one parameter for each %s, and write a percent sign as %%.",
    )
