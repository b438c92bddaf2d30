"""Errors that all engines raise alike."""

from __future__ import annotations

from collections.abc import Sequence

from vmoodle.engines.address import ServerAddress
from vmoodle.engines.protocol import MissingGrant, SiteDatabase
from vmoodle.errors import Conflict, NotFound, Refused, Unavailable, VMoodleError


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


def require_two(source: SiteDatabase, target: SiteDatabase) -> None:
    """Raise Refused (`engine.clone.itself`) when source and target may be the same database."""
    if source.name.lower() == target.name.lower():  # MariaDB may not tell the case
        raise Refused(
            "engine.clone.itself",
            f"The database {source.name} cannot be replaced by a copy of itself.",
            "Give the copy another name.",
        )


def require_site_account(address: ServerAddress, account: str) -> None:
    """Raise Refused (`engine.account.administrative`) for the account VMoodle itself uses."""
    if account == address.user:
        raise Refused(
            "engine.account.administrative",
            f"The account {account} administers the server; no site can have it.",
            "Choose another name for the site's account.",
        )


def foreign_database(name: str) -> Conflict:
    """Return the error for a database that belongs to another account than it must."""
    return Conflict(
        "engine.database.foreign",
        f"The database {name} belongs to another account.",
        "Choose another name; VMoodle does not take over what is not its own.",
    )


def with_statements(error: VMoodleError, missing: Sequence[MissingGrant]) -> Refused:
    """Return the error for a missing right, with the statements that give it as the hint."""
    statements = " ".join(grant.statement for grant in missing)
    return Refused(error.code, error.message, f"Run as the server's administrator: {statements}")
