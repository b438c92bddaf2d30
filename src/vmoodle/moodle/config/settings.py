"""A site's settings, of Moodle's core and of plugins: read, set, unset, as Moodle's cfg.php does.

As with cfg.php no page's own check runs. What else a change of a setting entails is told by
`setting_effects.py`; drop the caches of what that returns (`caches/invalidation.py`) after the
commit. What is to be written is locked and read first: MariaDB goes on showing what was before to
whoever has read anything of the database.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from vmoodle.engines.protocol import Most, Rows, SiteConnection
from vmoodle.errors import Conflict, Failed, InvalidInput, NotFound, Refused, changed_since
from vmoodle.moodle.config.log import MASKED, log_change
from vmoodle.moodle.config.names import (
    CORE,
    SettingName,
    SettingPattern,
    parse_setting,
    refuse_reserved,
)
from vmoodle.moodle.database.site_schema import marks
from vmoodle.near import did_you_mean, near, nearest

__all__ = ["CORE", "SettingName", "parse_setting"]

Forced = Mapping[str, Mapping[str, object]]
"""What config.php forces: values by name, by component; core is `core` or empty."""

# Moodle 4.5 has some 2,500 of them; a site with many plugins a few times as many.
_MOST = Most(200_000, 50_000_000)


@dataclass(frozen=True)
class SettingValue:
    """A setting on one site: what its database has, and what config.php forces instead.

    None is not set. A forced value that is no text, as a list, is given as JSON and `is_text` is
    False. `repr` shows no value: it may be a secret.
    """

    stored: str | None = field(repr=False)
    is_forced: bool = False
    forced: str | None = field(default=None, repr=False)
    is_text: bool = True

    @property
    def effective(self) -> str | None:
        """Return what Moodle uses."""
        return self.forced if self.is_forced else self.stored

    @property
    def why_not_set(self) -> str:
        """Return why Moodle would not see a change of it, as a sentence's end; empty: it would."""
        return "it is forced: `vmoodle forced list`" if self.is_forced else ""

    @property
    def why_not_given(self) -> str:
        """Return why no other site can be given its value, as a sentence's end; empty: it can."""
        return "" if self.is_text else "it is forced to what is no text"


@dataclass(frozen=True)
class SettingChange:
    """A setting's value before and after; None is not set. `repr` shows neither."""

    setting: SettingName
    old: str | None = field(repr=False)
    new: str | None = field(repr=False)


def read_settings(
    connection: SiteConnection,
    settings: Iterable[SettingName],
    forced: Forced | None = None,
    *,
    lock: bool = False,
) -> dict[SettingName, SettingValue]:
    """Return the value of each of the settings, in two queries.

    With `lock` they are as they are now, one query a component, and nobody else changes those that
    are there before the transaction has ended.
    """
    wanted = list(dict.fromkeys(settings))
    if lock:
        stored = _locked(connection, wanted)
    else:
        patterns = [SettingPattern(setting.component, setting.name) for setting in wanted]
        stored = dict(_stored(connection, patterns))
    return {setting: _value(setting, stored.get(setting), forced or {}) for setting in wanted}


def read_matching(
    connection: SiteConnection, patterns: Iterable[SettingPattern], forced: Forced | None = None
) -> dict[SettingName, SettingValue]:
    """Return the settings that are meant, in order: also forced ones that the database has not.

    One that is named in full is there even when the site has it not. Raise Failed `setting.many`.
    """
    wanted = list(dict.fromkeys(patterns))
    stored = dict(_stored(connection, wanted))
    # In Python again: MariaDB's comparison takes capital and small letters for the same.
    there = {*stored, *_all_forced(forced or {})}
    names = {name for name in there if any(one.matches(name) for one in wanted)}
    names |= {SettingName(one.component, one.name) for one in wanted if one.is_exact}
    return {
        setting: _value(setting, stored.get(setting), forced or {}) for setting in sorted(names)
    }


def read_component(
    connection: SiteConnection, component: str, forced: Forced | None = None
) -> dict[SettingName, SettingValue]:
    """Return all settings of a component, forced ones that the database has not included."""
    return read_matching(connection, [SettingPattern(component, "*")], forced)


def components(connection: SiteConnection) -> list[str]:
    """Return the components other than the core that have a setting."""
    rows = connection.query("SELECT DISTINCT plugin FROM {config_plugins}")
    return sorted(str(row[0]) for row in rows)


