"""Rights on MariaDB and MySQL: what a site gets, what an administrator needs."""

from __future__ import annotations

import re
from collections.abc import Iterable

from vmoodle.engines.mariadb_connection import Session, quote_name
from vmoodle.engines.names import LONGEST
from vmoodle.engines.protocol import MissingGrant
from vmoodle.errors import Refused

SITE_PRIVILEGES = (
    "SELECT",
    "INSERT",
    "UPDATE",
    "DELETE",
    "CREATE",
    "DROP",
    "REFERENCES",
    "INDEX",
    "ALTER",
    "CREATE TEMPORARY TABLES",
    "LOCK TABLES",
    "EXECUTE",
    "CREATE VIEW",
    "SHOW VIEW",
    "TRIGGER",
)
"""What Moodle and a dump need on the site's own database."""

_GRANT_LINE = re.compile(
    r"GRANT (?P<what>.+?) ON (?P<where>\*|`(?:[^`]|``)*`)\.\* TO .*?(?P<option>WITH GRANT OPTION)?$"
)
# How sites' databases go on after the prefix: a grant on a pattern counts when it covers all these.
_EXAMPLE_ENDS = ("a", "school_1", "9" * LONGEST)


def database_pattern(session: Session, name: str) -> str:
    """Return a database name quoted for GRANT, where `_` and `%` would match other databases.

    MySQL with `partial_revokes` takes names literally, and a backslash with them.
    """
    literal = session.run("SHOW VARIABLES LIKE 'partial_revokes'")
    if any(value == "ON" for _, value in literal):
        return quote_name(name)
    return quote_name(name.replace("\\", "\\\\").replace("_", "\\_").replace("%", "\\%"))


def missing_grants(session: Session, prefix: str) -> list[MissingGrant]:
    """Compare what SHOW GRANTS says of the logged-in account and its roles with what is needed.

    `prefix` is what the names of the sites' databases begin with.
    """
    everywhere, on_sites = _privileges((line for (line,) in _show_grants(session)), prefix)
    (current,) = session.run("SELECT CURRENT_USER()")[0]
    account = "@".join(session.literal(part) for part in str(current).rsplit("@", 1))
    missing = []
    if "CREATE USER" not in everywhere:
        missing.append(MissingGrant("CREATE USER", f"GRANT CREATE USER ON *.* TO {account};"))
    lacking = [privilege for privilege in SITE_PRIVILEGES if privilege not in on_sites]
    if lacking or "GRANT OPTION" not in on_sites:
        privileges = ", ".join(lacking or SITE_PRIVILEGES)
        missing.append(
            MissingGrant(
                f"{privileges} WITH GRANT OPTION",
                f"GRANT {privileges} ON *.* TO {account} WITH GRANT OPTION;",
            )
        )
    if "SELECT" not in everywhere and not lacking and not _sees_accounts(session):
        missing.append(
            MissingGrant("SELECT ON mysql.user", f"GRANT SELECT ON mysql.user TO {account};")
        )
    return missing


def _show_grants(session: Session) -> list[tuple[str]]:
    if session.is_mariadb:
        return [(str(row[0]),) for row in session.run("SHOW GRANTS")]
    (roles,) = session.run("SELECT CURRENT_ROLE()")[0]
    using = "" if roles in (None, "NONE") else f" USING {roles}"
    return [(str(row[0]),) for row in session.run(f"SHOW GRANTS FOR CURRENT_USER(){using}")]


def _privileges(lines: Iterable[str], prefix: str) -> tuple[set[str], set[str]]:
    """Return the privileges held on all databases, and those held on the sites' databases."""
    everywhere: set[str] = set()
    on_sites: set[str] = set()
    for line in lines:
        match = _GRANT_LINE.match(line)
        if not match or not _covers(match["where"], prefix):
            continue
        held = {word.strip().upper() for word in match["what"].split(",")}
        if held & {"ALL", "ALL PRIVILEGES"}:
            held |= {*SITE_PRIVILEGES, "CREATE USER"}
        if match["option"]:
            held.add("GRANT OPTION")
        on_sites |= held
        if match["where"] == "*":
            everywhere |= held
    return everywhere, on_sites | everywhere


def _covers(where: str, prefix: str) -> bool:
    if where == "*":
        return True
    pattern = where[1:-1].replace("``", "`")
    parts = re.findall(r"\\.|.", pattern, re.DOTALL)
    wildcards = {"%": ".*", "_": "."}
    rule = "".join(wildcards.get(part) or re.escape(part[-1]) for part in parts)
    names = (f"{prefix}{end}"[:LONGEST] for end in _EXAMPLE_ENDS)
    return all(re.fullmatch(rule, name, re.DOTALL) for name in names)


def _sees_accounts(session: Session) -> bool:
    try:
        session.run("SELECT 1 FROM mysql.user LIMIT 1")
    except Refused:
        return False
    return True
