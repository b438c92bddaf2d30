"""Give a copy of a Moodle database an identity of its own, before PHP ever runs on it."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo

from vmoodle.engines.protocol import SiteConnection
from vmoodle.errors import Conflict, InvalidInput
from vmoodle.moodle.code.schedule import Schedule, draw
from vmoodle.moodle.database.site_schema import SiteSchema
from vmoodle.moodle.identity.apply import (
    Change,
    SiteIds,
    add_setting,
    apply_entry,
    read_entry_schema,
    read_ids,
    settings_condition,
)
from vmoodle.moodle.identity.entry import COPY_CONCERNS, Action, Columns, Entry, Settings
from vmoodle.moodle.identity.table import ENTRIES
from vmoodle.moodle.identity.values import MAKERS, Fresh, NewIdentity, keys_of, password_hash
from vmoodle.secret import Secret

__all__ = ["AssumeReport", "NewIdentity", "assume"]

_SCHEDULES = (
    "SELECT id, classname, minute, hour, day, month, dayofweek, customised FROM {task_scheduled}"
)
_Values = dict[int, str | int]


@dataclass(frozen=True)
class AssumeReport:
    """Say what was changed, and the new site identifier."""

    changes: tuple[Change, ...]
    siteidentifier: str

    @property
    def rows(self) -> int:
        """Return how many rows were deleted or changed in all."""
        return sum(change.rows for change in self.changes)


def assume(
    connection: SiteConnection,
    identity: NewIdentity,
    *,
    random_tasks: Collection[tuple[str, str]] = frozenset(),
    now: float | None = None,
) -> AssumeReport:
    """Make the copy the site `identity` says, in the caller's transaction.

    Everything by which the original or a sibling could be recognised, entered or continued is
    replaced or emptied; `random_tasks(tree)` of `moodle.schedule` names the tasks whose minutes
    are drawn again. `now` is in unix seconds. Afterwards the site's moodledata must hold no
    `muc/`, `cache/` and `localcache/`, which keep the old identifier
    (cache/classes/config_writer.php 4.5).

    Raise Conflict `identity.admin.taken` when another account has the administrator's user name,
    InvalidInput `password.unusable` and `identity.value.long`, Unavailable `identity.config` for
    what is no Moodle.
    """
    moment = time.time() if now is None else now
    with ThreadPoolExecutor(1) as aside:  # OpenSSL looks for primes while the database works
        keys = aside.submit(keys_of, identity)
        entries = [entry for entry in ENTRIES if _concerns(entry, identity)]
        ids = read_ids(connection)
        copy = _Copy(connection, read_entry_schema(connection, entries), ids, identity)
        copy.refuse_taken_name()
        copy.clear(entries)
        copy.bump_courses(int(moment))
        copy.redraw(random_tasks, moment)
        copy.renew(entries, int(moment), keys)
    return AssumeReport(
        tuple(change for change in copy.changes if change.rows), copy.siteidentifier
    )


def _concerns(entry: Entry, identity: NewIdentity) -> bool:
    """Tell whether the entry is about a copy; the administrator's account only if it is given."""
    if entry.concern not in COPY_CONCERNS:
        return False
    where = "" if isinstance(entry.place, Settings) else entry.place.where
    return ":admin" not in where or identity.admin_password is not None


