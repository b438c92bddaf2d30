"""The words in which a Moodle site's identity is declared: what, what happens to it, why."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Action(Enum):
    """Say what happens to the thing."""

    DELETE = "delete the rows"
    EMPTY = "empty the table"
    BLANK = "blank: NULL where the column takes it, else empty text or zero"
    SET = "set to a fixed value"
    REGENERATE = "blank in a template, a value of its own in a copy"
    REDRAW = "draw the random minutes again"
    BUMP = "raise the revision, so that browsers and caches ask again"
    KEEP = "keep"


class Concern(Enum):
    """Say why the thing matters, and so when the action is taken."""

    IDENTITY = "marks this one site; a copy that keeps it passes for the original"
    ACCESS = "lets somebody or something into this site: tokens, sessions, devices, keys"
    STATE = "belongs to processes that run for this site now"
    CREDENTIAL = "opens another system"
    HISTORY = "tells what happened on this site"
    PERSONAL = "tells about people"
    CONTENT = "is what the site is copied for"


TEMPLATE_CONCERNS = frozenset(Concern) - {Concern.CONTENT}
COPY_CONCERNS = frozenset({Concern.IDENTITY, Concern.ACCESS, Concern.STATE})
"""What any copy loses, also a clone that keeps its people, history and connections."""


@dataclass(frozen=True)
class Settings:
    """Name settings of one component; `core` is the table config, `*` any component.

    In a name `*` stands for any text. `where` narrows by the value, in SQL of both engines.
    """

    component: str
    names: tuple[str, ...]
    where: str = ""


@dataclass(frozen=True)
class Table:
    """Name a table, or the rows of it that the SQL condition `where` picks."""

    name: str
    where: str = ""


@dataclass(frozen=True)
class Columns:
    """Name columns of a table, in all rows or in those the SQL condition `where` picks."""

    table: str
    names: tuple[str, ...]
    where: str = ""


Place = Settings | Table | Columns


@dataclass(frozen=True)
class Entry:
    """Declare one part of a site's identity.

    `kind` names the maker of the new value. `value` is what SET writes, and what stands in for a
    regenerated value in a template; kinds that begin with `row_` are made row by row in the
    database, there too. `keep_when` is `people` where the action is left out while people are kept.
    `create` adds a setting that is missing. In conditions `:admin`, `:admins`, `:guest`,
    `:localhost` and `:allhosts` are the ids Moodle's config has.
    """

    place: Place
    action: Action
    concern: Concern
    reason: str
    source: str
    kind: str = ""
    value: str | int | None = None
    keep_when: str = ""
    create: bool = False

    @property
    def table(self) -> str:
        """Return the table the entry is about."""
        if isinstance(self.place, Settings):
            return "config" if self.place.component == "core" else "config_plugins"
        return self.place.name if isinstance(self.place, Table) else self.place.table

    @property
    def label(self) -> str:
        """Return a short name for reports, such as `mod_lti/kid` or `user.secret`."""
        place = self.place
        if isinstance(place, Settings):
            return ", ".join(f"{place.component}/{name}" for name in place.names)
        if isinstance(place, Columns):
            return ", ".join(f"{place.table}.{name}" for name in place.names)
        return place.name


SCHEMA = "lib/db/install.xml 4.5"
"""The source of what Moodle's own tables hold, which says what each column is for."""


def regenerate(
    place: Place,
    kind: str,
    reason: str,
    source: str,
    *,
    value: str | None = None,
    create: bool = False,
) -> Entry:
    """Declare what a template lacks (or has `value` for) and every copy gets anew."""
    return Entry(
        place, Action.REGENERATE, Concern.IDENTITY, reason, source, kind, value, create=create
    )


def delete(place: Place, concern: Concern, reason: str, source: str, keep_when: str = "") -> Entry:
    """Declare rows that go."""
    return Entry(place, Action.DELETE, concern, reason, source, keep_when=keep_when)


def blank(place: Place, concern: Concern, reason: str, source: str) -> Entry:
    """Declare a value that goes while its row stays."""
    return Entry(place, Action.BLANK, concern, reason, source)


def put(place: Place, value: str | int, concern: Concern, reason: str, source: str) -> Entry:
    """Declare a fixed value."""
    return Entry(place, Action.SET, concern, reason, source, value=value)


def empty(
    concern: Concern, reason: str, source: str, *tables: str, keep_when: str = ""
) -> tuple[Entry, ...]:
    """Declare tables that are emptied."""
    return tuple(
        Entry(Table(name), Action.EMPTY, concern, reason, source, keep_when=keep_when)
        for name in tables
    )


def keep(place: Place, reason: str, source: str) -> Entry:
    """Declare what stays on purpose."""
    return Entry(place, Action.KEEP, Concern.CONTENT, reason, source)
