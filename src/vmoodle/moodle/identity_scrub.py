"""Make a Moodle database free of identity, fit to lie as a template from which sites are made."""

from __future__ import annotations

import re
from dataclasses import dataclass

from vmoodle.engines.protocol import SiteConnection
from vmoodle.moodle.identity import ENTRIES
from vmoodle.moodle.identity_apply import Change, apply_entry, read_ids
from vmoodle.moodle.identity_entry import TEMPLATE_CONCERNS, Columns, Table
from vmoodle.moodle.people_removal import remove_people
from vmoodle.moodle.site_schema import SiteSchema, read_schema

_LIKE_A_SECRET = re.compile(
    r"secret|passw|pass$|passphrase|(^|_)token$|tokens?$(?<!prompttokens)|api_?key|access_?key"
    r"|private_?key|salt$|clientid|consumerkey|enrolmentkey"
)
# Columns with such a name that hold none: counts, and whether a password is asked for at all.
_NO_SECRETS = frozenset({"gradepass", "usepassword", "completiontoken", "prompttokens"})


@dataclass(frozen=True)
class ScrubReport:
    """Say what was taken out of the database, and what nobody has judged.

    `unjudged` names columns that sound like secrets, have values, and are in no table of VMoodle's:
    those of plugins it does not know. An administrator should look at them before sharing.
    """

    people: bool
    changes: tuple[Change, ...]
    unjudged: tuple[str, ...]

    @property
    def rows(self) -> int:
        """Return how many rows were deleted or changed in all."""
        return sum(change.rows for change in self.changes)


def scrub(connection: SiteConnection, *, people: bool) -> ScrubReport:
    """Take identity, secrets, sessions, tokens, logs and (without `people`) people out.

    Without `people` the guest and a nameless administrator are left, and courses, categories, the
    front page and activities without what people did in them. With `people` everybody stays, with
    password and data; the first administrator's account becomes nameless all the same.

    Meant for a copy nobody uses yet: large tables are emptied by TRUNCATE, which MariaDB does not
    take back; an interrupted scrub is done again from the start. Files that no row of `files` names
    any more are left in moodledata. Raise Unavailable `identity.config` for what is no Moodle.
    """
    ids = read_ids(connection)
    schema = read_schema(connection)
    changes: list[Change] = []
    for entry in ENTRIES:
        if entry.concern in TEMPLATE_CONCERNS and not (people and entry.keep_when == "people"):
            rows = apply_entry(connection, schema, ids, entry, truncate=True)
            changes.append(Change(entry.label, entry.action, rows, entry.reason))
    if not people:
        changes.extend(remove_people(connection, schema, ids))
    return ScrubReport(
        people, tuple(change for change in changes if change.rows), _unjudged(connection, schema)
    )


def secret_columns(schema: SiteSchema) -> list[tuple[str, str]]:
    """Return the columns that sound like secrets and that the identity table does not mention."""
    judged: set[tuple[str, str]] = set()
    emptied: set[str] = set()
    for entry in ENTRIES:
        if isinstance(entry.what, Columns):
            judged.update((entry.what.table, name) for name in entry.what.names)
        elif isinstance(entry.what, Table):
            emptied.add(entry.what.name)
    return [
        (table, name)
        for table, columns in schema.tables.items()
        if table not in emptied
        for name in columns
        if _LIKE_A_SECRET.search(name) and name not in _NO_SECRETS and (table, name) not in judged
    ]


def _unjudged(connection: SiteConnection, schema: SiteSchema) -> tuple[str, ...]:
    return tuple(
        f"{table}.{name}"
        for table, name in secret_columns(schema)
        if schema.tables[table][name].is_text
        and connection.query(f"SELECT 1 FROM {{{table}}} WHERE {name} <> '' LIMIT 1")  # noqa: S608
    )