def set_settings(
    connection: SiteConnection,
    values: Mapping[SettingName, str | None],
    *,
    forced: Forced | None = None,
    create: bool = False,
    seen: Mapping[SettingName, str | None] | None = None,
    log: bool = True,
) -> tuple[SettingChange, ...]:
    """Give settings their values, None unsets; return those that were not so already.

    With `log` each is written to Moodle's own list of changed settings, secrets masked. Raise as
    `plan_settings`; nothing is changed then.
    """
    changes = plan_settings(connection, values, forced=forced, create=create, seen=seen, lock=True)
    for change in changes:
        _write(connection, change)
        if log:
            masked = change.setting.is_secret
            log_change(
                connection,
                change.setting.name,
                MASKED if masked and change.old else change.old,
                MASKED if masked and change.new else change.new,
                None if change.setting.component == CORE else change.setting.component,
            )
    return changes


def plan_settings(
    connection: SiteConnection,
    values: Mapping[SettingName, str | None],
    *,
    forced: Forced | None = None,
    create: bool = False,
    seen: Mapping[SettingName, str | None] | None = None,
    lock: bool = False,
) -> tuple[SettingChange, ...]:
    """Return what `set_settings` would change.

    `seen` is what the caller goes by: Conflict `setting.changed` is raised for a setting that is
    neither so nor as it is to be. Raise NotFound `setting.unknown` for a setting that the site has
    not, unless with `create`; Refused `setting.forced`, `setting.reserved`; InvalidInput
    `setting.value`.
    """
    for setting, new in values.items():
        refuse_reserved(setting, unset=new is None)
        check_value(setting, new)
    current = read_settings(connection, values, forced, lock=lock)
    for setting, value in current.items():
        refuse_forced(setting, value)
    moved = [
        setting
        for setting, old in (seen or {}).items()
        if setting in current and current[setting].stored not in (old, values[setting])
    ]
    if moved:
        raise _changed(moved)
    for setting, value in current.items():
        if value.stored is None and values[setting] is not None and not create:
            raise unknown_setting(connection, setting)
    return tuple(
        SettingChange(setting, value.stored, values[setting])
        for setting, value in current.items()
        if value.stored != values[setting]
    )


def check_value(setting: SettingName, value: str | None) -> None:
    """Raise InvalidInput `setting.value` for what no setting can be."""
    if value is not None and "\0" in value:
        raise InvalidInput(
            "setting.value", f"The value for {setting} holds a zero byte.", "Give plain text."
        )


def undo_of(changes: Iterable[SettingChange]) -> dict[SettingName, str | None]:
    """Return the values for `set_settings` that take the changes back."""
    return {change.setting: change.old for change in changes}


def left_by(changes: Iterable[SettingChange]) -> dict[SettingName, str | None]:
    """Return the values that the changes left: `seen` of `set_settings` when they go back."""
    return {change.setting: change.new for change in changes}


def unknown_setting(connection: SiteConnection, setting: SettingName) -> NotFound:
    """Return the error for a setting that the site has not, with those that are near."""
    known = [name.name for name in read_component(connection, setting.component)]
    if not known:
        message = f"The site has no setting {setting}, and no other of {setting.component}."
        meant = near(setting.component, components(connection))
    else:
        message = f"The site has no setting {setting}."
        names = nearest(setting.name, known)
        meant = did_you_mean([str(SettingName(setting.component, name)) for name in names])
    hint = (
        without_mod(connection, setting) or meant or "A plugin's setting is named component/name."
    )
    return NotFound("setting.unknown", message, hint)


def without_mod(connection: SiteConnection, setting: SettingName) -> str:
    """Return the hint at quiz/x for mod_quiz/x where the site has it; empty where it has not."""
    activity = SettingName(setting.component.removeprefix("mod_"), setting.name)
    if activity == setting or read_settings(connection, [activity])[activity].stored is None:
        return ""
    return did_you_mean([str(activity)])


def refuse_forced(setting: SettingName, value: SettingValue) -> None:
    """Raise Refused `setting.forced` for a setting whose value in the database does not count."""
    if value.is_forced:
        raise forced_error(setting)


def forced_error(setting: SettingName) -> Refused:
    """Return the error for a setting that config.php forces."""
    return Refused(
        "setting.forced",
        f"{setting} is forced on the site: Moodle would not see the change.",
        f"Change what is forced: `vmoodle forced set {setting}`, or `vmoodle forced unset "
        f"{setting}`; `vmoodle forced list` shows on what.",
    )


def _stored(
    connection: SiteConnection, patterns: list[SettingPattern]
) -> Iterator[tuple[SettingName, str]]:
    """Give what the database has of what is meant: one query a table."""
    core = [(one.name,) for one in patterns if one.component == CORE]
    if core:
        for name, value in _read(connection, "config", ("name",), core):
            yield SettingName(CORE, str(name)), _text(value)
    plugins = [(one.component, one.name) for one in patterns if one.component != CORE]
    if plugins:
        for plugin, name, value in _read(connection, "config_plugins", ("plugin", "name"), plugins):
            yield SettingName(str(plugin), str(name)), _text(value)


