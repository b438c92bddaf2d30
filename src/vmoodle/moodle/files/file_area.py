"""Files that Moodle keeps for the whole site: what an area holds, and an area put in its place.

A stored file is a row of `files`, named by the hash of its place, and a content in the file pool,
named by the hash of what is in it (lib/filestorage/file_storage.php, 4.5 and 5.1). Contents are
written before the rows, and none is ever removed here.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from vmoodle.engines.protocol import SiteConnection
from vmoodle.errors import Conflict, InvalidInput, NotFound, Refused, changed_since
from vmoodle.moodle.caches.revisions import raise_revision
from vmoodle.moodle.config.settings import (
    Forced,
    SettingName,
    read_component,
    read_settings,
    set_settings,
)
from vmoodle.moodle.database.site_schema import marks
from vmoodle.moodle.database.system_context import system_context
from vmoodle.moodle.identity.people import PRIVATE_COMPONENTS

EMPTY_CONTENT = hashlib.sha1(b"", usedforsecurity=False).hexdigest()
"""Of directories and empty files; Moodle needs no file for it (file_system_filedir.php)."""

_AREA = re.compile(r"([a-z][a-z0-9_]{0,99})/([a-z][a-z0-9_]{0,49})(?:/(\d{1,18}))?")
_SAME, _STAYS = "same", "stays"
STAYING = frozenset({_SAME, _STAYS})
"""What `described` says of files and settings that are not changed."""
# What of a row means the same on each site; ids of people and of repositories do not.
_COMMON = (
    "contenthash", "filepath", "filename", "filesize", "mimetype", "status", "source", "author",
    "license", "timecreated", "timemodified", "sortorder",
)  # fmt: skip
_OWN = ("userid", "referencefileid")
# Moodle makes them of other files: lib/filestorage/file_storage.php, cron().
_MADE = (("core", "preview"), ("core", "documentconversion"))


@dataclass(frozen=True, order=True)
class FileArea:
    """Name a file area of the system context: `core_admin/logo`, `local_news/image/3`."""

    component: str
    area: str
    item: int = 0

    def __str__(self) -> str:
        return f"{self.component}/{self.area}" + (f"/{self.item}" if self.item else "")

    @property
    def is_of_theme(self) -> bool:
        """Tell whether addresses of its files hold the themes' revision."""
        return self.component == "core_admin" or self.component.startswith("theme_")


