"""Accounts of sites on PostgreSQL: roles, their password, and who may act for them."""

from __future__ import annotations

from psycopg import sql

from vmoodle.engines.postgresql_connection import Session
from vmoodle.engines.protocol import SiteDatabase


def has_account(session: Session, account: str) -> bool:
    """Tell whether a role of that name exists."""
    return bool(session.ask("SELECT 1 FROM pg_roles WHERE rolname = %s", (account,)))


def make_account(session: Session, account: str) -> None:
    """Make a role that cannot log in yet."""
    session.do("CREATE ROLE {role} NOLOGIN", role=sql.Identifier(account))


def set_password(session: Session, database: SiteDatabase) -> None:
    """Let the site's role log in; server and log see its password only as a SCRAM verifier."""
    verifier = session.driver.pgconn.encrypt_password(
        database.password.reveal().encode(), database.account.encode(), b"scram-sha-256"
    )
    session.do(
        "ALTER ROLE {role} LOGIN PASSWORD {verifier}",
        role=sql.Identifier(database.account),
        verifier=sql.Literal(verifier.decode()),
    )


def become_member(session: Session, account: str) -> None:
    """Let the administrator act for the role it made; superusers need no such membership."""
    ((superuser,),) = session.ask("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")
    if superuser:
        return
    role = sql.Identifier(account)
    if session.major >= 16:
        session.do("GRANT {role} TO CURRENT_USER WITH INHERIT TRUE, SET TRUE", role=role)
    else:
        session.do("GRANT {role} TO CURRENT_USER", role=role)
