"""Settings of one site for others: what is asked for is read once, and fitted to each of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from vmoodle.engines.protocol import SiteConnection
from vmoodle.errors import InvalidInput, NotFound
from vmoodle.moodle.config.names import CORE, SettingName, SettingPattern, parse_pattern
from vmoodle.moodle.config.settings import (
    Forced,
    SettingValue,
    components,
    read_component,
    read_matching,
)
from vmoodle.near import near

_VERSION = "version"


@dataclass(frozen=True)
class CopySource:
    """What a copy takes from its source: values by setting, what it leaves there and why.

    `whole` are the components that are copied as a whole.
    """

    values: Mapping[SettingName, str] = field(repr=False)
    left: Mapping[SettingName, str]
    whole: tuple[str, ...] = ()


@dataclass(frozen=True)
class CopyPlan:
    """What a copy sets on one site, None unsets; what it leaves as it is there, and why.

    `seen` is what the site had when this was planned.
    """

    values: Mapping[SettingName, str | None] = field(repr=False)
    left: Mapping[SettingName, str]
    seen: Mapping[SettingName, str | None] = field(default_factory=dict, repr=False)


def read_source(
    connection: SiteConnection,
    words: Iterable[str],
    forced: Forced | None = None,
    *,
    secrets: bool = False,
) -> CopySource:
    """Return what the words name of the site: components, settings, settings by wildcards.

    Values are those Moodle goes by. Secrets are left without `secrets`, and what belongs to the
    site alone always. Raise NotFound `setting.component`, `setting.unknown`, InvalidInput
    `setting.copy`, `setting.name`.
    """
    patterns = [_pattern(connection, word) for word in words]
    found = read_matching(connection, patterns, forced)
    values: dict[SettingName, str] = {}
    left: dict[SettingName, str] = {}
    for setting, value in found.items():
        reason = setting.why_not_copied
        if not reason and not secrets and setting.is_secret and not value.effective:
            continue  # it would take the secret of other sites away
        if not reason and not secrets and setting.hides(value.effective):
            reason = "it is a secret"
        reason = reason or value.why_not_given
        if not reason and value.effective is not None:
            values[setting] = value.effective
        elif reason and setting.name != _VERSION:
            left[setting] = reason
    _refuse_missing(connection, patterns, found)
    whole = tuple(one.component for one in patterns if one.name == "*" and one.component != CORE)
    return CopySource(values, left, whole)


def plan_copy(
    connection: SiteConnection, source: CopySource, forced: Forced | None = None, *, keep: bool
) -> CopyPlan:
    """Return what gives the site what the source has.

    Of a component that is copied as a whole, what the source has not is unset, unless with `keep`.
    Raise NotFound `setting.component` for a plugin that the site has not.
    """
    here: dict[SettingName, SettingValue] = {}
    for component in sorted({*source.whole, *(setting.component for setting in source.values)}):
        found = read_component(connection, component, forced)
        if not found:
            raise _no_component(connection, component, "site")
        here |= found
    extra = [
        setting
        for setting, value in here.items()
        if setting.component in source.whole
        and value.stored is not None
        and setting not in {**source.values, **source.left}
    ]
    values: dict[SettingName, str | None] = {}
    left = dict(source.left)
    for setting in sorted({*source.values, *(() if keep else extra)}):
        old, new = here.get(setting, SettingValue(None)), source.values.get(setting)
        if setting.why_not_copied or (new is None and setting.is_secret):
            continue
        if old.why_not_set:
            left[setting] = old.why_not_set
        elif old.stored != new:
            values[setting] = new
    seen = {setting: here[setting].stored if setting in here else None for setting in values}
    return CopyPlan(values, left, seen)


def _pattern(connection: SiteConnection, word: str) -> SettingPattern:
    """Return what a word means: a setting of core or, without a slash, also a component."""
    pattern = parse_pattern(word)
    if "/" not in word and pattern.is_exact:
        is_setting = any(
            value.stored is not None for value in read_matching(connection, [pattern]).values()
        )
        is_component = word in components(connection)
        if is_setting and is_component:
            raise InvalidInput(
                "setting.copy",
                f"{word!r} is a component and a setting of Moodle's core.",
                f"Write {word}/* for the component, core/{word} for the setting.",
            )
        if is_component:
            pattern = SettingPattern(word, "*")
    if pattern.name == "*" and (pattern.component == CORE or not _is_one_component(pattern)):
        raise InvalidInput(
            "setting.copy",
            f"{word!r} is too much to be copied at once.",
            "Name components, or settings of Moodle's core; frontpage* is a wildcard.",
        )
    return pattern


def _is_one_component(pattern: SettingPattern) -> bool:
    """Tell whether the pattern names one component in full."""
    return SettingPattern(pattern.component, "x").is_exact


def _refuse_missing(
    connection: SiteConnection,
    patterns: list[SettingPattern],
    found: Mapping[SettingName, SettingValue],
) -> None:
    there = [setting for setting, value in found.items() if value.effective is not None]
    missing = [one for one in patterns if not any(map(one.matches, there))]
    if len(missing) > 1:
        words = ", ".join(str(SettingName(one.component, one.name)) for one in missing)
        raise NotFound(
            "setting.unknown",
            f"The source has nothing called {words}.",
            "Leave these out, or name them as the source does.",
        )
    for pattern in missing:
        if pattern.component != CORE and _is_one_component(pattern):
            known = components(connection)
            if pattern.component not in known:
                raise _no_component(connection, pattern.component, "source")
        word = SettingName(pattern.component, pattern.name)
        names = {str(one) for one in read_component(connection, pattern.component)}
        if pattern.component == CORE:
            names |= set(components(connection))
        raise NotFound(
            "setting.unknown",
            f"The source has nothing called {word}.",
            near(str(word), names, "`vmoodle config get` shows what it has."),
        )


def _no_component(connection: SiteConnection, component: str, where: str) -> NotFound:
    return NotFound(
        "setting.component",
        f"The {where} has no settings of {component!r}.",
        near(
            component,
            components(connection),
            "Name a component as its settings are: quiz, auth_ldap.",
        ),
    )
