"""Strings of one site in another's own language packs: what changes, and what follows from it."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from vmoodle.engines.protocol import SiteConnection
from vmoodle.moodle.caches.revisions import raise_revision
from vmoodle.moodle.copies.language_files import (
    Contents,
    PackPlace,
    Writes,
    read_packs,
    strings_changed,
)
from vmoodle.moodle.copies.language_pack import Strings, components_of, parse_pack, render_pack
from vmoodle.moodle.database.site_schema import marks, read_schema

Packs: TypeAlias = Mapping[str, Mapping[str, Strings]]
"""Strings by file, by language."""

# PHP looks at a file again after opcache.revalidate_freq seconds, 2 unless it is set. Strings that
# Moodle read of the old file in this time would go into its cache, and stay there.
_LOOKS_AGAIN_SECONDS = 3.1


@dataclass(frozen=True)
class FileChange:
    """Say what happens to the strings of one file: how many are added, changed and removed."""

    language: str
    file: str
    add: int
    change: int
    remove: int
    strings: Strings
    """What the file has then; none for a file that goes."""

    @property
    def words(self) -> str:
        """Return it in words."""
        counted = (("added", self.add), ("changed", self.change), ("removed", self.remove))
        return ", ".join(f"{count} {word}" for word, count in counted if count)


def strings_of(contents: Contents) -> dict[str, dict[str, dict[str, str]]]:
    """Return the strings of files; raise Refused `language.code` for one with anything else."""
    return {
        language: {
            file: parse_pack(content, f"{language}_local/{file}") for file, content in files.items()
        }
        for language, files in contents.items()
    }


def plan_strings(source: Packs, there: Packs, *, remove: bool = False) -> list[FileChange]:
    """Return what gives a site the source's strings; with `remove` the source's alone.

    `there` is of the languages and files that are meant; others stay in any case.
    """
    changes = []
    for language in sorted({*source, *(there if remove else ())}):
        mine, theirs = source.get(language, {}), there.get(language, {})
        for file in sorted({*mine, *(theirs if remove else ())}):
            old, new = theirs.get(file, {}), mine.get(file, {})
            kept = new if remove else {**old, **new}
            change = FileChange(
                language,
                file,
                add=len(kept.keys() - old.keys()),
                change=sum(old[key] != text for key, text in kept.items() if key in old),
                remove=len(old.keys() - kept.keys()),
                strings=kept,
            )
            if change.words:
                changes.append(change)
    return changes


def writes_of(changes: list[FileChange]) -> dict[str, dict[str, bytes | None]]:
    """Return the files that the changes make."""
    writes: dict[str, dict[str, bytes | None]] = {}
    for one in changes:
        content = render_pack(one.strings) if one.strings else None
        writes.setdefault(one.language, {})[one.file] = content
    return writes


def note_strings(connection: SiteConnection, changes: list[FileChange]) -> int:
    """Put changed strings into the tables of Moodle's language customisation; raise `langrev`.

    What somebody has edited there and not saved stays, and its number is returned: without this,
    saving it would write the strings as they were. Drop the caches of `Change.STRINGS` afterwards.
    """
    raise_revision(connection, "langrev")
    if not read_schema(connection, ["tool_customlang", "tool_customlang_components"]).tables:
        return 0
    unsaved = 0
    for change in changes:
        names = components_of(change.file)
        rows = connection.query(
            "SELECT s.id, s.stringid, s.master, s.local, s.modified FROM {tool_customlang} s"  # noqa: S608
            " JOIN {tool_customlang_components} c ON c.id = s.componentid"
            f" WHERE s.lang = %s AND c.name IN ({marks(names)})",
            (change.language, *names),
        )
        for row_id, key, master, local, modified in rows:
            # checkout() of admin/tool/customlang/locallib.php, 4.5 and 5.1.
            text = change.strings.get(str(key))
            wanted = None if text == master else text
            if modified:
                unsaved += 1
            elif local != wanted:
                connection.execute(
                    "UPDATE {tool_customlang} SET local = %s, timecustomized = %s WHERE id = %s",
                    (wanted, int(time.time()), row_id),
                )
    return unsaved


def wait_for_php(place: PackPlace, before: Contents, writes: Writes) -> None:
    """Wait until PHP no longer runs files that were replaced, where there are any."""
    replaced = any(
        content is not None and file in before.get(language, {})
        for language, files in writes.items()
        for file, content in files.items()
    )
    if replaced and place.path.is_dir():
        time.sleep(_LOOKS_AGAIN_SECONDS)


def kept_of(before: Contents, writes: Writes) -> dict[str, dict[str, dict[str, str | None]]]:
    """Return as JSON what takes writes back: each file as it was, and the mark of what is there."""
    return {
        language: {
            file: {
                "was": _text(before.get(language, {}).get(file)),
                "left": _mark(content),
            }
            for file, content in files.items()
        }
        for language, files in writes.items()
    }


def taken_back(
    place: PackPlace, kept: Mapping[str, Mapping[str, Mapping[str, str | None]]]
) -> tuple[dict[str, dict[str, bytes | None]], list[FileChange]]:
    """Return the writes that take others back, and what they change.

    Raise Conflict `language.changed` for a file that somebody has changed since.
    """
    now = read_packs(place, frozenset(kept))
    writes: dict[str, dict[str, bytes | None]] = {}
    changes: list[FileChange] = []
    for language, files in kept.items():
        for file, facts in files.items():
            content = now.get(language, {}).get(file)
            was = facts["was"]
            raw = None if was is None else was.encode()
            if content == raw:
                continue
            if _mark(content) != facts["left"]:
                raise strings_changed(language, file)
            writes.setdefault(language, {})[file] = raw
            name = f"{language}_local/{file}"
            old = parse_pack(raw, name) if raw else {}
            here = {language: {file: parse_pack(content, name) if content else {}}}
            changes += plan_strings({language: {file: old}}, here, remove=True)
    return writes, changes


def _text(content: bytes | None) -> str | None:
    return None if content is None else content.decode()


def _mark(content: bytes | None) -> str | None:
    return None if content is None else hashlib.sha256(content).hexdigest()
