"""Settings that were asked for and that no site has: a slip, and no answer."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import TYPE_CHECKING

from vmoodle.errors import NotFound
from vmoodle.moodle.config.names import CORE, SettingName, SettingPattern, parse_pattern
from vmoodle.moodle.config.settings import components, read_matching, unknown_setting
from vmoodle.near import near

if TYPE_CHECKING:
    from vmoodle.engines.protocol import SiteConnection
    from vmoodle.fleet.target_site import TargetSite


def refuse_nowhere(
    asked: Iterable[str], found: Collection[str], look: Callable[[], TargetSite]
) -> None:
    """Raise NotFound `setting.unknown` for what is none of the settings `found` on all sites.

    `look` opens one of the sites, whose settings tell what is near.
    """
    there = [_setting(name) for name in found]
    missing = [
        one for one in map(parse_pattern, asked) if not any(one.matches(name) for name in there)
    ]
    if not missing:
        return
    site = look()
    with site.connect() as connection:
        for pattern in missing:
            # What is there may have been left out of the answers.
            values = read_matching(connection, [pattern], site.forced).values()
            if not any(value.is_forced or value.stored is not None for value in values):
                raise _nowhere(connection, pattern)


def _setting(text: str) -> SettingName:
    component, _slash, name = text.rpartition("/")
    return SettingName(component or CORE, name)


def _nowhere(connection: SiteConnection, pattern: SettingPattern) -> NotFound:
    name = SettingName(pattern.component, pattern.name)
    if pattern.is_exact:
        hint = unknown_setting(connection, name).hint
        return NotFound("setting.unknown", f"None of the sites has a setting {name}.", hint)
    known = [] if pattern.component == CORE else components(connection)
    others = "*" if pattern.component == CORE else f"{pattern.component}/*"
    if pattern.component not in known and pattern.component != CORE:
        hint = near(pattern.component, known, "A plugin's setting is named component/name.")
    else:
        hint = f"`vmoodle config get '{others}'` shows what sites have."
    return NotFound("setting.unknown", f"None of the sites has settings {name}.", hint)
