"""Sessions on MariaDB and MySQL that have to end: a site's, and those of processes that died."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress

from vmoodle.engines.mariadb_connection import Session
from vmoodle.errors import Failed, Unavailable
from vmoodle.process import is_gone, this_process

# Seconds for a statement of a connection that is ended to notice.
_PATIENCE = 20
_PROGRAM = "vmoodle"
_OPENING = f"/* {_PROGRAM} "
_CLOSING = " */ "


def mark(session: Session) -> None:
    """Let each statement of the session tell the server's list of sessions whose it is."""
    session.opening = f"{_OPENING}{this_process().text}{_CLOSING}"


def end_forsaken(session: Session) -> None:
    """End what the server still does for processes of this machine that were killed.

    A statement goes on when its client is gone: it would drop or make a database after somebody
    saw that it is there, or that it is not.
    """
    _end(session, lambda _database, statement: is_gone(_process_of(statement)), "a killed process")


def end_own_connections(session: Session, database: str) -> None:
    """End the connections to the database of whoever is logged in, but for the session itself.

    Wait until they have ended; raise Unavailable (`engine.busy`) when they do not.
    """
    _end(session, lambda name, _statement: name == database, f"the database {database}")


def _process_of(statement: str) -> str:
    """Return the name of the process whose statement it is, empty for another's."""
    if not statement.startswith(_OPENING):
        return ""
    return statement.removeprefix(_OPENING).partition(_CLOSING)[0]


def _end(session: Session, is_meant: Callable[[str, str], bool], whose: str) -> None:
    (own,) = session.run("SELECT CONNECTION_ID()")[0]
    deadline = time.monotonic() + _PATIENCE
    while True:
        meant = [
            int(row[0])
            for row in session.run("SHOW PROCESSLIST")
            if row[0] != own and is_meant(str(row[3] or ""), str(row[7] or ""))
        ]
        if not meant:
            return
        if time.monotonic() > deadline:
            raise Unavailable(
                "engine.busy",
                f"Connections of {whose} do not end.",
                "Try again when other work on the database has ended.",
            )
        for number in meant:
            with suppress(Failed):  # 1094: it ended by itself meanwhile
                session.run(f"KILL {number}")
        time.sleep(0.01)
