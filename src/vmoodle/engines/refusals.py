"""Errors that all engines raise alike."""

from __future__ import annotations

from collections.abc import Sequence

from vmoodle.engines.address import ServerAddress
from vmoodle.engines.protocol import MissingGrant, SiteDatabase
from vmoodle.errors import Conflict, InvalidInput, NotFound, Refused, Unavailable, VMoodleError


def account_exists(account: str) -> Conflict:
    """Return the error for an account that is there before its time."""
    return Conflict(
        "engine.account.exists",
        f"The account {account} exists already.",
        "Choose another name, or remove that account.",
    )


def no_account(account: str) -> NotFound:
    """Return the error for an account that is not there."""
    return NotFound(
        "engine.account.missing", f"There is no account {account}.", "Create the account first."
    )


def database_exists(name: str) -> Conflict:
    """Return the error for a database that is there before its time."""
    return Conflict(
        "engine.database.exists",
        f"The database {name} exists already.",
        "Choose another name, or remove that database.",
    )


def no_database(name: str) -> NotFound:
    """Return the error for a database that is not there."""
    return NotFound(
        "engine.database.missing",
        f"There is no database {name}.",
        "Check the name of the database.",
    )


def not_empty(name: str) -> Conflict:
    """Return the error for a restore into a database that holds something."""
    return Conflict(
        "engine.database.not_empty",
        f"The database {name} is not empty.",
        "Reset the database first, when what it holds may go.",
    )


def read_only_server(address: ServerAddress) -> Unavailable:
    """Return the error for a server that takes no writes."""
    return Unavailable(
        "engine.readonly",
        f"The database server {address.display()} is read-only.",
        "Name the primary, or end its read-only mode.",
    )


def require_same_prefix(source: SiteDatabase, target: SiteDatabase) -> None:
    """Raise InvalidInput (`engine.clone.prefix`) when a clone would have to rename tables."""
    if source.prefix != target.prefix:
        raise InvalidInput(
            "engine.clone.prefix",
            "A clone keeps its tables' names, so both sites need the same prefix.",
            f"Give the clone the prefix {source.prefix}.",
        )


def with_statements(error: VMoodleError, missing: Sequence[MissingGrant]) -> Refused:
    """Return the error for a missing right, with the statements that give it as the hint."""
    statements = " ".join(grant.statement for grant in missing)
    return Refused(error.code, error.message, f"Run as the server's administrator: {statements}")
