"""Names of a site's database and account: short enough for every engine, never two sites' alike."""

from __future__ import annotations

import hashlib
import re

from vmoodle.errors import InvalidInput

PREFIX = "vm_"
# MySQL 8 takes account names of at most 32 characters; PostgreSQL cuts names at 63.
LONGEST = 32
_HASH_LENGTH = 8
_PREFIX_RULE = re.compile(r"[a-z][a-z0-9_]{0,9}")
_LOOKS_HASHED = re.compile(rf"_[0-9a-f]{{{_HASH_LENGTH}}}$")


def names_for(shortname: str, prefix: str = PREFIX) -> tuple[str, str]:
    """Return the names of the database and of the account of a site.

    Only `a-z`, `0-9` and `_`. A shortname that does not survive unchanged (`a-b`, `A_b`, one that
    is long) gets a piece of its hash, and so does one that already ends like such a piece: no
    two shortnames share a name. Raise InvalidInput for a prefix that no engine would take.
    """
    if not _PREFIX_RULE.fullmatch(prefix):
        raise InvalidInput(
            "engine.name.prefix",
            "The prefix of database names is not a letter followed by at most 9 of a-z, 0-9, _.",
            f"Use for example {PREFIX!r}.",
        )
    if not shortname:
        raise InvalidInput(
            "engine.name.empty", "The shortname is empty.", "Give one letter or more."
        )
    plain = re.sub(r"[^a-z0-9]", "_", shortname.lower())
    room = LONGEST - len(prefix)
    if plain == shortname and len(plain) <= room and not _LOOKS_HASHED.search(plain):
        return prefix + plain, prefix + plain
    digest = hashlib.sha256(shortname.encode("utf-8", "surrogatepass")).hexdigest()[:_HASH_LENGTH]
    name = f"{prefix}{plain[: room - _HASH_LENGTH - 1]}_{digest}"
    return name, name
