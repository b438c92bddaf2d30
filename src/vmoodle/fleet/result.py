"""What a command answers for one site, and how the answers of many are compared."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from hashlib import sha256
from typing import Any, TypeAlias

from vmoodle.errors import Unavailable
from vmoodle.majority import majority_of

Cell: TypeAlias = str | int | float | bool | None


def cell(value: object) -> Cell:
    """Return a value of a database as JSON can hold it, the same for both engines.

    A decimal without a fraction becomes an integer, any other its exact text; bytes become text
    where they are UTF-8, else `0x…`; times become ISO 8601.
    """
    match value:
        case None | bool() | int() | float() | str():
            return value
        case Decimal():
            whole = value.is_finite() and value == value.to_integral_value()
            return int(value) if whole else f"{value:f}"
        case datetime() | date() | time():
            return value.isoformat()
        case timedelta():
            return value.total_seconds()
        case bytes() | bytearray() | memoryview():
            return _text(bytes(value))
    return str(value)


def _text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return f"0x{raw.hex()}"


@dataclass(frozen=True)
class Scalar:
    """One value."""

    value: Cell

    def as_facts(self) -> dict[str, Any]:
        """Return the members of the result for JSON."""
        return {"value": self.value}


@dataclass(frozen=True)
class Text:
    """Words for a person, of several lines maybe; they are not compared."""

    text: str

    def as_facts(self) -> dict[str, Any]:
        """Return the members of the result for JSON."""
        return {"value": self.text}


@dataclass(frozen=True)
class Table:
    """Rows under named columns; `truncated` says that there were more."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    truncated: bool = False

    def as_facts(self) -> dict[str, Any]:
        """Return the members of the result for JSON: rows as objects by column name."""
        names = unique_names(self.columns)
        facts: dict[str, Any] = {"rows": [dict(zip(names, row, strict=True)) for row in self.rows]}
        if len(self.rows) == len(self.columns) == 1:
            facts["value"] = self.rows[0][0]
        return facts | ({"truncated": True} if self.truncated else {})


@dataclass(frozen=True)
class Matrix:
    """What one site has for each of many names: a column of the fleet's matrix.

    A cell is missing where the site knows no such name.
    """

    cells: Mapping[str, Cell] = field(default_factory=dict)

    def as_facts(self) -> dict[str, Any]:
        """Return the members of the result for JSON."""
        return {"matrix": dict(self.cells)}


Result: TypeAlias = Scalar | Text | Table | Matrix


@dataclass(frozen=True)
class Changed:
    """What a change answered, and what its command needs to take it back; None for nothing.

    `undo` is JSON; it is kept encrypted, for it has what a site had before.
    """

    answer: Result
    undo: Any = field(default=None, repr=False)


def unique_names(columns: Sequence[str]) -> list[str]:
    """Return the column names, one that comes again with a number: id, id_2."""
    seen: set[str] = set()
    names = []
    for column in columns:
        name, number = column, 1
        while name in seen:
            number += 1
            name = f"{column}_{number}"
        seen.add(name)
        names.append(name)
    return names


def to_json(result: Result) -> str:
    """Return a result as it is kept."""
    stored: dict[str, Any]
    match result:
        case Scalar():
            stored = {"scalar": result.value}
        case Text():
            stored = {"text": result.text}
        case Table():
            stored = {"columns": result.columns, "rows": result.rows, "cut": result.truncated}
        case Matrix():
            stored = {"matrix": dict(result.cells)}
        case _:
            raise TypeError(f"a {type(result).__name__} is no result")
    return json.dumps(stored, ensure_ascii=False, separators=(",", ":"))


def comparable(result: Result) -> str:
    """Return what equal answers have in common: engines name the column of a lone cell each."""
    match result:
        case Table(columns=(_,), rows=((value,),), truncated=False):
            return to_json(Table(("",), ((value,),)))
        case Table(rows=(), truncated=False):
            return to_json(Table((), ()))
    return to_json(result)


def from_json(text: str) -> Result:
    """Return a result that was kept; raise Unavailable for one that cannot be read."""
    stored = json.loads(text)
    match stored:
        case {"scalar": value}:
            return Scalar(value)
        case {"text": str(words)}:
            return Text(words)
        case {"columns": columns, "rows": rows, "cut": cut}:
            return Table(tuple(columns), tuple(tuple(row) for row in rows), bool(cut))
        case {"matrix": dict(cells)}:
            return Matrix(cells)
    raise Unavailable(
        "run.result", "A kept result has a form this release does not know.", "Run it again."
    )


def capped(result: Result, most_bytes: int) -> Result:
    """Return the result, or as much of it as fits into so many bytes."""
    match result:
        case Table(columns=columns, rows=rows, truncated=truncated):
            size = 0
            for count, row in enumerate(rows):
                size += sum(len(one) if isinstance(one, str) else 8 for one in row)
                if size > most_bytes and count:
                    return Table(columns, rows[:count], truncated=True)
            return Table(columns, rows, truncated)
        case Text(text=text) if len(text) > most_bytes:
            return Text(text[:most_bytes] + " …")
        case Scalar(value=str(text)) if len(text) > most_bytes:
            return Scalar(text[:most_bytes] + " …")
    return result


