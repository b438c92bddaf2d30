"""Copies of whole databases inside a PostgreSQL server."""

from __future__ import annotations

from psycopg import sql

from vmoodle.engines.postgresql_connection import Session
from vmoodle.engines.postgresql_databases import drop
from vmoodle.engines.protocol import SiteDatabase
from vmoodle.errors import Conflict, Failed, InvalidInput, Unavailable

# Of clients: a background worker (autovacuum) has no user, and the server ends it by itself.
_IN_USE = "SELECT 1 FROM pg_stat_activity WHERE datname = %s AND usesysid IS NOT NULL LIMIT 1"
# A fresh Moodle is 3,200 small files. Copying files was measured at half the time of copying pages
# through the log in memory and a fifth on the embedded server's disk; on the disk of a busy 15 they
# were alike. Servers before 15 know no other way, and no word for it.
_STRATEGY = "STRATEGY FILE_COPY"
# What a copy meets that the server still makes for a client that is gone.
_MADE_MEANWHILE = ("engine.database.exists", "engine.sql.duplicate")


def copy_files(
    session: Session, source: SiteDatabase, target: SiteDatabase, *, live: bool, replace: bool
) -> bool:
    """Make the target database from the source's files; return whether nobody was in the way.

    The server wants no other connection to the source. In a `live` one there is no end to them; to
    another the server itself waits 5 s for one that looks at it.
    """
    if live and session.ask(_IN_USE, (source.name,)):
        return False
    try:
        try:
            _create(session, source, target)
        except Conflict as error:
            if not replace or error.code not in _MADE_MEANWHILE:
                raise
            drop(session, target.name)
            _create(session, source, target)
    except Unavailable as error:
        if error.code != "engine.busy":
            raise
        return False
    return True


def _create(session: Session, source: SiteDatabase, target: SiteDatabase) -> None:
    if session.major >= 18:
        # Shares the blocks where the file system can (Btrfs, XFS, ZFS), else the kernel copies.
        try:
            session.run("SET file_copy_method = clone")
            _create_database(session, source, target)
        except (Failed, InvalidInput):  # a system without it
            session.run("RESET file_copy_method")
        else:
            return
    _create_database(session, source, target)


def _create_database(session: Session, source: SiteDatabase, target: SiteDatabase) -> None:
    session.do(
        "CREATE DATABASE {target} OWNER {owner} TEMPLATE {source} {strategy}",
        target=sql.Identifier(target.name),
        owner=sql.Identifier(target.account),
        source=sql.Identifier(source.name),
        strategy=sql.SQL(_STRATEGY if session.major >= 15 else ""),
    )
