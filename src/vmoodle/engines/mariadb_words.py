"""Words that statements of MariaDB and MySQL begin with."""

from __future__ import annotations

import re

# In a read-only transaction the server refuses changes of rows, but DDL, SET STATEMENT and EXECUTE
# end that transaction first. So only statements that cannot are let in; the server judges the rest.
_BLANK = r"(?:\s | \( | /\*(?!M?!).*?\*/ | --\s[^\n]*\n | \#[^\n]*\n)*"
_FLAGS = re.VERBOSE | re.DOTALL | re.IGNORECASE
READS = re.compile(
    _BLANK + r"(?:SELECT|WITH|SHOW|EXPLAIN|DESCRIBE|DESC|VALUES|TABLE|CHECKSUM)\b", _FLAGS
)
_WORD = re.compile(_BLANK + r"(?P<word>[A-Za-z_]+)", _FLAGS)
_OTHERS = """
    ALTER ANALYZE BACKUP BEGIN BINLOG CACHE CALL CHANGE CHECK CLONE COMMIT CREATE DEALLOCATE DELETE
    DO DROP END EXECUTE FLUSH GET GRANT HANDLER HELP IMPORT INSERT INSTALL KILL LOAD LOCK OPTIMIZE
    PREPARE PURGE RELEASE RENAME REPAIR REPLACE RESET RESIGNAL RESTART REVOKE ROLLBACK SAVEPOINT SET
    SHUTDOWN SIGNAL START STOP TRUNCATE UNINSTALL UNLOCK UPDATE USE XA
"""


def foreign_word(sql: str) -> str:
    """Return the word that a text begins with where no statement does; empty otherwise."""
    found = _WORD.match(sql)
    word = found["word"] if found else ""
    return "" if READS.match(sql) or word.upper() in _OTHERS.split() else word
