"""The names of a site's settings: read, matched by wildcards, and what a name alone tells.

A name tells whether the value is a secret, whether Moodle sets it by itself, and whether it belongs
to one site: what is copied, compared or shown goes by this one place.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache

from vmoodle.errors import InvalidInput, Refused
from vmoodle.moodle.database.site_admins import SITE_ADMINS
from vmoodle.moodle.identity.entry import COPY_CONCERNS, Action, Concern, Settings
from vmoodle.moodle.identity.secret_names import is_secret_name
from vmoodle.moodle.identity.table import ENTRIES

CORE = "core"

# lib/adminlib.php, admin_setting::parse_setting_name, 4.5 and 5.1, has letters, digits and _; the
# tables take more, and plugins use it. Lengths from lib/db/install.xml.
_COMPONENT = re.compile(r"[A-Za-z0-9_]+")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_:.-]*")
_PATTERN = re.compile(r"(?:[A-Za-z0-9_*?]+/)?[A-Za-z0-9_*?][A-Za-z0-9_*?:.-]*")
_LONGEST_IN_CORE, _LONGEST_IN_PLUGINS = 255, 100

_RESERVED = {
    CORE: (
        "siteidentifier", "version", "release", "branch", "allversionshash", "allcomponenthash",
        "rolesactive", "adminsetuppending", "upgraderunning", "installrunning", "siteguest",
        "mnet_localhost_id",
    ),
    "*": ("version",),
}  # fmt: skip
"""What a site says about itself, and not what an administrator sets.

Without `rolesactive` Moodle takes the site for one that is to be installed
(during_initial_install of lib/setuplib.php, 4.5 and 5.1), and begins with it.
"""
_LEFT_BEHIND = ("adminsetuppending", "upgraderunning", "installrunning")
"""What an installation or an upgrade that broke off leaves: to unset it cures the site."""
_BY_NATURE = (
    "siteidentifier", "siteadmins", "siteguest", "allversionshash", "localcachedirpurged",
    "scheduledtaskreset", "mnet_localhost_id", "mnet_all_hosts_id", "mnet_all_hosts_mnet_id",
    "cron_*", "jsrev", "themerev", "templaterev", "langrev", "*lastrun", "*lastcron", "*lasttime",
    "*timelast", "*timemodified",
)  # fmt: skip
"""What is another on every site, or changes by itself: it says nothing in a comparison."""
OF_CONFIG_PHP = frozenset(
    {
        "wwwroot", "dataroot", "admin", "dbtype", "dblibrary", "dbhost", "dbname", "dbuser",
        "dbpass", "prefix", "dboptions", "sessioncookie", "session_redis_prefix",
        "session_memcached_prefix",
    }
)  # fmt: skip
"""Settings of core that config.php sets on every site: Moodle passes over what is stored."""
_ROLE_IDS = (
    "defaultuserroleid", "guestroleid", "notloggedinroleid", "creatornewroleid",
    "restorernewroleid", "defaultfrontpageroleid", "gradebookroles", "profileroles",
    "coursecontact", "roleid",
)  # fmt: skip
"""What holds ids of roles, which are others on another site."""
_RANDOM_KINDS = ("siteidentifier", "salt", "badge_salt", "kid", "rsa_key")
"""The kinds of values in the table of identity that every site draws for itself."""


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
        return _is_secret(self.component, self.name)

    def hides(self, value: str | None) -> bool:
        """Tell whether the value is to be hidden; a switch that has a secret's name is none."""
        return self.is_secret and value not in (None, "", "0", "1")

    @property
    def differs_by_nature(self) -> bool:
        """Tell whether the value is another on every site, or changes by itself."""
        return _is_one_of(self.name, _BY_NATURE) or self.is_of_config_php

    @property
    def is_of_config_php(self) -> bool:
        """Tell whether config.php sets it on every site."""
        return self.component == CORE and self.name in OF_CONFIG_PHP

    @property
    def says_nothing_compared(self) -> bool:
        """Tell whether a difference says nothing: by nature, a version, or drawn at random."""
        return self.differs_by_nature or self.is_reserved or _is_random(self)

    @property
    def is_reserved(self) -> bool:
        """Tell whether it is what the site says about itself, and nobody sets it."""
        return self.name in _RESERVED.get(self.component, _RESERVED["*"])

    @property
    def why_not_copied(self) -> str:
        """Return why the value is right on its own site only; empty where it can be copied."""
        if self.is_reserved:
            return "it is what the site says about itself"
        if self.name in _ROLE_IDS:
            return "it holds ids of roles, which differ from site to site"
        if self.differs_by_nature or _marks_one_site(self):
            return "it marks one site"
        return ""


