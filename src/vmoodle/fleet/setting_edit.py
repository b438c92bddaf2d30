"""Settings that a command changes on one site: told beforehand, set, and taken back."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vmoodle.engines.protocol import SiteConnection
from vmoodle.fleet.result import Changed, Table
from vmoodle.fleet.target_site import TargetSite
from vmoodle.moodle.config.effects import entail
from vmoodle.moodle.config.names import SettingName
from vmoodle.moodle.config.settings import (
    Forced,
    SettingChange,
    left_by,
    plan_settings,
    set_settings,
    undo_of,
)

_AS_IT_IS = "is so already"


class Masks:
    """Shows values; of a secret a mark, the same in one run only where the secret is."""

    def __init__(self) -> None:
        self._key = os.urandom(16)

    def shown(self, setting: SettingName, value: str | None) -> str | None:
        """Return a value as it may be seen."""
        if value is None or not setting.hides(value):
            return value
        mark = hashlib.blake2b(value.encode(), key=self._key, digest_size=3).hexdigest()
        return f"*** ({mark})"


@dataclass(frozen=True)
class Wanted:
    """The values a site is to have, None unset; what is left as it is, and why.

    With `create` also settings that the site has not are made. `seen` is what it goes by, as in
    `plan_settings`.
    """

    values: Mapping[SettingName, str | None] = field(repr=False)
    left: Mapping[SettingName, str] = field(default_factory=dict)
    create: bool = False
    seen: Mapping[SettingName, str | None] = field(default_factory=dict, repr=False)


class SettingEdit:
    """Gives a site the settings that `wanted` says, once it has looked into the site."""

    def __init__(
        self, wanted: Callable[[SiteConnection, TargetSite], Wanted], *, minds_forced: bool = True
    ) -> None:
        self._wanted = wanted
        self._minds_forced = minds_forced
        self._masks = Masks()

    def preview(self, site: TargetSite) -> Table:
        """Return what `carry_out` would change; raise as `plan_settings`."""
        with site.connect() as connection:
            wanted = self._wanted(connection, site)
            changes = plan_settings(
                connection, wanted.values, forced=self._forced(site), create=wanted.create,
                seen=wanted.seen,
            )  # fmt: skip
        return self._told(changes, wanted)

    def carry_out(self, site: TargetSite) -> Changed:
        """Set the values, and have Moodle see them at once; raise as `plan_settings`."""
        with site.connect(read_only=False) as connection:
            wanted = self._wanted(connection, site)
            changes = set_settings(
                connection, wanted.values, forced=self._forced(site), create=wanted.create,
                seen=wanted.seen,
            )  # fmt: skip
            stale = entail(connection, changes)
        return Changed(self._told(changes, wanted, site.drop_caches(stale)), as_kept(changes))

    def _forced(self, site: TargetSite) -> Forced:
        return site.forced if self._minds_forced else {}

    def _told(
        self, changes: Collection[SettingChange], wanted: Wanted, notes: Sequence[str] = ()
    ) -> Table:
        changed = {change.setting for change in changes}
        rows = [self._row(change, _note(change.old, change.new)) for change in changes]
        rows += [
            self._row(SettingChange(setting, value, value), _AS_IT_IS)
            for setting, value in wanted.values.items()
            if setting not in changed
        ]
        rows += [(str(setting), None, None, f"left: {why}") for setting, why in wanted.left.items()]
        rows += [("", None, None, note) for note in notes]
        return Table(("setting", "old", "new", "note"), tuple(rows))

    def _row(self, change: SettingChange, note: str) -> tuple[str, str | None, str | None, str]:
        setting, shown = change.setting, self._masks.shown
        return str(setting), shown(setting, change.old), shown(setting, change.new), note


def _note(old: str | None, new: str | None) -> str:
    """Return the word for a setting that was not there, or is not there afterwards."""
    if old is None:
        return "was not set"
    return "is unset" if new is None else ""


def take_back(site: TargetSite, kept: Any, *, dry: bool) -> Table | Changed:
    """Give settings back what they were, by what `as_kept` kept; with `dry` only tell it.

    Raise Conflict `setting.changed`.
    """
    changes = from_kept(kept)
    wanted = Wanted(undo_of(changes), create=True, seen=left_by(changes))
    # What is forced by now has no effect, and goes back all the same.
    edit = SettingEdit(lambda _connection, _site: wanted, minds_forced=False)
    return edit.preview(site) if dry else edit.carry_out(site)


def as_kept(changes: Iterable[SettingChange]) -> list[list[str | None]] | None:
    """Return changes as JSON, None for none."""
    return [
        [change.setting.component, change.setting.name, change.old, change.new]
        for change in changes
    ] or None


def from_kept(kept: Any) -> list[SettingChange]:
    """Return the changes that `as_kept` gave."""
    return [
        SettingChange(SettingName(str(component), str(name)), old, new)
        for component, name, old, new in kept or []
    ]
