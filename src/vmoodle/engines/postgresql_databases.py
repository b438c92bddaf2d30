"""Databases on PostgreSQL as a whole: made, owned, closed to others, renamed, dropped."""

from __future__ import annotations

from psycopg import sql

from vmoodle.engines.postgresql_connection import Session

_OWNER = """
    SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = %s
"""


def owner_of(session: Session, name: str) -> str | None:
    """Return the account a database belongs to, None for no database."""
    rows = session.ask(_OWNER, (name,))
    return str(rows[0][0]) if rows else None


def create_empty(session: Session, name: str, owner: str) -> None:
    """Make an empty UTF-8 database."""
    session.do(
        "CREATE DATABASE {name} OWNER {owner} TEMPLATE template0 ENCODING 'UTF8' {locale}",
        name=sql.Identifier(name),
        owner=sql.Identifier(owner),
        locale=_locale(session),
    )


def _locale(session: Session) -> sql.SQL:
    """Keep the server's own sorting where it is UTF-8; no other sorts UTF-8 but the plain C."""
    ((encoding,),) = session.ask(
        "SELECT pg_encoding_to_char(encoding) FROM pg_database WHERE datname = 'template0'"
    )
    return sql.SQL("" if encoding == "UTF8" else "LC_COLLATE 'C' LC_CTYPE 'C'")


def close_to_others(session: Session, name: str) -> None:
    """Let only its owner connect to a database."""
    session.do("REVOKE ALL ON DATABASE {name} FROM PUBLIC", name=sql.Identifier(name))


def drop(session: Session, name: str) -> None:
    """End a database's connections and remove it, when there is one."""
    session.do("DROP DATABASE IF EXISTS {name} WITH (FORCE)", name=sql.Identifier(name))


def end_making(session: Session, name: str) -> None:
    """End what the server still makes under that name for a client that is gone.

    It would be there a moment after somebody saw that it is not.
    """
    session.ask(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
        " WHERE usename = current_user AND pid <> pg_backend_pid() AND state = 'active'"
        " AND starts_with(query, %s)",
        (f"CREATE DATABASE {sql.Identifier(name).as_string()} ",),
    )
