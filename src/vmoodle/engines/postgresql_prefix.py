"""Table prefixes on PostgreSQL: tables and what is named beside them get another one."""

from __future__ import annotations

from vmoodle.engines.postgresql_connection import Session
from vmoodle.engines.postgresql_ownership import run_all
from vmoodle.engines.prefixes import renamed, text_names_tables

_LONGEST_NAME = 63
# The text of a function is all that PostgreSQL keeps by name: views, defaults of sequences, rules
# and triggers know tables by number, and are shown with the new names.
_FUNCTIONS = """
    SELECT count(*) FROM pg_proc p
     WHERE p.oid >= 16384
       AND NOT EXISTS (SELECT 1 FROM pg_depend d
                        WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid
                          AND d.deptype = 'e')
"""
# ALTER TABLE renames all of these kinds. An index takes its primary or unique constraint along; the
# names of other constraints are a table's own and bind nobody.
_RELATIONS = """
    SELECT c.oid::regclass::text, quote_ident(n.nspname), c.relname
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S', 'i', 'I') AND c.oid >= 16384
       AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'
       AND NOT EXISTS (SELECT 1 FROM pg_depend d
                        WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
                          AND d.deptype = 'e')
     ORDER BY c.oid
"""


def change_prefix(session: Session, database: str, source: str, target: str) -> None:
    """Rename the tables, sequences and indexes of the session's database; contents stay.

    Cut off, it leaves some of both: only for a copy that is made again then.
    """
    if source == target:
        return
    if int(session.ask(_FUNCTIONS)[0][0]):
        raise text_names_tables(database, "functions")
    found = [(str(place), str(space), str(name)) for place, space, name in session.ask(_RELATIONS)]
    statements = []
    for schema in sorted({space for _place, space, _name in found}):
        places = {name: place for place, space, name in found if space == schema}
        names = renamed(places, source, target, longest=_LONGEST_NAME)
        statements += [
            f"ALTER TABLE {places[old]} RENAME TO {_quoted(new)}"
            for old, new in names.items()
            if old != new
        ]
    run_all(session, statements)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
