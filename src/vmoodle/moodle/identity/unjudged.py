"""Columns of plugins that VMoodle does not know, which sound like secrets or personal data."""

from __future__ import annotations

import re

from vmoodle.engines.protocol import SiteConnection
from vmoodle.moodle.database.site_schema import SiteSchema
from vmoodle.moodle.identity.entry import Columns, Table
from vmoodle.moodle.identity.secret_names import is_secret_column
from vmoodle.moodle.identity.table import ENTRIES

_LIKE_A_PERSON = re.compile(
    r"e_?mail|phone|mobile|(first|last|middle|full|sur|user|nick)_?name|id_?number"
    r"|(^|_)(address|street|city|postcode|zip|birth(day|date)?|gender|ssn|iban)$"
    r"|(^|_)(last_?|client_?|remote_?)?ip(_?addr(ess)?)?$"
)
# Moodle's own tables with a column of such a name (lib/db/install.xml and those of the plugins
# that come with it, 3.6 to 5.1). What of them is personal, the identity table and PEOPLE judge.
_MOODLES_OWN = frozenset(
    {
        "auth_oauth2_linked_login", "badge", "badge_backpack", "badge_endorsement", "chat_users",
        "cohort", "competency", "competency_framework", "course", "course_categories",
        "course_modules", "course_request", "enrol_lti_tools", "enrol_paypal", "grade_categories",
        "grade_categories_history", "grade_items", "grade_items_history", "grade_outcomes",
        "grade_outcomes_history", "groupings", "groups", "license", "log", "logstore_standard_log",
        "messageinbound_messagelist", "mnet_application", "mnet_host", "mnet_log", "mnet_session",
        "mnet_sso_access_control", "mnetservice_enrol_courses", "oauth2_issuer",
        "oauth2_system_account", "payment_accounts", "question_bank_entries",
        "question_categories", "repository_instances", "sessions", "stored_progress",
        "tool_recyclebin_category", "user",
    }
)  # fmt: skip


def unjudged(connection: SiteConnection, schema: SiteSchema, *, persons: bool) -> tuple[str, ...]:
    """Return the columns with values that sound like secrets and that no rule of VMoodle's judges.

    With `persons` also those that sound like personal data: none is meant to be left. The schema
    must be of all tables. An administrator should look at them before sharing the database.
    """
    found = secret_columns(schema)
    if persons:
        found += [column for column in personal_columns(schema) if column not in found]
    return tuple(
        f"{table}.{name}"
        for table, name in sorted(found)
        if schema.tables[table][name].is_text
        and connection.query(f"SELECT 1 FROM {{{table}}} WHERE {name} <> '' LIMIT 1")  # noqa: S608
    )


def to_look_at(columns: tuple[str, ...]) -> str:
    """Return in words that these columns are left as they are."""
    return f"columns of unknown plugins to look at: {', '.join(columns)}"


def secret_columns(schema: SiteSchema) -> list[tuple[str, str]]:
    """Return the columns that sound like secrets and that the identity table does not mention."""
    return [(table, name) for table, name in _unmentioned(schema) if is_secret_column(name)]


def personal_columns(schema: SiteSchema) -> list[tuple[str, str]]:
    """Return the columns of texts that sound like personal data, in tables not of Moodle's own."""
    return [
        (table, name)
        for table, name in _unmentioned(schema)
        if table not in _MOODLES_OWN
        and schema.tables[table][name].is_text
        and _LIKE_A_PERSON.search(name)
    ]


def _unmentioned(schema: SiteSchema) -> list[tuple[str, str]]:
    mentioned: set[tuple[str, str]] = set()
    emptied: set[str] = set()
    for entry in ENTRIES:
        if isinstance(entry.place, Columns):
            mentioned.update((entry.place.table, name) for name in entry.place.names)
        elif isinstance(entry.place, Table):
            emptied.add(entry.place.name)
    return [
        (table, name)
        for table, columns in schema.tables.items()
        if table not in emptied
        for name in columns
        if (table, name) not in mentioned
    ]
