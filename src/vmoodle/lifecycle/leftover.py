"""Drop what VMoodle made for an owner that is no more: proved by the ledger, asked for by name."""

from __future__ import annotations

from pathlib import Path

from vmoodle.errors import Conflict
from vmoodle.installation import Installation
from vmoodle.lifecycle import dataroot
from vmoodle.registry import ledger, owners, servers
from vmoodle.registry.models import LedgerEntry


def drop(installation: Installation, entry: LedgerEntry) -> None:
    """Drop one resource of the ledger whose owner is gone; one that is gone already is forgotten.

    Raise Conflict when it has an owner, or an operation may be at it, by now; Refused for a
    directory outside the base, Unavailable when the server or the disk refuses.
    """
    if entry.owner in owners.known() | owners.busy():
        raise Conflict(
            "leftover.owned",
            f"The {entry.kind} {entry.name} is {entry.owner}'s.",
            "Nothing was dropped.",
        )
    if entry.kind == ledger.DIRECTORY:
        path = Path(entry.name)
        # One that is gone already is only forgotten, wherever it was.
        if path.exists():
            dataroot.remove(installation, path)
    else:
        engine = installation.engine(servers.find(entry.place))
        if entry.kind == ledger.ACCOUNT:
            engine.drop_account(entry.name, if_exists=True)
        else:
            engine.drop_database(engine.anonymous_database(entry.name), if_exists=True)
    ledger.removed(entry.kind, entry.place, entry.name)
