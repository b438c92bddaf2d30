"""Ownership on PostgreSQL: hand what a copied database holds over to the copy's own account."""

from __future__ import annotations

from vmoodle.engines.postgresql_connection import Session

# What CREATE DATABASE … TEMPLATE leaves with the source's account, as the statements that move it.
# REASSIGN OWNED would take the source database itself along.
_CHANGES_OF_OWNER = """
    WITH own AS (SELECT oid FROM pg_roles WHERE rolname = %s),
    heir AS (SELECT quote_ident(%s) AS name),
    extension_part AS (SELECT classid, objid FROM pg_depend WHERE deptype = 'e'),
    belongs_to_column AS (
        SELECT objid FROM pg_depend
         WHERE classid = 'pg_class'::regclass AND refobjsubid > 0 AND deptype IN ('a', 'i')
    )
    SELECT format('ALTER SCHEMA %%I OWNER TO %%s', nspname, heir.name)
      FROM heir, pg_namespace WHERE nspowner IN (SELECT oid FROM own)
    UNION ALL
    SELECT format('ALTER TABLE %%s OWNER TO %%s', c.oid::regclass, heir.name)
      FROM heir, pg_class c
     WHERE relowner IN (SELECT oid FROM own)
       AND (relkind IN ('r', 'p', 'v', 'm', 'f')
            OR relkind = 'S' AND c.oid NOT IN (SELECT objid FROM belongs_to_column))
       AND ('pg_class'::regclass, c.oid) NOT IN (SELECT classid, objid FROM extension_part)
    UNION ALL
    SELECT format('ALTER ROUTINE %%s OWNER TO %%s', p.oid::regprocedure, heir.name)
      FROM heir, pg_proc p
     WHERE proowner IN (SELECT oid FROM own)
       AND ('pg_proc'::regclass, p.oid) NOT IN (SELECT classid, objid FROM extension_part)
    UNION ALL
    SELECT format('ALTER TYPE %%s OWNER TO %%s', t.oid::regtype, heir.name)
      FROM heir, pg_type t LEFT JOIN pg_class c ON c.oid = t.typrelid
     WHERE typowner IN (SELECT oid FROM own) AND typelem = 0
       AND typtype IN ('c', 'd', 'e', 'r') AND COALESCE(c.relkind, 'c') = 'c'
       AND ('pg_type'::regclass, t.oid) NOT IN (SELECT classid, objid FROM extension_part)
"""


def hand_over(session: Session, source: str, target: str) -> None:
    """Give everything that belongs to the source's account in this database to the target's."""
    if source == target:
        return
    with session.driver.transaction():
        for (statement,) in session.ask(_CHANGES_OF_OWNER, (source, target)):
            session.run(statement)