class _Copy:
    def __init__(
        self,
        connection: SiteConnection,
        schema: SiteSchema,
        ids: SiteIds,
        identity: NewIdentity,
    ) -> None:
        self._connection = connection
        self._schema = schema
        self._ids = ids
        self._identity = identity
        self.changes: list[Change] = []
        self.siteidentifier = ""
        self._old_wwwroot = identity.old_wwwroot or self._known_wwwroot()

    def refuse_taken_name(self) -> None:
        """Raise Conflict when the administrator's new user name is somebody else's."""
        if self._identity.admin_password is None:
            return
        taken = self._connection.query(
            "SELECT 1 FROM {user} WHERE username = %s AND id <> %s"
            " AND mnethostid = (SELECT mnethostid FROM {user} WHERE id = %s)",
            (self._identity.admin_user, self._ids.admin, self._ids.admin),
        )
        if taken:
            raise Conflict(
                "identity.admin.taken",
                f"Another account of the copy is called {self._identity.admin_user!r}.",
                "Choose another user name for the administrator.",
            )

    def clear(self, entries: Iterable[Entry]) -> None:
        """Delete, empty, blank and set what needs no new value; make values row by row."""
        for entry in entries:
            if entry.action is not Action.REGENERATE or entry.kind.startswith("row_"):
                rows = apply_entry(self._connection, self._schema, self._ids, entry)
                self._note(entry, rows)

    def bump_courses(self, now: int) -> None:
        """Raise the revision of every course's caches."""
        if self._schema.has("course", "cacherev"):
            rows = self._connection.execute(
                "UPDATE {course} SET cacherev ="  # noqa: S608
                f" CASE WHEN cacherev >= {now} THEN cacherev + 1 ELSE {now} END"
            )
            self._note(_entry(Action.BUMP, "course"), rows)

    def redraw(self, random: Collection[tuple[str, str]], moment: float) -> None:
        """Draw the random times again, and let every task wait for its next time."""
        if not self._schema.has("task_scheduled", "nextruntime", "customised"):
            return
        after = datetime.fromtimestamp(moment, self._time_zone())
        new: dict[str, _Values] = {"minute": {}, "hour": {}, "dayofweek": {}, "nextruntime": {}}
        for number, name, minute, hour, day, month, dayofweek, customised in self._connection.query(
            _SCHEDULES
        ):
            fields = {"minute": minute, "hour": hour, "dayofweek": dayofweek}
            for field, value in fields.items():
                # What an administrator has set is no draw of Moodle's.
                if not customised and (name, field) in random and str(value).isdigit():
                    fields[field] = new[field][number] = draw(field)
            schedule = Schedule(fields["minute"], fields["hour"], day, month, fields["dayofweek"])
            new["nextruntime"][number] = schedule.next_run(after)
        rows = self._update("task_scheduled", new)
        self._note(_entry(Action.REDRAW, "task_scheduled"), rows)

    def renew(self, entries: list[Entry], now: int, keys: Future[tuple[Secret, ...]]) -> None:
        """Write the values that are the copy's own: settings first, then columns."""
        fresh = self._fresh(keys)
        for table in ("config", "config_plugins"):
            self._renew_settings([entry for entry in entries if entry.table == table], fresh, now)
        self._renew_columns(entries, fresh)

    def _renew_settings(self, entries: list[Entry], fresh: Fresh, now: int) -> None:
        new: _Values = {}
        for entry in entries:
            if not isinstance(entry.place, Settings) or entry.action not in (
                Action.REGENERATE,
                Action.BUMP,
            ):
                continue
            condition, params = settings_condition(entry.place)
            rows = self._connection.query(
                f"SELECT id, value FROM {{{entry.table}}} WHERE {condition}",  # noqa: S608
                params,
            )
            made: _Values = {}
            for number, old in rows:
                value = self._value(entry, fresh, str(old), now)
                if value is not None:
                    made[int(number)] = value
            new.update(made)
            if not rows and entry.create:
                value = self._value(entry, fresh, "", now) or ""
                add_setting(self._connection, entry.place.component, entry.place.names[0], value)
            self._note(entry, len(made) or int(not rows and entry.create))
        if new:
            self._update(entries[0].table, {"value": new})

    def _value(self, entry: Entry, fresh: Fresh, old: str, now: int) -> str | None:
        if entry.action is Action.BUMP:
            return _bumped(old, now)
        value = MAKERS[entry.kind](fresh, old)
        if entry.kind == "siteidentifier":
            self.siteidentifier = value or ""
        return value

    def _renew_columns(self, entries: Iterable[Entry], fresh: Fresh) -> None:
        """Write the columns' new values, all of one row in one statement."""
        together: dict[tuple[str, str], dict[str, tuple[Entry, str]]] = {}
        for entry in entries:
            if entry.action is not Action.REGENERATE or entry.kind.startswith("row_"):
                continue
            if not isinstance(entry.place, Columns):
                continue
            table, (name,) = entry.place.table, entry.place.names
            value = MAKERS[entry.kind](fresh, "")
            if value is not None and self._schema.has(table, name):
                self._refuse_too_long(table, name, value)
                together.setdefault((table, entry.place.where), {})[name] = (entry, value)
        for (table, where), values in together.items():
            assignments = ", ".join(f"{name} = %s" for name in values)
            condition = self._ids.fill(where).replace("%", "%%")
            rows = self._connection.execute(
                f"UPDATE {{{table}}} SET {assignments} WHERE {condition}",  # noqa: S608
                [value for _entry, value in values.values()],
            )
            for entry, _value in values.values():
                self._note(entry, rows)

    def _refuse_too_long(self, table: str, name: str, value: str) -> None:
        length = self._schema.tables[table][name].length
        if length is not None and len(value) > length:
            raise InvalidInput(
                "identity.value.long",
                f"{table}.{name} takes {length} characters, not {len(value)}.",
                "Choose a shorter name, user name or address.",
            )

    def _update(self, table: str, columns: dict[str, _Values]) -> int:
        """Write one value per row and column, all in one statement; return the rows touched."""
        numbers = sorted({number for values in columns.values() for number in values})
        if not numbers:
            return 0
        assignments: list[str] = []
        params: list[str | int] = []
        for column, values in columns.items():
            if values:
                cases = " ".join(f"WHEN {number} THEN %s" for number in values)
                assignments.append(f"{column} = CASE id {cases} ELSE {column} END")
                params += values.values()
        listed = ", ".join(map(str, numbers))
        return self._connection.execute(
            f"UPDATE {{{table}}} SET {', '.join(assignments)} WHERE id IN ({listed})",  # noqa: S608
            params,
        )

    def _fresh(self, keys: Future[tuple[Secret, ...]]) -> Fresh:
        password = self._identity.admin_password
        hashed = "" if password is None else password_hash(password)
        return Fresh(
            self._identity, self._old_wwwroot, hashed, [key.reveal() for key in keys.result()]
        )

    def _known_wwwroot(self) -> str:
        rows = self._connection.query(
            f"SELECT wwwroot FROM {{mnet_host}} WHERE id = {self._ids.localhost}"  # noqa: S608
        )
        return str(rows[0][0]) if rows else ""

    def _time_zone(self) -> tzinfo:
        rows = self._connection.query("SELECT value FROM {config} WHERE name = 'timezone'")
        try:
            return ZoneInfo(str(rows[0][0])) if rows else UTC
        except (KeyError, ValueError, OSError):  # 99, "the server's", or one this machine lacks
            return UTC

    def _note(self, entry: Entry, rows: int) -> None:
        self.changes.append(Change(entry.label, entry.action, rows, entry.reason))


def _bumped(old: str, now: int) -> str | None:
    """Return the revision after the old one; -1 means that nothing is cached, and stays."""
    if not old.isdigit():
        return None
    return str(max(now, int(old) + 1))


def _entry(action: Action, table: str) -> Entry:
    return next(entry for entry in ENTRIES if entry.action is action and entry.table == table)
