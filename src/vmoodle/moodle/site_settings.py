"""A site's settings, of Moodle's core and of plugins: read, set, unset, as Moodle's cfg.php does.

Call `cache_invalidation.invalidate` with `Change.SETTINGS` after the commit. As with cfg.php no
page's own check or callback runs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from fnmatch import fnmatchcase

from vmoodle.engines.protocol import SiteConnection
from vmoodle.errors import InvalidInput, NotFound, Refused
from vmoodle.moodle.config_log import MASKED, log_change
from vmoodle.moodle.identity import ENTRIES
from vmoodle.moodle.identity_access import SECRET_NAMES
from vmoodle.moodle.identity_entry import COPY_CONCERNS, Action, Concern, Settings
from vmoodle.moodle.site_schema import marks

CORE = "core"
Forced = Mapping[str, Mapping[str, object]]
"""What config.php forces: values by name, by component; core is `core` or empty."""

# lib/adminlib.php, admin_setting::parse_setting_name, 4.5 and 5.1; lengths from lib/db/install.xml.
_WORD = re.compile(r"[a-zA-Z0-9_]+")
_LONGEST_IN_CORE, _LONGEST_IN_PLUGINS = 255, 100
# What a site says about itself, and not what an administrator sets.
_RESERVED = {
    CORE: ("siteidentifier", "version", "release", "branch", "allversionshash", "allcomponenthash"),
    "*": ("version",),
}
_OTHER_SECRETS = ("*pass", "secret", "key", "apikey", "token", "openssl*", "*passphrase", "*salt")


@dataclass(frozen=True, order=True)
class SettingName:
    """Name a setting: its component (`core` for Moodle's core) and its name there."""

    component: str
    name: str

    def __str__(self) -> str:
        return self.name if self.component == CORE else f"{self.component}/{self.name}"

    @property
    def is_secret(self) -> bool:
        """Tell whether the name is one under which Moodle or a plugin keeps a secret."""
        patterns = (*SECRET_NAMES, *_OTHER_SECRETS, *_credentials(self.component))
        return any(fnmatchcase(self.name, pattern) for pattern in patterns)


@dataclass(frozen=True)
class SettingValue:
    """A setting on one site: what its database has, and what config.php forces instead.

    None is not set. `repr` shows no value: it may be a secret.
    """

    stored: str | None = field(repr=False)
    is_forced: bool = False
    forced: str | None = field(default=None, repr=False)

    @property
    def effective(self) -> str | None:
        """Return what Moodle uses."""
        return self.forced if self.is_forced else self.stored


@dataclass(frozen=True)
class SettingChange:
    """A setting's value before and after; None is not set. `repr` shows neither."""

    setting: SettingName
    old: str | None = field(repr=False)
    new: str | None = field(repr=False)


@dataclass(frozen=True)
class SettingRow:
    """One setting over sites: the sites by value, the most frequent first; `repr` shows none."""

    setting: SettingName
    groups: tuple[tuple[str | None, tuple[str, ...]], ...] = field(repr=False)
    forced_on: tuple[str, ...] = ()

    @property
    def differing(self) -> tuple[str, ...]:
        """Return the sites that have not the most frequent value."""
        return tuple(site for _value, sites in self.groups[1:] for site in sites)


def parse_setting(text: str) -> SettingName:
    """Return the setting that `name` or `component/name` names; raise InvalidInput."""
    component, _slash, name = text.rpartition("/")
    if component in ("", CORE, "moodle"):
        component = CORE
    longest = _LONGEST_IN_CORE if component == CORE else _LONGEST_IN_PLUGINS
    is_valid = _WORD.fullmatch(component) and _WORD.fullmatch(name)
    if not is_valid or text.startswith("/") or max(len(component), len(name)) > longest:
        raise InvalidInput(
            "setting.name",
            f"{text!r} is no name of a setting.",
            "Write it as Moodle does: name, or component/name, of letters, digits and _.",
        )
    return SettingName(component, name)


def read_settings(
    connection: SiteConnection, settings: Iterable[SettingName], forced: Forced | None = None
) -> dict[SettingName, SettingValue]:
    """Return the value of each of the settings, in two queries."""
    wanted = list(dict.fromkeys(settings))
    stored: dict[SettingName, str] = {}
    core = [setting.name for setting in wanted if setting.component == CORE]
    if core:
        for name, value in connection.query(
            f"SELECT name, value FROM {{config}} WHERE name IN ({marks(core)})",  # noqa: S608
            core,
        ):
            stored[SettingName(CORE, str(name))] = _text(value)
    pairs = [(setting.component, setting.name) for setting in wanted if setting.component != CORE]
    if pairs:
        conditions = " OR ".join("(plugin = %s AND name = %s)" for _ in pairs)
        for plugin, name, value in connection.query(
            f"SELECT plugin, name, value FROM {{config_plugins}} WHERE {conditions}",  # noqa: S608
            [word for pair in pairs for word in pair],
        ):
            stored[SettingName(str(plugin), str(name))] = _text(value)
    return {setting: _value(setting, stored.get(setting), forced or {}) for setting in wanted}


def read_component(
    connection: SiteConnection, component: str, forced: Forced | None = None
) -> dict[SettingName, SettingValue]:
    """Return all settings of a component, forced ones that the database has not included."""
    if component == CORE:
        rows = connection.query("SELECT name, value FROM {config}")
    else:
        rows = connection.query(
            "SELECT name, value FROM {config_plugins} WHERE plugin = %s", (component,)
        )
    stored = {SettingName(component, str(name)): _text(value) for name, value in rows}
    names = [*stored, *(SettingName(component, name) for name in _forced(component, forced or {}))]
    return {
        setting: _value(setting, stored.get(setting), forced or {}) for setting in sorted(names)
    }


def set_settings(
    connection: SiteConnection,
    values: Mapping[SettingName, str | None],
    *,
    forced: Forced | None = None,
    create: bool = False,
    log: bool = True,
) -> tuple[SettingChange, ...]:
    """Give settings their values, None unsets; return those that were not so already.

    With `log` each is written to Moodle's own list of changed settings, secrets masked. Raise
    NotFound `setting.unknown` for a setting that the site has not, unless with `create`; Refused
    `setting.forced`, `setting.reserved`; InvalidInput `setting.value`. Nothing is changed then.
    """
    for setting, new in values.items():
        _refuse_reserved(setting)
        if new is not None and "\0" in new:
            raise InvalidInput(
                "setting.value", f"The value for {setting} holds a zero byte.", "Give plain text."
            )
    current = read_settings(connection, values, forced)
    for setting, value in current.items():
        refuse_forced(setting, value)
        if value.stored is None and values[setting] is not None and not create:
            raise _unknown(connection, setting)
    changes = tuple(
        SettingChange(setting, value.stored, values[setting])
        for setting, value in current.items()
        if value.stored != values[setting]
    )
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


def refuse_forced(setting: SettingName, value: SettingValue) -> None:
    """Raise Refused `setting.forced` for a setting whose value in the database does not count."""
    if value.is_forced:
        raise Refused(
            "setting.forced",
            f"{setting} is forced by config.php: Moodle would not see the change.",
            "Change what is forced: vmoodle forced list.",
        )


def undo_of(changes: Iterable[SettingChange]) -> dict[SettingName, str | None]:
    """Return the values for `set_settings` that take the changes back."""
    return {change.setting: change.old for change in changes}


def compare_settings(
    sites: Mapping[str, Mapping[SettingName, SettingValue]],
) -> list[SettingRow]:
    """Return a row for each setting that any of the sites has, by what Moodle uses there."""
    rows = []
    for setting in sorted({name for values in sites.values() for name in values}):
        groups: dict[str | None, list[str]] = {}
        forced_on = []
        for site, values in sites.items():
            value = values.get(setting, SettingValue(None))
            groups.setdefault(value.effective, []).append(site)
            if value.is_forced:
                forced_on.append(site)
        ordered = sorted(groups.items(), key=lambda group: -len(group[1]))
        rows.append(
            SettingRow(
                setting, tuple((value, tuple(names)) for value, names in ordered), tuple(forced_on)
            )
        )
    return rows


@dataclass(frozen=True)
class ComponentCopy:
    """What a copy of a component's configuration sets, and what it leaves as it is, and why."""

    values: Mapping[SettingName, str | None] = field(repr=False)
    left: Mapping[SettingName, str]


def plan_copy(
    component: str,
    source: Mapping[SettingName, SettingValue],
    target: Mapping[SettingName, SettingValue],
    *,
    remove: bool = False,
) -> ComponentCopy:
    """Return what gives the target all settings of the source's component but its version.

    What marks one site, such as a key with which it signs, stays its own. With `remove` what the
    source has not is unset. Raise NotFound `setting.component` for one that the source has not.
    """
    if not any(value.effective is not None for value in source.values()):
        raise NotFound(
            "setting.component",
            f"The source has no settings of {component!r}.",
            "Name a component as Moodle does: mod_quiz, auth_ldap.",
        )
    values: dict[SettingName, str | None] = {}
    left: dict[SettingName, str] = {}
    for setting in sorted({*source, *(target if remove else ())}):
        new = source.get(setting, SettingValue(None)).effective
        old = target.get(setting, SettingValue(None))
        if setting.name in _reserved(component):
            continue
        if _marks_one_site(setting):
            left[setting] = "it marks one site"
        elif old.is_forced:
            left[setting] = "it is forced on the target"
        elif old.stored != new:
            values[setting] = new
    return ComponentCopy(values, left)


def _write(connection: SiteConnection, change: SettingChange) -> None:
    setting = change.setting
    table, where, key = (
        ("config", "name = %s", (setting.name,))
        if setting.component == CORE
        else ("config_plugins", "plugin = %s AND name = %s", (setting.component, setting.name))
    )
    if change.new is None:
        connection.execute(f"DELETE FROM {{{table}}} WHERE {where}", key)  # noqa: S608
    elif change.old is not None:
        connection.execute(
            f"UPDATE {{{table}}} SET value = %s WHERE {where}",  # noqa: S608
            (change.new, *key),
        )
    else:
        columns = "name" if setting.component == CORE else "plugin, name"
        connection.execute(
            f"INSERT INTO {{{table}}} ({columns}, value) VALUES ({marks((*key, 0))})",  # noqa: S608
            (*key, change.new),
        )


def _value(setting: SettingName, stored: str | None, forced: Forced) -> SettingValue:
    given = _forced(setting.component, forced)
    if setting.name not in given:
        return SettingValue(stored)
    return SettingValue(stored, True, _as_php(given[setting.name]))


def _forced(component: str, forced: Forced) -> Mapping[str, object]:
    if component == CORE:
        return {**forced.get("", {}), **forced.get(CORE, {})}
    return forced.get(component, {})


def _as_php(value: object) -> str | None:
    """Return a forced value as text, as get_config gives it; lists and null are no settings."""
    if value is None or isinstance(value, list | tuple | dict):
        return None
    if isinstance(value, bool):
        return "1" if value else ""
    return str(value)


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _reserved(component: str) -> tuple[str, ...]:
    return _RESERVED.get(component, _RESERVED["*"])


def _refuse_reserved(setting: SettingName) -> None:
    if setting.name in _reserved(setting.component):
        raise Refused(
            "setting.reserved",
            f"{setting} is what Moodle says about itself, and not set by hand.",
            "Upgrade the site, or copy it, to have another value there.",
        )


def _unknown(connection: SiteConnection, setting: SettingName) -> NotFound:
    known = [name.name for name in read_component(connection, setting.component)]
    near = get_close_matches(setting.name, known, n=3)
    return NotFound(
        "setting.unknown",
        f"The site has no setting {setting}.",
        f"There are: {', '.join(near)}." if near else "Say that it is to be made to set it anyway.",
    )


def _credentials(component: str) -> list[str]:
    """Return the names under which the table of identity has a component's credentials."""
    return [
        name
        for entry in ENTRIES
        if isinstance(entry.what, Settings)
        and entry.concern == Concern.CREDENTIAL
        and entry.what.component == component
        for name in entry.what.names
    ]


def _marks_one_site(setting: SettingName) -> bool:
    for entry in ENTRIES:
        what = entry.what
        if (
            isinstance(what, Settings)
            and what.component == setting.component
            and entry.concern in COPY_CONCERNS
            and entry.action != Action.KEEP
            and any(fnmatchcase(setting.name, pattern) for pattern in what.names)
        ):
            return True
    return False