@dataclass(frozen=True)
class SettingPattern:
    """Name settings with the wildcards * and ? in the component, in the name, or in neither."""

    component: str
    name: str

    @property
    def is_exact(self) -> bool:
        """Tell whether it names one setting in full."""
        return not _has_wildcard(self.component) and not _has_wildcard(self.name)

    @property
    def names_setting(self) -> bool:
        """Tell whether the name itself is in full, of one component or of several."""
        return not _has_wildcard(self.name)

    def matches(self, setting: SettingName) -> bool:
        """Tell whether the setting is one of those meant; `*` without a component is of core."""
        is_core = self.component == CORE
        return (
            is_core == (setting.component == CORE)
            and fnmatchcase(setting.component, self.component)
            and fnmatchcase(setting.name, self.name)
        )


def parse_setting(text: str) -> SettingName:
    """Return the setting that `name` or `component/name` names; raise InvalidInput."""
    component, _slash, name = text.rpartition("/")
    component = _component(component)
    longest = _LONGEST_IN_CORE if component == CORE else _LONGEST_IN_PLUGINS
    is_valid = _COMPONENT.fullmatch(component) and _NAME.fullmatch(name)
    if not is_valid or text.startswith("/") or max(len(component), len(name)) > longest:
        raise _no_name(text, "Write it as Moodle does: name, or component/name as quiz/timelimit.")
    return SettingName(component, name)


def parse_pattern(text: str) -> SettingPattern:
    """Return what `name` or `component/name` means, where * and ? may stand for any letters."""
    if not _PATTERN.fullmatch(text):
        raise _no_name(text, "name, or component/name as quiz/timelimit; * and ? are wildcards.")
    component, _slash, name = text.rpartition("/")
    return SettingPattern(_component(component), name)


def refuse_by_hand(setting: SettingName, *, unset: bool = False) -> None:
    """Raise Refused for what is not set as a setting.

    `setting.reserved` also for who administers: the guest, or nobody, would do so, for a list of
    ids is checked by nobody; `setting.forced` for what config.php sets on every site.
    """
    refuse_reserved(setting, unset=unset)
    if setting.is_of_config_php:
        raise Refused(
            "setting.forced",
            f"{setting} is set by config.php on every site: Moodle would not see the change.",
            "VMoodle sets it from the registry; `vmoodle site move` gives a site another address.",
        )
    if setting.component == CORE and setting.name == SITE_ADMINS:
        raise Refused(
            "setting.reserved",
            f"{setting} is who administers the site, and not set by hand.",
            "`vmoodle admin add` and `vmoodle admin remove` change who does.",
        )


def refuse_reserved(setting: SettingName, *, unset: bool = False) -> None:
    """Raise Refused `setting.reserved` for what Moodle says about itself.

    What a broken installation or upgrade has left can be unset.
    """
    if not setting.is_reserved or (unset and _is_left_behind(setting)):
        return
    raise Refused(
        "setting.reserved",
        f"{setting} is what Moodle says about itself, and not set by hand.",
        "Another value breaks the site; Moodle gives it one where it installs, upgrades or is "
        "copied.",
    )


def _is_left_behind(setting: SettingName) -> bool:
    return setting.component == CORE and setting.name in _LEFT_BEHIND


def _component(text: str) -> str:
    return CORE if text in ("", CORE, "moodle") else text


def _has_wildcard(text: str) -> bool:
    return "*" in text or "?" in text


def _no_name(text: str, hint: str) -> InvalidInput:
    return InvalidInput("setting.name", f"{text[:100]!r} is no name of a setting.", hint)


def _is_one_of(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


# A comparison of all settings asks for the same few thousand names on every site.
@lru_cache(maxsize=20_000)
def _is_secret(component: str, name: str) -> bool:
    return is_secret_name(name, _credentials(component))


def _credentials(component: str) -> list[str]:
    """Return the names under which the table of identity has a component's credentials."""
    return [
        name
        for entry in ENTRIES
        if isinstance(entry.place, Settings)
        and entry.concern == Concern.CREDENTIAL
        and entry.place.component == component
        for name in entry.place.names
    ]


@lru_cache(maxsize=20_000)
def _is_random(setting: SettingName) -> bool:
    return any(
        isinstance(entry.place, Settings)
        and entry.place.component == setting.component
        and entry.kind in _RANDOM_KINDS
        and _is_one_of(setting.name, entry.place.names)
        for entry in ENTRIES
    )


def _marks_one_site(setting: SettingName) -> bool:
    return any(
        isinstance(entry.place, Settings)
        and entry.place.component == setting.component
        and entry.concern in COPY_CONCERNS
        and entry.action != Action.KEEP
        and _is_one_of(setting.name, entry.place.names)
        for entry in ENTRIES
    )
