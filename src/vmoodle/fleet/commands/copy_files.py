"""Files that a site has for all its pages, as its logo, put on other sites too."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import Field, model_validator

from vmoodle.errors import Conflict, NotFound
from vmoodle.fleet.command import Command, Comparison, Effect
from vmoodle.fleet.copy_source import FromSite, open_source
from vmoodle.fleet.parameters import Constant, Search
from vmoodle.fleet.result import Changed, Result, Table
from vmoodle.fleet.target_site import TargetSite
from vmoodle.moodle.caches.invalidation import Change
from vmoodle.moodle.files.file_area import (
    STAYING,
    AreaChange,
    AreaContent,
    FileArea,
    areas_of,
    described,
    parse_area,
    plan_area,
    put_area,
    read_area,
    refuse_changed,
    source_of_copies,
)
from vmoodle.moodle.files.filedir import copy_contents

if TYPE_CHECKING:
    from vmoodle.installation import Installation

_COLUMNS = ("file", "change", "note")


def _areas(site: TargetSite) -> list[str]:
    with site.connect() as connection:
        return [str(one) for one in areas_of(connection)]


class FilesToCopy(FromSite):
    """A file area of a source site."""

    area: Annotated[str, Search(_areas)] = Field(
        description="component/area of the whole site, as core_admin/logo."
    )
    content: Annotated[dict[str, Any], Constant(dict)] = Field(
        default_factory=dict, description="What the source has, read when it is ordered."
    )
    pool: Annotated[str, Constant(str)] = Field("", description="The source's file pool.")

    @model_validator(mode="after")
    def _is_an_area(self) -> Self:
        parse_area(self.area)
        return self


class CopyFiles(Command[FilesToCopy]):
    """Replace what sites have in the area by what the source has."""

    name = "copy.files"
    title = "Copy a file area, as core_admin/logo, to other sites, with the setting that names it."
    effect = Effect.WRITES
    model = FilesToCopy
    idempotent = True
    comparison = Comparison.BY_ROW

    @classmethod
    def changes_nothing(cls, answer: Result) -> bool:
        """Tell whether the site has all files already; what is forced stays."""
        return (
            isinstance(answer, Table)
            and not answer.truncated
            and all(change in STAYING for _file, change, _note in answer.rows)
        )

    def __init__(self, given: FilesToCopy) -> None:
        super().__init__(given)
        self._area = parse_area(given.area)

    @classmethod
    def settle(cls, given: FilesToCopy, installation: Installation) -> FilesToCopy:
        """Read the source's rows; raise NotFound where it has no file, or not all contents."""
        source = open_source(installation, given.source)
        with source.connect() as connection:
            content = source_of_copies(connection, parse_area(given.area))
        _refuse_missing(_pool(source), content, source.shortname)
        return given.model_copy(update={"content": content.as_data(), "pool": str(_pool(source))})

    def dry_run(self, site: TargetSite) -> Result:
        """Return each file and setting with what would happen to it."""
        with site.connect() as connection:
            there = read_area(connection, self._area)
            change = plan_area(connection, self._area, there, self._wanted, site.forced)
        return _answer(change, [])

    def run(self, site: TargetSite) -> Changed:
        """Write the contents, then replace the area's rows in one transaction."""
        wanted = self._wanted
        self._fill_pool(site, Path(self.given.pool), wanted, self.given.source)
        with site.change() as connection:
            there = read_area(connection, self._area, lock=True)
            change = plan_area(connection, self._area, there, wanted, site.forced)
            if change.is_nothing:
                return Changed(_answer(change, []))
            before = put_area(connection, self._area, there, wanted, change)
        kept = {
            "was": AreaContent(there.rows, before).as_data(),
            "left": wanted.files,
            "settings": dict(change.settings),
        }
        return Changed(_answer(change, _drop(site, self._area)), kept)

    def undo(self, site: TargetSite, kept: Any, *, dry: bool) -> Changed:
        """Put the rows and settings back, where nobody has changed them since."""
        was = AreaContent.from_data(kept["was"])
        if not dry:
            self._fill_pool(site, _pool(site, "trashdir"), was, site.shortname)
        _refuse_missing(_pool(site), was, site.shortname, _pool(site, "trashdir"))
        with site.connect() if dry else site.change() as connection:
            there = refuse_changed(
                connection, self._area, kept["left"], kept["settings"], lock=not dry
            )
            change = plan_area(connection, self._area, there, was, {})
            change = AreaChange(change.files, was.settings)
            if dry:
                return Changed(_answer(change, []))
            before = put_area(connection, self._area, there, was, change)
        again = {
            "was": AreaContent(there.rows, before).as_data(),
            "left": was.files,
            "settings": dict(was.settings),
        }
        return Changed(_answer(change, _drop(site, self._area)), again)

    @property
    def _wanted(self) -> AreaContent:
        return AreaContent.from_data(self.given.content)

    def _fill_pool(
        self, site: TargetSite, source: Path, content: AreaContent, owner_of_source: str
    ) -> None:
        """Give the site's file pool the contents that it lacks."""
        pool = _pool(site)
        lacking = [one for one in content.contents if not _path(pool, one).is_file()]
        if not lacking:
            return
        facts = site.dataroot.stat() if site.dataroot.is_dir() else None
        if facts is None:
            raise NotFound(
                "filearea.dataroot",
                f"The moodledata of the site {site.shortname} is not there.",
                f"vmoodle site show {site.shortname}",
            )
        owner = (facts.st_uid, facts.st_gid) if os.geteuid() == 0 else (-1, -1)
        copy_contents(source, pool, lacking, owner=owner, verify=True)
        _refuse_missing(pool, content, owner_of_source, _pool(site, "trashdir"))


def _pool(site: TargetSite, name: str = "filedir") -> Path:
    """Return where a site's contents are; config.php may say so."""
    return Path(str(site.forced.get("", {}).get(name) or site.dataroot / name))


def _path(pool: Path, content: str) -> Path:
    return pool / content[:2] / content[2:4] / content


def _refuse_missing(pool: Path, content: AreaContent, site: str, *also: Path) -> None:
    for one, name in content.contents.items():
        if not any(_path(place, one).is_file() for place in (pool, *also)):
            raise Conflict(
                "filearea.content",
                f"The site {site} names {name}, and its moodledata has not what is in it.",
                "Upload the file there again, or restore it from a snapshot.",
            )


def _drop(site: TargetSite, area: FileArea) -> list[str]:
    changes = [Change.SETTINGS, *([Change.THEMES] if area.is_of_theme else [])]
    return site.drop_caches(changes)


def _answer(change: AreaChange, words: list[str]) -> Table:
    return Table(_COLUMNS, tuple(described(change, words)))
