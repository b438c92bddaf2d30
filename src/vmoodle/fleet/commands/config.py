"""Settings of Moodle and its plugins over many sites: what they are, and where they differ."""

from __future__ import annotations

import fnmatch
import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from typing import Any, Self

from pydantic import Field, model_validator

from vmoodle.engines.protocol import Most, SiteConnection
from vmoodle.errors import Failed, InvalidInput
from vmoodle.fleet.command import Command, Comparison, Effect
from vmoodle.fleet.parameters import Parameters
from vmoodle.fleet.result import Matrix, Result, Table
from vmoodle.fleet.target_site import TargetSite
from vmoodle.moodle.identity_access import SECRET_NAMES

# Moodle 4.5 has some 1,500 of them; a site with many plugins a few times as many.
_MOST = Most(200_000, 50_000_000)
_SETTING = re.compile(r"(?:[A-Za-z*?][\w*?]*/)?[\w*?][\w*?:./-]*")
# What is another on every site, or changes by itself: it says nothing in a comparison.
_OWN = (
    "siteidentifier", "siteadmins", "siteguest", "allversionshash", "localcachedirpurged",
    "scheduledtaskreset", "mnet_localhost_id", "mnet_all_hosts_mnet_id", "cron_*", "jsrev",
    "themerev", "templaterev", "langrev", "*lastrun", "*lastcron", "*lasttime", "*timelast",
    "*timemodified", "*/lastcron",
)  # fmt: skip


_SECRETS = (*SECRET_NAMES, "*pass", "*passphrase")


class Which(Parameters):
    """Settings, by name."""

    setting: list[str] = Field(
        description="name of Moodle's own, component/name of a plugin's; * and ? are wildcards."
    )

    @model_validator(mode="after")
    def _are_names(self) -> Self:
        for one in self.setting:
            if not _SETTING.fullmatch(one):
                raise _no_setting(one)
        if not self.setting:
            raise _no_setting("")
        return self


class Settings:
    """What a site's database and what is forced on it say of its settings."""

    def __init__(self, site: TargetSite, wanted: list[str]) -> None:
        self._forced = _forced(site.forced)
        self._wanted = wanted
        with site.connect() as connection:
            self._stored = dict(self._read(connection))

    def names(self) -> list[str]:
        """Return the settings that are meant, also those named in full that there are not."""
        there = {*self._stored, *self._forced}
        found = {name for name in there if any(fnmatch.fnmatchcase(name, w) for w in self._wanted)}
        return sorted(found | {one for one in self._wanted if not _has_wildcard(one)})

    def value(self, name: str) -> str | None:
        """Return what Moodle goes by: the forced value where there is one."""
        return self._forced[name] if name in self._forced else self._stored.get(name)

    def stored(self, name: str) -> str | None:
        """Return what the database has, None for nothing."""
        return self._stored.get(name)

    def is_forced(self, name: str) -> bool:
        """Tell whether the database's value does not count."""
        return name in self._forced

    def is_there(self, name: str) -> bool:
        """Tell whether the setting has a value at all."""
        return name in self._stored or name in self._forced

    def _read(self, connection: SiteConnection) -> Iterator[tuple[str, str]]:
        core = [one for one in self._wanted if "/" not in one]
        plugins = [one for one in self._wanted if "/" in one]
        if core:
            where, values = _where("name", core)
            rows = connection.read(
                f"SELECT name, value FROM {{config}} WHERE {where}",  # noqa: S608 - names are bound
                values,
                most=_MOST,
            )
            _refuse_cut(rows.cut)
            yield from ((str(name), _text(value)) for name, value in rows)
        if plugins:
            where, values = _where("CONCAT(plugin, '/', name)", plugins)
            rows = connection.read(
                f"SELECT plugin, name, value FROM {{config_plugins}} WHERE {where}",  # noqa: S608
                values,
                most=_MOST,
            )
            _refuse_cut(rows.cut)
            yield from ((f"{plugin}/{name}", _text(value)) for plugin, name, value in rows)


class Get(Command[Which]):
    """Tell the values."""

    name = "config.get"
    title = "Tell settings of Moodle and its plugins, forced ones as such."
    effect = Effect.READS
    model = Which

    def __init__(self, given: Which) -> None:
        super().__init__(given)
        self._key = os.urandom(16)

    def run(self, site: TargetSite) -> Result:
        """Return the settings with the value Moodle goes by; of a secret only a mark."""
        settings = Settings(site, self.given.setting)
        rows = tuple(
            (
                name,
                _shown(name, settings.value(name), self._key),
                settings.is_forced(name),
                _shown(name, settings.stored(name), self._key),
            )
            for name in settings.names()
        )
        return Table(("setting", "value", "forced", "stored"), rows)


class Compare(Command[Which]):
    """Put the values of many sites side by side."""

    name = "config.compare"
    title = "Compare settings over sites: what most have, and who differs."
    effect = Effect.READS
    model = Which
    comparison = Comparison.MATRIX

    def __init__(self, given: Which) -> None:
        super().__init__(given)
        self._key = os.urandom(16)

    def run(self, site: TargetSite) -> Result:
        """Return each setting's value; what is another on every site by nature is left out."""
        settings = Settings(site, self.given.setting)
        cells = {}
        for name in settings.names():
            named = name in self.given.setting
            own = any(fnmatch.fnmatchcase(name, pattern) for pattern in _OWN)
            if settings.is_there(name) and (named or not own):
                value = _shown(name, settings.value(name), self._key)
                cells[name] = f"{value} (forced)" if settings.is_forced(name) else value
        return Matrix(cells)


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _has_wildcard(name: str) -> bool:
    return "*" in name or "?" in name


def _where(column: str, wanted: list[str]) -> tuple[str, list[str]]:
    """Return the condition for names and wildcards; LIKE has its own escapes on each engine."""
    parts, values = [], []
    for one in wanted:
        if _has_wildcard(one):
            text = one.replace("!", "!!").replace("_", "!_").replace("%", "!%")
            values.append(text.replace("*", "%").replace("?", "_"))
            parts.append(f"{column} LIKE %s ESCAPE '!'")
        else:
            values.append(one)
            parts.append(f"{column} = %s")
    return " OR ".join(parts), values


def _forced(settings: Mapping[str, Mapping[str, Any]]) -> dict[str, str | None]:
    """Return forced settings by their name, as the text that Moodle makes of them."""
    return {
        f"{component}/{name}" if component else name: _as_moodle(value)
        for component, members in settings.items()
        for name, value in members.items()
    }


def _as_moodle(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "1" if value else ""  # as PHP makes a text of it
    return json.dumps(value, ensure_ascii=False)


def _shown(name: str, value: str | None, key: bytes) -> str | None:
    """Return a value; of a secret a mark, the same in one run only where the secret is."""
    plain = name.rpartition("/")[2]
    secret = any(fnmatch.fnmatchcase(plain, pattern) for pattern in _SECRETS)
    if value is None or not secret or value in {"", "0", "1"}:
        return value
    mark = hashlib.blake2b(value.encode(), key=key, digest_size=3).hexdigest()
    return f"*** ({mark})"


def _refuse_cut(cut: bool) -> None:
    if cut:
        raise Failed(
            "config.many", "The site has too many settings to be read at once.", "Name fewer."
        )


def _no_setting(text: str) -> InvalidInput:
    return InvalidInput(
        "config.setting",
        f"{text!r} names no setting.",
        "name, or component/name as mod_quiz/timelimit; * and ? are wildcards.",
    )