@dataclass(frozen=True)
class Group:
    """Sites that gave the same answer."""

    answer: Result
    sites: tuple[str, ...]

    def as_facts(self) -> dict[str, Any]:
        """Return the members for JSON."""
        return {"count": len(self.sites), **self.answer.as_facts(), "sites": list(self.sites)}


OTHERS = Text("(other answers)")


def grouped(answers: Iterable[tuple[str, Result]], most: int = 200) -> list[Group]:
    """Return the answers, each once, with the sites that gave it; the most frequent one first.

    Only `most` different ones are told apart; what comes then is one group, the last. How the only
    cell is called does not matter.
    """
    kinds: dict[str, tuple[Result, list[str]]] = {}
    others: list[str] = []
    for site, result in answers:
        key = sha256(comparable(result).encode()).hexdigest()
        if key in kinds or len(kinds) < most:
            kinds.setdefault(key, (result, []))[1].append(site)
        else:
            others.append(site)
    found = [Group(result, tuple(sites)) for result, sites in kinds.values()]
    found.sort(key=lambda group: (-len(group.sites), group.sites[:1]))
    return found + ([Group(OTHERS, tuple(others))] if others else [])


def merged(answers: Iterable[tuple[str, Result]]) -> Iterator[dict[str, Cell]]:
    """Give the rows of all answers as objects, each with its site in front.

    A column that is itself called `site` becomes `site_2`.
    """
    for site, result in answers:
        match result:
            case Scalar(value=value):
                yield {"site": site, "value": value}
            case Text(text=text):
                yield {"site": site, "value": text}
            case Matrix(cells=cells):
                for name, what in cells.items():
                    yield {"site": site, "name": name, "value": what}
            case Table(columns=columns, rows=rows):
                names = unique_names(("site", *columns))
                for row in rows:
                    yield dict(zip(names, (site, *row), strict=True))


@dataclass(frozen=True)
class Compared:
    """One row of the fleet's matrix: what each site has, what most have, and who differs."""

    name: str
    cells: Mapping[str, Cell]
    majority: Cell
    unknown: tuple[str, ...]
    """Sites that know no such name."""
    states: Mapping[str, str] | None = None
    """How each site that stands out does, in a word, where the command says it itself."""
    against: str = ""
    """The site whose cell stands in place of the majority's, where there is one."""
    shown: bool = False
    """It is shown although no site stands out."""
    rare: bool = False
    """Most sites know no such name, so that those that do are the ones that differ."""
    is_split: bool = False
    """There is no majority, and all values are told."""

    @property
    def differing(self) -> tuple[str, ...]:
        """The sites that have not what most have; for most that may be no such name."""
        if self.states is not None:
            return tuple(sorted(self.states))
        if self.is_split:
            return tuple(sorted({*self.cells, *self.unknown}))
        if self.rare:
            return tuple(sorted(self.cells))
        other = [site for site, value in self.cells.items() if value != self.majority]
        return tuple(sorted({*other, *self.unknown}))

    def state(self, site: str) -> str:
        """Return in a word how a site stands out."""
        if self.states is not None:
            return self.states[site]
        return "differs" if site in self.cells else "not there"

    def as_facts(self) -> dict[str, Any]:
        """Return the members for JSON."""
        standard = {"against": self.against} if self.against else {}
        split = {"no_majority": True} if self.is_split else {}
        return {
            "name": self.name, **standard, "majority": self.majority, **split,
            "differing": {
                site: {"value": self.cells.get(site), "state": self.state(site)}
                for site in self.differing
            },
        }  # fmt: skip


def compared(answers: Iterable[tuple[str, Result]]) -> list[Compared]:
    """Return the matrix of names and sites; answers of another form are left out.

    The majority is what more than half of the sites have that know the name; where more than half
    of all know no such name, that is.
    """
    columns = {site: result.cells for site, result in answers if isinstance(result, Matrix)}
    names = sorted({name for cells in columns.values() for name in cells})
    rows = []
    for name in names:
        cells = {site: column[name] for site, column in columns.items() if name in column}
        most = majority_of(json.dumps(value) for value in cells.values())
        unknown = tuple(sorted(columns.keys() - cells.keys()))
        rare = 2 * len(unknown) > len(columns)
        majority = None if most is None else json.loads(most)
        is_split = most is None and not rare
        rows.append(Compared(name, cells, majority, unknown, rare=rare, is_split=is_split))
    return rows


@dataclass
class SharedRow:
    """One row of many tables, as an object by column name, and the sites that have it."""

    row: dict[str, Cell]
    sites: list[str]


def by_row(answers: Iterable[tuple[str, Result]]) -> list[SharedRow]:
    """Return each row of the answers once, in the order in which they first come.

    Rows that begin alike stand together.
    """
    rows: dict[str, SharedRow] = {}
    places: dict[Cell, int] = {}
    for row in merged(answers):
        site = str(row.pop("site"))
        places.setdefault(next(iter(row.values()), None), len(places))
        rows.setdefault(json.dumps(row), SharedRow(row, [])).sites.append(site)
    return sorted(rows.values(), key=lambda one: places[next(iter(one.row.values()), None)])
