"""Caches of sites: purged by Moodle itself, all or parts, or single ones dropped at their store."""

from __future__ import annotations

import re
from typing import Literal, Self, get_args

from pydantic import Field, model_validator

from vmoodle.errors import Failed, InvalidInput
from vmoodle.fleet.command import Command, Effect
from vmoodle.fleet.parameters import Parameters, refuse_together
from vmoodle.fleet.result import Changed, Result, Scalar, Table
from vmoodle.fleet.target_site import TargetSite, script_failed
from vmoodle.moodle.caches.invalidation import Change, drop_caches
from vmoodle.moodle.caches.revisions import raise_revision
from vmoodle.moodle.caches.stores import refuse_unknown_caches
from vmoodle.moodle.config.settings import CORE, SettingName, read_settings, refuse_forced

_SCRIPT = "admin/cli/purge_caches.php"
# The script's own options (4.5 and 5.1). Templates have none: their number is set as
# template_reset_all_caches of lib/outputlib.php does.
Part = Literal["muc", "courses", "theme", "lang", "js", "filter", "template", "other"]
_TEMPLATES = SettingName(CORE, "templaterev")
_DEFINITION = re.compile(r"[a-z][a-z0-9_]*/[a-z][a-z0-9_]*")


class CachesToPurge(Parameters):
    """What is purged; nothing said is all."""

    part: list[Part] = Field(
        default_factory=list, description="Only this part of the caches; repeatable."
    )
    definition: list[str] = Field(
        default_factory=list,
        description="Only this one of Moodle's caches, as core/config, at once and without PHP.",
    )

    @model_validator(mode="after")
    def _fit(self) -> Self:
        refuse_together(part=self.part, definition=self.definition)
        for one in self.definition:
            if not _DEFINITION.fullmatch(one):
                raise InvalidInput(
                    "cache.definition",
                    f"{one!r} is no name of a cache.",
                    "Write component/area as Moodle's page of caches does: core/config.",
                )
        return self


class PurgeCaches(Command[CachesToPurge]):
    """Purge."""

    name = "cache.purge"
    title = "Purge caches, all or parts, as Moodle's purge_caches.php does."
    effect = Effect.WRITES
    model = CachesToPurge
    idempotent = True
    scripts = True
    timeout = 300

    def run(self, site: TargetSite) -> Changed:
        """Purge, and return what was."""
        if self.given.definition:
            return Changed(self._drop(site))
        options = [f"--{one}" for one in self.given.part if one != "template"]
        if options or not self.given.part:
            done = site.run_script(_SCRIPT, options)
            if done.exit_status != 0:
                raise script_failed(_SCRIPT, done)
        note = _renumber_templates(site) if "template" in self.given.part else ""
        return Changed(_answer(f"purged {self._words()}", note))

    def dry_run(self, site: TargetSite) -> Result:
        """Return what would be purged."""
        refuse_unknown_caches(site.caches, self.given.definition)
        return Scalar(f"would purge {self._words()}")

    def _drop(self, site: TargetSite) -> Result:
        refuse_unknown_caches(site.caches, self.given.definition)
        stale = drop_caches(site.caches, tuple(dict.fromkeys(self.given.definition))).stale
        if stale:
            raise Failed(
                "cache.stale",
                " ".join(one.error.message for one in stale),
                stale[0].error.hint,
            )
        return _answer(f"purged {self._words()}")

    def _words(self) -> str:
        chosen = self.given.definition or [one for one in get_args(Part) if one in self.given.part]
        return ", ".join(dict.fromkeys(chosen)) or "all caches"


def _answer(said: str, note: str = "") -> Result:
    return Table(("done", "note"), ((said, note),)) if note else Scalar(said)


def _renumber_templates(site: TargetSite) -> str:
    """Have browsers and the server take all templates anew; return which cache may be late."""
    with site.change() as connection:
        values = read_settings(connection, [_TEMPLATES], site.forced, lock=True)
        refuse_forced(_TEMPLATES, values[_TEMPLATES])
        raise_revision(connection, "templaterev")
    return " ".join(site.drop_caches([Change.SETTINGS]))