@dataclass(frozen=True)
class AreaContent:
    """Hold an area's rows, and the settings of its component that name one of its files."""

    rows: tuple[Mapping[str, Any], ...]
    settings: Mapping[str, str | None] = field(default_factory=dict)

    @property
    def files(self) -> dict[str, str]:
        """Return the contents of its files by path and name, without its directories."""
        return {_path(row): row["contenthash"] for row in self.rows if row["filename"] != "."}

    @property
    def contents(self) -> dict[str, str]:
        """Return by its hash the name of a file with each content that the pool must have."""
        return {one: path for path, one in self.files.items() if one != EMPTY_CONTENT}

    @property
    def size(self) -> int:
        """Return the bytes of its files."""
        return sum(int(row["filesize"]) for row in self.rows)

    def as_data(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {"rows": [dict(row) for row in self.rows], "settings": dict(self.settings)}

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """Return what `as_data` gave."""
        return cls(tuple(data["rows"]), dict(data["settings"]))


def parse_area(text: str) -> FileArea:
    """Return the area that `component/area` or `component/area/item` names.

    Raise InvalidInput `filearea.name`; Refused `filearea.private` for people's own files.
    """
    match = _AREA.fullmatch(text)
    if match is None:
        raise InvalidInput(
            "filearea.name",
            f"{text!r} names no file area.",
            "Write component/area, as core_admin/logo, or component/area/item.",
        )
    area = FileArea(match[1], match[2], int(match[3] or 0))
    if area.component in PRIVATE_COMPONENTS or (area.component, area.area) in _MADE:
        raise Refused(
            "filearea.private",
            f"The files of {area} are people's own, or are made by Moodle; they are not copied.",
            "Clone the site to have them elsewhere.",
        )
    return area


def read_area(connection: SiteConnection, area: FileArea, *, lock: bool = False) -> AreaContent:
    """Return what a site has in an area; rows keep also what only means something there.

    With `lock` nobody changes these rows before the transaction has ended.
    """
    columns = (*_COMMON, *_OWN)
    end = " FOR UPDATE" if lock else ""
    found = connection.query(
        f"SELECT {', '.join(columns)} FROM {{files}} WHERE {_WHERE}"  # noqa: S608
        f" ORDER BY filepath, filename{end}",
        _key(connection, area),
    )
    rows = tuple(dict(zip(columns, row, strict=True)) for row in found)
    content = AreaContent(rows)
    named = {
        setting.name: value.stored
        for setting, value in read_component(connection, area.component).items()
        if value.stored in content.files
    }
    return AreaContent(rows, named)


def source_of_copies(connection: SiteConnection, area: FileArea) -> AreaContent:
    """Return what other sites are to have in the area.

    Raise NotFound `filearea.empty` where there is nothing, with the areas that hold something;
    Refused `filearea.alias` for a file that lies in a repository.
    """
    content = read_area(connection, area)
    if not content.files:
        areas = ", ".join(str(one) for one in areas_of(connection)[:12])
        raise NotFound(
            "filearea.empty",
            f"The source has no file in {area}.",
            f"It has files in {areas}." if areas else "It has no files for the whole site.",
        )
    aliases = [_path(row) for row in content.rows if row["referencefileid"]]
    if aliases:
        raise Refused(
            "filearea.alias",
            f"{aliases[0]} is only a reference to a file in a repository of the source.",
            "Upload the file itself there.",
        )
    common = [{name: row[name] for name in _COMMON} for row in content.rows]
    return AreaContent(tuple(common), content.settings)


def areas_of(connection: SiteConnection) -> list[FileArea]:
    """Return the areas of the system context in which a site has files that can be copied."""
    rows = connection.query(
        "SELECT DISTINCT component, filearea, itemid FROM {files}"
        " WHERE contextid = %s AND filename <> '.' ORDER BY component, filearea, itemid",
        (system_context(connection),),
    )
    areas = [FileArea(str(component), str(area), int(item)) for component, area, item in rows]
    return [
        one
        for one in areas
        if one.component not in PRIVATE_COMPONENTS and (one.component, one.area) not in _MADE
    ]


@dataclass(frozen=True)
class AreaChange:
    """Say what a copy does to an area: its files by what happens to each, and its settings."""

    files: Mapping[str, str]
    settings: Mapping[str, str | None]
    left: Mapping[str, str] = field(default_factory=dict)
    """Settings that stay, and why."""
    seen: Mapping[str, str | None] = field(default_factory=dict)
    """What the settings were when it was planned."""

    @property
    def is_nothing(self) -> bool:
        """Tell whether the site has it all already."""
        return not self.settings and set(self.files.values()) <= {_SAME}


def plan_area(
    connection: SiteConnection,
    area: FileArea,
    there: AreaContent,
    wanted: AreaContent,
    forced: Forced,
) -> AreaChange:
    """Return what makes a site's area another; a setting that names a file that goes is emptied."""
    old, new = there.files, wanted.files
    files = {
        path: _SAME if old.get(path) == new.get(path)
        else "remove" if path not in new
        else "replace" if path in old
        else "add"
        for path in sorted({*old, *new})
    }  # fmt: skip
    gone = {name: "" for name, value in there.settings.items() if value not in new}
    names = {SettingName(area.component, name): value for name, value in
             {**gone, **wanted.settings}.items()}  # fmt: skip
    current = read_settings(connection, names, forced)
    settings = {
        setting.name: value
        for setting, value in names.items()
        if not current[setting].is_forced and current[setting].stored != value
    }
    return AreaChange(
        files,
        settings,
        {
            setting.name: value.why_not_set
            for setting, value in current.items()
            if value.why_not_set
        },
        {setting.name: value.stored for setting, value in current.items()},
    )


def put_area(
    connection: SiteConnection,
    area: FileArea,
    there: AreaContent,
    wanted: AreaContent,
    change: AreaChange,
) -> dict[str, str | None]:
    """Put rows in the place of those `there`, which were read with a lock, and set the settings.

    Return what these were before. The contents must be in the site's file pool. Drop the caches of
    what is stale after the commit. Raise Conflict `filearea.changed` where somebody has put a file
    into the area meanwhile, `setting.changed`.
    """
    key = _key(connection, area)
    gone = connection.execute(f"DELETE FROM {{files}} WHERE {_WHERE}", key)  # noqa: S608
    if gone != len(there.rows):
        raise _changed(area)
    for row in wanted.rows:
        _insert(connection, area, key, row)
    named = {SettingName(area.component, name): value for name, value in change.settings.items()}
    seen = {SettingName(area.component, name): value for name, value in change.seen.items()}
    changes = set_settings(connection, named, create=True, seen=seen)
    if area.is_of_theme:
        raise_revision(connection, "themerev")
    return {change.setting.name: change.old for change in changes}


def _insert(
    connection: SiteConnection, area: FileArea, key: Sequence[object], row: Mapping[str, Any]
) -> None:
    values = {
        **{name: row.get(name) for name in (*_COMMON, *_OWN)},
        **dict(zip(("contextid", "component", "filearea", "itemid"), key, strict=True)),
        "pathnamehash": _place_hash(key, row),
    }
    try:
        connection.execute(
            f"INSERT INTO {{files}} ({', '.join(values)}) VALUES ({marks(values)})",  # noqa: S608
            tuple(values.values()),
        )
    except Conflict as error:  # a file of that name is there by now
        raise _changed(area) from error


def refuse_changed(
    connection: SiteConnection,
    area: FileArea,
    left: Mapping[str, str],
    settings: Mapping[str, str | None],
    *,
    lock: bool = False,
) -> AreaContent:
    """Return what an area holds; raise Conflict `filearea.changed` unless a copy left it so."""
    there = read_area(connection, area, lock=lock)
    named = {SettingName(area.component, name): value for name, value in settings.items()}
    current = read_settings(connection, named, lock=lock)
    same = all(current[setting].stored == value for setting, value in named.items())
    if there.files != dict(left) or not same:
        raise _changed(area)
    return there


def _changed(area: FileArea) -> Conflict:
    return changed_since(
        "filearea.changed",
        f"the file area {area}",
        "It stays as it is; change it in the site's administration, or copy it anew.",
    )


_WHERE = "contextid = %s AND component = %s AND filearea = %s AND itemid = %s"


def _key(connection: SiteConnection, area: FileArea) -> tuple[int, str, str, int]:
    return system_context(connection), area.component, area.area, area.item


def _path(row: Mapping[str, Any]) -> str:
    return f"{row['filepath']}{row['filename']}"


def _place_hash(key: Sequence[object], row: Mapping[str, Any]) -> str:
    """Return what get_pathname_hash of lib/filestorage/file_storage.php does."""
    place = "/" + "/".join(str(one) for one in key) + _path(row)
    return hashlib.sha1(place.encode(), usedforsecurity=False).hexdigest()


def described(change: AreaChange, words: Iterable[str]) -> list[tuple[str, str, str]]:
    """Return a change as rows: what it is about, what happens, and what is to be known of it."""
    rows = [(path, what, "") for path, what in change.files.items()]
    rows += [
        (f"setting {name}", f"set to {value}" if value else "empty", "")
        for name, value in change.settings.items()
    ]
    rows += [(f"setting {name}", _STAYS, why) for name, why in change.left.items()]
    return rows + [("", "", word) for word in words]
