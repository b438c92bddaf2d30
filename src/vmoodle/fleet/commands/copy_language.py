"""Strings that one site says in its own words, said so on other sites too."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import Field, model_validator

from vmoodle.errors import Conflict, InvalidInput, NotFound, VMoodleError
from vmoodle.fleet.command import Command, Comparison, Effect
from vmoodle.fleet.copy_source import FromSite, open_source
from vmoodle.fleet.parameters import Constant
from vmoodle.fleet.result import Changed, Result, Table
from vmoodle.fleet.target_site import TargetSite
from vmoodle.moodle.caches.invalidation import Change
from vmoodle.moodle.copies.language_copy import (
    FileChange,
    kept_of,
    note_strings,
    plan_strings,
    strings_of,
    taken_back,
    wait_for_php,
    writes_of,
)
from vmoodle.moodle.copies.language_files import (
    Contents,
    PackPlace,
    Writes,
    pack_place,
    read_packs,
    write_packs,
)
from vmoodle.moodle.copies.language_pack import LANGUAGE, file_of

if TYPE_CHECKING:
    from vmoodle.installation import Installation

_COLUMNS = ("strings", "change", "note")


class StringsToCopy(FromSite):
    """Strings of a source site."""

    lang: list[str] = Field(
        default_factory=list, description="Only this language, as en or de_kids; repeatable."
    )
    component: str = Field("", description="Only the strings of this component, as mod_quiz.")
    remove: bool = Field(False, description="Take away strings that the source has not.")
    packs: Annotated[dict[str, Any], Constant(dict)] = Field(
        default_factory=dict, description="The source's strings, read when it is ordered."
    )

    @model_validator(mode="after")
    def _are_names(self) -> Self:
        for one in self.lang:
            if not LANGUAGE.fullmatch(one):
                raise InvalidInput(
                    "language.name", f"{one!r} is no name of a language.", "As en, de or de_kids."
                )
        if self.component:
            file_of(self.component)
        return self

    @property
    def file(self) -> str:
        """Return the file that is meant, empty for all."""
        return file_of(self.component) if self.component else ""


class CopyLanguage(Command[StringsToCopy]):
    """Give sites the strings of a source, file by file."""

    name = "copy.language"
    title = "Copy a site's own wording (language customisation) to other sites."
    effect = Effect.WRITES
    comparison = Comparison.BY_ROW
    model = StringsToCopy

    @classmethod
    def changes_nothing(cls, answer: Result) -> bool:
        """Tell whether the site says all of it already."""
        return answer == Table(_COLUMNS, ())

    @classmethod
    def settle(cls, given: StringsToCopy, installation: Installation) -> StringsToCopy:
        """Read the source's strings; raise NotFound `language.none` where it has none."""
        source = open_source(installation, given.source)
        packs = strings_of(read_packs(_place(source), frozenset(given.lang), given.file))
        if not packs:
            raise NotFound(
                "language.none",
                f"The site {source.shortname} says nothing of that in its own words.",
                "Its language customisation has none, or was not saved to the language pack.",
            )
        return given.model_copy(update={"packs": packs})

    def dry_run(self, site: TargetSite) -> Result:
        """Return the files with how many strings are added, changed and removed."""
        changes, _before = self._plan(site)
        return _answer(changes, _words(site, changes))

    def run(self, site: TargetSite) -> Changed:
        """Write the files, then what follows from them in the site's database and caches."""
        changes, before = self._plan(site)
        if not changes:
            return Changed(_answer([], []))
        writes = writes_of(changes)
        kept = kept_of(before, writes)
        words = _write(site, changes, before, writes)
        return Changed(_answer(changes, [*_words(site, changes), *words]), kept)

    def undo(self, site: TargetSite, kept: Any, *, dry: bool) -> Changed:
        """Put each file back as it was, where nobody has changed it since."""
        place = _place(site)
        before = read_packs(place, frozenset(kept))
        writes, changes = taken_back(place, kept)
        if dry or not writes:
            return Changed(_answer(changes, []))
        words = _write(site, changes, before, writes)
        return Changed(_answer(changes, words), kept_of(before, writes))

    def _plan(self, site: TargetSite) -> tuple[list[FileChange], Contents]:
        source = self.given.packs
        languages = frozenset(self.given.lang) or (frozenset() if self.given.remove else
                                                   frozenset(source))  # fmt: skip
        before = read_packs(_place(site), languages, self.given.file)
        touched = before if self.given.remove else {
            language: {file: one for file, one in files.items() if file in source[language]}
            for language, files in before.items()
        }  # fmt: skip
        return plan_strings(source, strings_of(touched), remove=self.given.remove), before


def _place(site: TargetSite) -> PackPlace:
    return pack_place(site.dataroot, site.forced.get("", {}).get("langlocalroot"))


def _write(
    site: TargetSite, changes: list[FileChange], before: Contents, writes: Writes
) -> list[str]:
    """Write files and what follows; where the database does not take that, the files go back."""
    place = _place(site)
    written = False
    try:
        with site.change() as connection:
            write_packs(place, writes, seen=before)
            written = True
            # Before anything is locked: each page that raises the number would wait, too.
            wait_for_php(place, before, writes)
            unsaved = note_strings(connection, changes)
    except BaseException as error:
        # Where the commit may have gone through, the files are as it says.
        if written and not (isinstance(error, VMoodleError) and error.code == "run.outcome"):
            back = {
                language: {file: before.get(language, {}).get(file) for file in files}
                for language, files in writes.items()
            }
            # What somebody has changed meanwhile is his.
            with suppress(Conflict):
                write_packs(place, back, seen=writes)
        raise
    words = site.drop_caches([Change.STRINGS])
    if unsaved:
        words.append(f"{unsaved} string(s) are edited there and not yet saved; they are left.")
    return words


def _words(site: TargetSite, changes: list[FileChange]) -> list[str]:
    place = _place(site)
    return [
        f"The language {one} is not installed there; its strings show once it is."
        for one in sorted({change.language for change in changes})
        if not place.has_language(one)
    ]


def _answer(changes: list[FileChange], words: list[str]) -> Table:
    rows = [(f"{one.language}_local/{one.file}", one.words, "") for one in changes]
    return Table(_COLUMNS, tuple(rows + [("", "", word) for word in words]))
