"""What a server still does for a process that was killed ends before the next change."""

from __future__ import annotations

import os
import signal
from typing import Any

from servers import wait_until
from vmoodle.engines.mariadb import MariaDB
from vmoodle.engines.postgresql import PostgreSQL
from vmoodle.engines.protocol import Engine, SiteDatabase

_LONG: dict[type, str] = {MariaDB: "SELECT SLEEP(600)", PostgreSQL: "SELECT pg_sleep(600)"}
_AT_WORK: dict[type, str] = {
    MariaDB: "SELECT id FROM information_schema.processlist WHERE info LIKE '%SLEEP(600)'",
    PostgreSQL: "SELECT pid FROM pg_stat_activity WHERE state = 'active'"
    " AND query LIKE '%pg_sleep(600)'",
}


def ask(engine: Engine, statements: dict[type, str], *, writes: bool) -> int:
    """Return how many rows the engine's statement of these gives its administrator."""
    administrator: Any = engine
    with administrator._administer(writes=writes) as session:
        statement = next(statements[kind] for kind in statements if isinstance(engine, kind))
        return len((session.run if isinstance(engine, MariaDB) else session.ask)(statement))


def at_work(engine: Engine) -> int:
    """Return how many of the long statements the server still works on."""
    return ask(engine, _AT_WORK, writes=False)


def begin_a_long_statement(engine: Engine) -> int:
    """Return the process that waits for its end."""
    process = os.fork()
    if process:
        return process
    try:
        ask(engine, _LONG, writes=True)
    finally:
        os._exit(1)


def test_a_statement_whose_process_was_killed_ends_before_the_next_change(
    engine: Engine, site: SiteDatabase
) -> None:
    alive, killed = begin_a_long_statement(engine), begin_a_long_statement(engine)
    try:
        wait_until(lambda: at_work(engine) == 2, "both statements")
        os.kill(killed, signal.SIGKILL)
        os.waitpid(killed, 0)
        assert at_work(engine) == 2, "the server did not notice by itself"

        engine.drop_database(site)

        assert at_work(engine) == 1, "the living process' statement goes on"
    finally:
        os.kill(alive, signal.SIGKILL)
        os.waitpid(alive, 0)
        engine.drop_database(site, if_exists=True)
    assert at_work(engine) == 0
