"""A baseline made of what one site is."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from vmoodle.errors import InvalidInput, NotFound
from vmoodle.fleet.baseline.document import NAME, VERSION, read_baseline
from vmoodle.fleet.parameter_words import called
from vmoodle.moodle.config.names import parse_pattern
from vmoodle.moodle.config.settings import read_matching, unknown_setting
from vmoodle.moodle.plugins.states import read_plugins
from vmoodle.moodle.roles.definitions import read_roles, unknown_role
from vmoodle.moodle.roles.documents import as_document
from vmoodle.moodle.setting_effects import holds_states

if TYPE_CHECKING:
    from vmoodle.engines.protocol import SiteConnection
    from vmoodle.fleet.target_site import TargetSite

_WIDTH = 100


@dataclass(frozen=True)
class What:
    """What is captured, each by name or wildcards."""

    settings: Sequence[str] = ()
    roles: Sequence[str] = ()
    plugins: Sequence[str] = ()


@dataclass(frozen=True)
class Captured:
    """A baseline's document; how much is in it, and what was left out and why."""

    document: str
    counts: Mapping[str, int]
    left: Mapping[str, str]


def capture(site: TargetSite, what: What, name: str) -> Captured:
    """Return a baseline of what is named, as it is on the site.

    What marks the site and secrets are left out. Raise InvalidInput `baseline.capture`,
    `setting.name`, NotFound `setting.unknown`, `role.unknown`, `plugin.unknown`.
    """
    if not (what.settings or what.roles or what.plugins):
        raise InvalidInput(
            "baseline.capture",
            "Nothing is named that the baseline is to hold.",
            f"Name some: {called('setting')} 'auth_ldap/*' {called('role')} student "
            f"{called('plugin')} 'mod_*'.",
        )
    if not NAME.fullmatch(name):
        raise InvalidInput(
            "baseline.capture",
            f"{name!r} cannot be the name of a baseline.",
            f"{called('name')} takes 1 to 40 of a-z, 0-9, - and _.",
        )
    left: dict[str, str] = {}
    with site.connect() as connection:
        settings = _settings(connection, what.settings, site, left)
        roles = _roles(connection, what.roles)
        plugins = _plugins(connection, what.plugins, site)
    parts: dict[str, Any] = {"settings": settings, "roles": roles, "plugins": plugins}
    found = {part: value for part, value in parts.items() if value}
    text = f"# As {site.shortname} was, on Moodle {site.release.split(' ')[0]}.\n" + yaml.safe_dump(
        {"version": int(VERSION), "name": name, **found},
        sort_keys=False, allow_unicode=True, width=_WIDTH,
    )  # fmt: skip
    if found:
        read_baseline(text)
    return Captured(text, {part: len(value) for part, value in parts.items()}, left)


def name_of(path: Path) -> str:
    """Return the name that a baseline has by its file."""
    return re.sub(r"[^a-z0-9_-]+", "-", path.stem.lower()).strip("-_")[:40]


def write(path: Path, text: str) -> None:
    """Write a baseline into a new file; raise InvalidInput `baseline.file`."""
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        raise InvalidInput(
            "baseline.file", f"{path} is there already.", "Name a new file."
        ) from error
    except OSError as error:
        raise InvalidInput(
            "baseline.file", f"{path} cannot be written: {error.strerror}.", "Name another place."
        ) from error


def _settings(
    connection: SiteConnection, words: Iterable[str], site: TargetSite, left: dict[str, str]
) -> dict[str, str]:
    patterns = [parse_pattern(word) for word in words]
    found: dict[str, str] = {}
    for name, value in read_matching(connection, patterns, site.forced).items():
        if value.effective is None:
            if value.is_forced:
                continue
            raise unknown_setting(connection, name)
        why = name.why_not_copied
        # An empty one too: applied, it would take the secret of other sites away.
        if name.hides(value.effective) or (name.is_secret and not value.effective):
            why = "it is a secret"
        elif holds_states(name):
            why = f"it is the state of plugins; name them by {called('plugin')}"
        why = why or value.why_not_given
        if why:
            left[str(name)] = why
        else:
            found[str(name)] = value.effective
    _refuse_none(patterns and not found and not left, "setting", words)
    return found


def _roles(connection: SiteConnection, words: Sequence[str]) -> list[dict[str, Any]]:
    if not words:
        return []
    site = read_roles(connection)
    for word in words:
        if not any(fnmatchcase(name, word) for name in site.shortnames):
            raise unknown_role(word, site.shortnames)
    return [
        as_document(role)
        for name, role in site.roles.items()
        if any(fnmatchcase(name, word) for word in words)
    ]


def _plugins(connection: SiteConnection, words: Sequence[str], site: TargetSite) -> dict[str, str]:
    if not words:
        return {}
    there = {
        component: str(plugin.state)
        for component, plugin in read_plugins(connection, forced=site.forced).items()
        if plugin.state is not None
    }
    for word in words:
        _refuse_none(not any(fnmatchcase(name, word) for name in there), "plugin", [word])
    return {
        name: state
        for name, state in there.items()
        if any(fnmatchcase(name, word) for word in words)
    }


def _refuse_none(is_none: object, what: str, words: Iterable[str]) -> None:
    if is_none:
        raise NotFound(
            "baseline.nothing",
            f"The site has no {what} called {', '.join(words)}.",
            "Name it as Moodle does; * and ? are wildcards.",
        )
