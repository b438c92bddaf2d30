"""Sanitise a clone by a policy: mail, cron, secrets and people made harmless, as declared."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from vmoodle.engines.protocol import SiteConnection
from vmoodle.errors import InvalidInput, NotFound
from vmoodle.moodle.database.site_schema import SiteSchema, read_schema
from vmoodle.moodle.identity.apply import Change, SiteIds, apply_entry, read_entry_schema, read_ids
from vmoodle.moodle.identity.entry import Action, Columns, Concern, Entry
from vmoodle.moodle.identity.pseudonyms import person_value
from vmoodle.moodle.identity.sanitise_rules import CRON_OFF, MAIL, OUT_OF_SIGHT, PEOPLE
from vmoodle.moodle.identity.table import ENTRIES
from vmoodle.moodle.identity.unjudged import unjudged


@dataclass(frozen=True)
class Policy:
    """Name a way to sanitise: concerns of the identity table that go, and rules of its own."""

    name: str
    title: str
    concerns: frozenset[Concern]
    own: tuple[Entry, ...]

    @property
    def rules(self) -> tuple[Entry, ...]:
        """Return everything the policy does, in order, each with its reason and source."""
        chosen = (
            entry
            for entry in ENTRIES
            if entry.concern in self.concerns and entry.action not in (Action.REDRAW, Action.BUMP)
        )
        return (*chosen, *self.own)

    @property
    def makes_up_people(self) -> bool:
        """Tell whether people get made-up names."""
        return any(entry.kind.startswith("person_") for entry in self.own)


@dataclass(frozen=True)
class SanitiseReport:
    """Say what a policy changed, and which columns of unknown plugins nobody has judged."""

    policy: str
    changes: tuple[Change, ...]
    unjudged: tuple[str, ...]

    @property
    def rows(self) -> int:
        """Return how many rows were deleted or changed in all."""
        return sum(change.rows for change in self.changes)


_SECRETS = frozenset({Concern.ACCESS, Concern.CREDENTIAL, Concern.STATE})

POLICIES: Mapping[str, Policy] = {
    policy.name: policy
    for policy in (
        Policy(
            "staging",
            "For trying things out by the same people: no mail or diverted mail, no cron, no"
            " tokens, no secrets of other systems. People and their data stay.",
            _SECRETS,
            (*MAIL, *CRON_OFF, *OUT_OF_SIGHT),
        ),
        Policy(
            "anonymous",
            "For developers and support: as staging, and people get made-up names; logs,"
            " messages, private files and backups are gone. What they did in courses stays.",
            _SECRETS | {Concern.HISTORY},
            (*MAIL, *CRON_OFF, *OUT_OF_SIGHT, *PEOPLE),
        ),
        Policy(
            "training",
            "For practising: people as in anonymous, no mail, but cron runs, so that activities"
            " behave as they do in earnest.",
            _SECRETS | {Concern.HISTORY},
            (*MAIL, *OUT_OF_SIGHT, *PEOPLE),
        ),
    )
}
"""All policies, by name."""


def find_policy(name: str) -> Policy:
    """Return the policy of a name; raise NotFound `sanitise.unknown`."""
    if name not in POLICIES:
        raise NotFound(
            "sanitise.unknown",
            f"There is no sanitise policy {name!r}.",
            f"Known are: {', '.join(POLICIES)}.",
        )
    return POLICIES[name]


def apply(
    connection: SiteConnection, policy: Policy, seed: str, *, divert_to: str | None = None
) -> SanitiseReport:
    """Sanitise the site in the caller's transaction, before PHP runs on it and before `assume`.

    (In that order the administrator `assume` names keeps the address given there.)
    The same seed gives the same person the same made-up name. With `divert_to` all mail goes to
    that address instead of nowhere. Files whose rows are deleted stay in moodledata until Moodle's
    own cleaning. Raise InvalidInput `sanitise.seed` for an empty seed (names could be guessed),
    Unavailable `identity.config` for what is no Moodle.
    """
    if not seed:
        raise InvalidInput(
            "sanitise.seed",
            "Made-up names need a seed that nobody can guess.",
            "Give a random text, and keep it if the same names are wanted again.",
        )
    ids = read_ids(connection)
    schema = read_entry_schema(connection, policy.rules)
    changes = []
    for entry in policy.rules:
        rows = _apply(connection, schema, ids, _decided(entry, divert_to), seed)
        if rows:
            changes.append(Change(entry.label, entry.action, rows, entry.reason))
    left = unjudged(connection, read_schema(connection), persons=policy.makes_up_people)
    return SanitiseReport(policy.name, tuple(changes), left)


def _decided(entry: Entry, divert_to: str | None) -> Entry:
    """Return the mail rules with the value the caller's choice gives them."""
    values = {"mail_off": "0" if divert_to else "1", "mail_divert": divert_to or ""}
    if entry.kind not in values:
        return entry
    return Entry(
        entry.place, entry.action, entry.concern, entry.reason, entry.source,
        value=values[entry.kind], create=entry.create,
    )  # fmt: skip


def _apply(
    connection: SiteConnection, schema: SiteSchema, ids: SiteIds, entry: Entry, seed: str
) -> int:
    if not entry.kind.startswith("person_"):
        return apply_entry(connection, schema, ids, entry)
    if not isinstance(entry.place, Columns) or not schema.has(entry.table, *entry.place.names):
        return 0
    (column,) = entry.place.names
    # In the text of a statement only as hexadecimal digits.
    secret = hashlib.sha256(seed.encode()).hexdigest()
    value = person_value(entry.kind, f"MD5(CONCAT('{secret}', id))")
    return connection.execute(
        f"UPDATE {{{entry.table}}} SET {column} = {value}"  # noqa: S608
        f" WHERE {ids.fill(entry.place.where)}"
    )
