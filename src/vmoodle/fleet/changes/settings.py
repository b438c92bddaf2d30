"""Settings that a command changes on one site: told beforehand, set, and taken back."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vmoodle.engines.protocol import SiteConnection
from vmoodle.errors import NotFound, VMoodleError
from vmoodle.fleet.change_rows import AS_IT_IS, LEFT, change_table
from vmoodle.fleet.result import Cell, Changed, Result, Table
from vmoodle.fleet.target_site import TargetSite
from vmoodle.moodle.config.names import SettingName
from vmoodle.moodle.config.settings import (
    Forced,
    SettingChange,
    left_by,
    plan_settings,
    set_settings,
    undo_of,
    unknown_setting,
)
from vmoodle.moodle.setting_effects import entail
from vmoodle.secret import Keyring, Secret

_NOT_SET = "it is not set there"


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
        row(setting, value, value, AS_IT_IS)
        for setting, value in wanted.values.items()
        if setting not in changed
    ]
    rows += [(str(setting), None, None, f"{LEFT}{why}") for setting, why in wanted.left.items()]
    return change_table(("setting",), rows, notes)


def not_set(connection: SiteConnection, setting: SettingName) -> str:
    """Return in words that a site has not the setting, with what is near."""
    return f"{_NOT_SET}. {unknown_setting(connection, setting).hint}"


def refuse_unset(
    settings: Iterable[SettingName], answers: Collection[Result], failures: Iterable[VMoodleError]
) -> None:
    """Raise NotFound `setting.unknown` for a setting that is set on none of the sites."""
    # Where it is forced the site has it.
    if not answers or any(error.code == "setting.forced" for error in failures):
        return
    told = [
        {str(row[0]): str(row[-1]) for row in answer.rows}
        for answer in answers
        if isinstance(answer, Table)
    ]
    for setting in settings:
        notes = [rows.get(str(setting), "") for rows in told]
        if all(note.startswith(f"{LEFT}{_NOT_SET}") for note in notes):
            hints = (note.partition(". ")[2] for note in notes)
            raise _unknown(f"None of the sites has a setting {setting}.", filter(None, hints))


def refuse_unknown(answers: Collection[Result], failures: Collection[VMoodleError]) -> None:
    """Raise NotFound `setting.unknown` where each of the sites lacks the same setting."""
    said = {error.message for error in failures}
    if not answers and len(said) == 1 and {one.code for one in failures} == {"setting.unknown"}:
        message = said.pop().replace("The site has no setting", "None of the sites has a setting")
        raise _unknown(message, (error.hint for error in failures))


def _unknown(message: str, hints: Iterable[str]) -> NotFound:
    hint = next(iter(hints), "`vmoodle config get` shows what sites have.")
    return NotFound("setting.unknown", message, hint)


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
