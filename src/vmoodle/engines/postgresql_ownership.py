"""Ownership on PostgreSQL: hand what a database holds over to one account."""

from __future__ import annotations

from vmoodle.engines.postgresql_connection import Session

# REASSIGN OWNED would take the account's other databases along. What initdb made (an oid below
# 16384) stays with the administrative account, and so do the parts of extensions.
_CHANGES_OF_OWNER = """
    WITH heir AS (SELECT oid, quote_ident(rolname) AS name FROM pg_roles WHERE rolname = %s),
    extension_part AS (SELECT classid, objid FROM pg_depend WHERE deptype = 'e'),
    belongs_to_column AS (
        SELECT objid FROM pg_depend
         WHERE classid = 'pg_class'::regclass AND refobjsubid > 0 AND deptype IN ('a', 'i')
    )
    SELECT format('ALTER SCHEMA %%I OWNER TO %%s', nspname, heir.name)
      FROM heir, pg_namespace n
     WHERE nspowner <> heir.oid AND n.oid >= 16384 AND nspname NOT LIKE 'pg\\_%%'
    UNION ALL
    SELECT format('ALTER TABLE %%s OWNER TO %%s', c.oid::regclass, heir.name)
      FROM heir, pg_class c
     WHERE relowner <> heir.oid AND c.oid >= 16384
       AND (relkind IN ('r', 'p', 'v', 'm', 'f')
            OR relkind = 'S' AND c.oid NOT IN (SELECT objid FROM belongs_to_column))
       AND ('pg_class'::regclass, c.oid) NOT IN (SELECT classid, objid FROM extension_part)
    UNION ALL
    SELECT format('ALTER ROUTINE %%s OWNER TO %%s', p.oid::regprocedure, heir.name)
      FROM heir, pg_proc p
     WHERE proowner <> heir.oid AND p.oid >= 16384
       AND ('pg_proc'::regclass, p.oid) NOT IN (SELECT classid, objid FROM extension_part)
    UNION ALL
    SELECT format('ALTER TYPE %%s OWNER TO %%s', t.oid::regtype, heir.name)
      FROM heir CROSS JOIN pg_type t LEFT JOIN pg_class c ON c.oid = t.typrelid
     WHERE typowner <> heir.oid AND t.oid >= 16384 AND typelem = 0
       AND typtype IN ('c', 'd', 'e', 'r') AND COALESCE(c.relkind, 'c') = 'c'
       AND ('pg_type'::regclass, t.oid) NOT IN (SELECT classid, objid FROM extension_part)
"""


def hand_over(session: Session, heir: str) -> None:
    """Give everything in this database to an account, whoever had it.

    To repeat it after it was cut off gives the rest.
    """
    run_all(session, [str(row[0]) for row in session.ask(_CHANGES_OF_OWNER, (heir,))])


# Each statement locks a table with its indexes, and the server's memory holds some 6,400 locks for
# all sessions: one transaction for everything would starve a second copy beside it.
_STATEMENTS_PER_TRANSACTION = 200


def run_all(session: Session, statements: list[str]) -> None:
    """Run statements that need no answer, many in one message, each message one transaction.

    All are on the disk when this returns.
    """
    batches = [
        statements[start : start + _STATEMENTS_PER_TRANSACTION]
        for start in range(0, len(statements), _STATEMENTS_PER_TRANSACTION)
    ]
    for batch in batches:
        # The last commit brings those before it to the disk.
        waits = "on" if batch is batches[-1] else "off"
        session.run_batch([f"SET LOCAL synchronous_commit = {waits}", *batch])