def _read(
    connection: SiteConnection,
    table: str,
    columns: tuple[str, ...],
    wanted: Sequence[tuple[str, ...]],
) -> Rows:
    conditions, values = [], []
    for words in wanted:
        parts = []
        for column, word in zip(columns, words, strict=True):
            if word != "*":
                condition, value = _condition(column, word)
                parts.append(condition)
                values.append(value)
        conditions.append(f"({' AND '.join(parts) or '1 = 1'})")
    where = " OR ".join(conditions)
    rows = connection.read(
        f"SELECT {', '.join(columns)}, value FROM {{{table}}} WHERE {where}",  # noqa: S608
        values,
        most=_MOST,
    )
    if rows.cut:
        raise Failed(
            "setting.many", "The site has too many settings to be read at once.", "Name fewer."
        )
    return rows


def _condition(column: str, word: str) -> tuple[str, str]:
    """Return the condition for a name or wildcards; LIKE has its own escapes on each engine."""
    if "*" not in word and "?" not in word:
        return f"{column} = %s", word
    text = word.replace("!", "!!").replace("_", "!_").replace("%", "!%")
    return f"{column} LIKE %s ESCAPE '!'", text.replace("*", "%").replace("?", "_")


def _locked(connection: SiteConnection, settings: Iterable[SettingName]) -> dict[SettingName, str]:
    """Return what the database has of the settings, locked in the same order by everybody."""
    names: dict[str, list[str]] = {}
    for setting in sorted(settings, key=lambda one: (one.component != CORE, one)):
        names.setdefault(setting.component, []).append(setting.name)
    found = {}
    for component, ours in names.items():
        where, key = "name IN", tuple(ours)
        columns, table = f"'{CORE}'", "config"
        if component != CORE:
            where, key = f"plugin = %s AND {where}", (component, *key)
            columns, table = "plugin", "config_plugins"
        rows = connection.query(
            f"SELECT {columns}, name, value FROM {{{table}}} WHERE {where} ({marks(ours)})"  # noqa: S608
            " ORDER BY name FOR UPDATE",
            key,
        )
        for plugin, name, value in rows:
            found[SettingName(str(plugin), str(name))] = _text(value)
    return found


def _write(connection: SiteConnection, change: SettingChange) -> None:
    try:
        touched = _write_row(connection, change)
    except Conflict as error:
        # Two that make the same setting: there is no row that the first could have locked.
        raise _changed([change.setting]) from error
    if touched != 1:
        raise _changed([change.setting])


def _write_row(connection: SiteConnection, change: SettingChange) -> int:
    setting = change.setting
    table, where, key = (
        ("config", "name = %s", (setting.name,))
        if setting.component == CORE
        else ("config_plugins", "plugin = %s AND name = %s", (setting.component, setting.name))
    )
    if change.new is None:
        return connection.execute(f"DELETE FROM {{{table}}} WHERE {where}", key)  # noqa: S608
    if change.old is not None:
        return connection.execute(
            f"UPDATE {{{table}}} SET value = %s WHERE {where}",  # noqa: S608
            (change.new, *key),
        )
    columns = "name" if setting.component == CORE else "plugin, name"
    return connection.execute(
        f"INSERT INTO {{{table}}} ({columns}, value) VALUES ({marks((*key, 0))})",  # noqa: S608
        (*key, change.new),
    )


def _changed(settings: Iterable[SettingName]) -> Conflict:
    return changed_since(
        "setting.changed",
        ", ".join(map(str, settings)),
        "Look at them by `vmoodle config get`; then do it anew, or set them by hand.",
    )


def _value(setting: SettingName, stored: str | None, forced: Forced) -> SettingValue:
    given = _forced(setting.component, forced)
    if setting.name not in given:
        return SettingValue(stored)
    value = given[setting.name]
    return SettingValue(stored, True, _as_php(value), not isinstance(value, list | tuple | dict))


def _forced(component: str, forced: Forced) -> Mapping[str, object]:
    if component == CORE:
        return {**forced.get("", {}), **forced.get(CORE, {})}
    return forced.get(component, {})


def _all_forced(forced: Forced) -> Iterator[SettingName]:
    for component, members in forced.items():
        for name in members:
            yield SettingName(component or CORE, name)


def _as_php(value: object) -> str | None:
    """Return a forced value as PHP makes a text of it, JSON for what PHP makes none of."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "1" if value else ""
    return json.dumps(value, ensure_ascii=False)


def _text(value: object) -> str:
    return "" if value is None else str(value)
