"""Table prefixes: what tables of a copy are called when its site has another prefix."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from vmoodle.errors import Conflict, InvalidInput

# Moodle's own limit is 10 characters (lib/ddl/sql_generator.php and each database's driver, 4.5).
_RULE = re.compile(r"([a-z][a-z0-9_]{0,9})?")


def require_prefix(prefix: str, source: str) -> None:
    """Raise InvalidInput (`engine.clone.prefix`) for a prefix that a copy cannot get.

    That of its source it can keep, whatever it is.
    """
    if prefix != source and not _RULE.fullmatch(prefix):
        raise InvalidInput(
            "engine.clone.prefix",
            f"The table prefix {prefix!r} is not a letter followed by at most 9 of a-z, 0-9, _.",
            "Use for example 'mdl_'.",
        )


def renamed(names: Iterable[str], source: str, target: str, *, longest: int) -> Mapping[str, str]:
    """Return each name's name under the target's prefix; one without the source's prefix stays.

    Raise InvalidInput (`engine.clone.prefix`) when a name gets longer than `longest` bytes,
    Conflict (`engine.clone.names`) when two names would be one.
    """
    new = {
        name: target + name[len(source) :] if name.startswith(source) else name for name in names
    }
    for name in new.values():
        if len(name.encode()) > longest:
            raise InvalidInput(
                "engine.clone.prefix",
                f"With the prefix {target!r} the name {name} is longer than the engine takes.",
                "Choose a shorter prefix.",
            )
    if len({name.lower() for name in new.values()}) < len(new):
        raise Conflict(
            "engine.clone.names",
            f"With the prefix {target!r} two tables of the copy would have one name.",
            "Choose another prefix, or remove the tables that are not Moodle's.",
        )
    return new


def text_names_tables(database: str, what: str) -> Conflict:
    """Return the error for a prefix change where text kept in the database names tables."""
    return Conflict(
        "engine.clone.programs",
        f"The database {database} holds {what}, whose text names tables by their prefix.",
        "Give the copy the same prefix, or remove them first.",
    )
