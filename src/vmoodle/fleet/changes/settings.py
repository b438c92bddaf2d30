"""Settings that a command changes on one site: told beforehand, set, and taken back."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vmoodle.engines.protocol import SiteConnection
from vmoodle.fleet.change_rows import change_table
from vmoodle.fleet.result import Cell, Changed, Table
from vmoodle.fleet.target_site import TargetSite
from vmoodle.moodle.config.names import SettingName
from vmoodle.moodle.config.settings import (
    Forced,
    SettingChange,
    left_by,
    plan_settings,
    set_settings,
    undo_of,
)
from vmoodle.moodle.setting_effects import entail
from vmoodle.secret import Keyring, Secret

_AS_IT_IS = "is so already"


@dataclass(frozen=True)
class Masks:
    """Shows values; of a secret a mark, the same wherever and whenever the secret is."""

    keyring: Keyring

    def shown(self, setting: SettingName, value: str | None) -> str | None:
        """Return a value as it may be seen."""
        if value is None or not setting.hides(value):
            return value
        return f"*** ({self.keyring.mark(Secret(value))})"


def masks(site: TargetSite) -> Masks:
    """Return what shows the values of a site, by the key of its installation."""
    return Masks(site.installation.keyring)


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

    def preview(self, site: TargetSite) -> Table:
        """Return what `carry_out` would change; raise as `plan_settings`."""
        with site.connect() as connection:
            wanted = self._wanted(connection, site)
            changes = plan_settings(
                connection, wanted.values, forced=self._forced(site), create=wanted.create,
                seen=wanted.seen,
            )  # fmt: skip
        return _told(masks(site), changes, wanted)

    def carry_out(self, site: TargetSite) -> Changed:
        """Set the values, and have Moodle see them at once; raise as `plan_settings`."""
        with site.change() as connection:
            wanted = self._wanted(connection, site)
            changes = set_settings(
                connection, wanted.values, forced=self._forced(site), create=wanted.create,
                seen=wanted.seen,
            )  # fmt: skip
            stale = entail(connection, changes)
        told = _told(masks(site), changes, wanted, site.drop_caches(stale))
        return Changed(told, as_kept(changes))

    def _forced(self, site: TargetSite) -> Forced:
        return site.forced if self._minds_forced else {}


def _told(
    masks: Masks, changes: Collection[SettingChange], wanted: Wanted, notes: Sequence[str] = ()
) -> Table:
    def row(setting: SettingName, old: str | None, new: str | None, note: str) -> tuple[Cell, ...]:
        return str(setting), masks.shown(setting, old), masks.shown(setting, new), note

    changed = {change.setting for change in changes}
    rows = [row(one.setting, one.old, one.new, _note(one.old, one.new)) for one in changes]
    rows += [
        row(setting, value, value, _AS_IT_IS)
        for setting, value in wanted.values.items()
        if setting not in changed
    ]
    rows += [(str(setting), None, None, f"left: {why}") for setting, why in wanted.left.items()]
    return change_table(("setting",), rows, notes)


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
