"""Make a Moodle database free of identity, fit to lie as a template from which sites are made."""

from __future__ import annotations

from dataclasses import dataclass

from vmoodle.engines.protocol import SiteConnection
from vmoodle.moodle.database.site_schema import read_schema
from vmoodle.moodle.identity.apply import Change, apply_entry, read_ids
from vmoodle.moodle.identity.entry import TEMPLATE_CONCERNS
from vmoodle.moodle.identity.people_removal import remove_people
from vmoodle.moodle.identity.table import ENTRIES
from vmoodle.moodle.identity.unjudged import unjudged


@dataclass(frozen=True)
class ScrubReport:
    """Say what was taken out of the database, and what nobody has judged.

    `unjudged` names columns that sound like secrets (without `people` also like personal data),
    have values, and are in no table of VMoodle's: those of plugins it does not know. An
    administrator should look at them before sharing.
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
        people,
        tuple(change for change in changes if change.rows),
        unjudged(connection, schema, persons=not people),
    )
