"""What differs between two runs: on which sites another answer came, or none any more."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vmoodle.errors import Refused
from vmoodle.fleet.result import Cell, Matrix, Result, Scalar, Table, Text, comparable
from vmoodle.fleet.runs.view import entry, result_of
from vmoodle.registry import runs
from vmoodle.registry.fleet_models import Run, RunSite

_NOT_THERE, _NOT_MEANT = "(not there)", "(not among the sites)"


def differences(before: Run, after: Run) -> Iterator[dict[str, Any]]:
    """Give each site of which the two runs tell different things, by shortname.

    Raise Refused `run.diff` for runs of different commands.
    """
    _refuse_other(before, after)
    return (_row(old, new) for old, new in _pairs(before, after))


@dataclass
class Difference:
    """One thing that is told otherwise, and of which sites: what it is, what was said, what is."""

    what: str
    before: str
    after: str
    sites: list[str] = field(default_factory=list)


def grouped_differences(before: Run, after: Run, most: int) -> tuple[list[Difference], int]:
    """Return `most` differences cell by cell, each once with its sites; and how many more.

    Raise as `differences`.
    """
    _refuse_other(before, after)
    found: dict[tuple[str, str, str], Difference] = {}
    more = 0
    for old, new in _pairs(before, after):
        site = (old or new).shortname  # type: ignore[union-attr]
        for told in _cells(old, new):
            if told in found or len(found) < most:
                found.setdefault(told, Difference(*told)).sites.append(site)
            else:
                more += 1
    return sorted(found.values(), key=lambda one: -len(one.sites)), more


def _refuse_other(before: Run, after: Run) -> None:
    if before.command != after.command:
        raise Refused(
            "run.diff",
            f"Run {before.id} is of {before.command}, run {after.id} of {after.command}.",
            "Compare runs of one command; `vmoodle run list` shows of which each is.",
        )


def _pairs(before: Run, after: Run) -> Iterator[tuple[RunSite | None, RunSite | None]]:
    """Give the sites of which two runs tell different things, None where it is not in one."""
    olds, news = runs.rows(before.id), runs.rows(after.id)
    old, new = next(olds, None), next(news, None)
    while old is not None or new is not None:
        if new is None or (old is not None and old.shortname < new.shortname):
            yield old, None
            old = next(olds, None)
        elif old is None or new.shortname < old.shortname:
            yield None, new
            new = next(news, None)
        else:
            if _differ(old, new):
                yield old, new
            old, new = next(olds, None), next(news, None)


def _differ(old: RunSite, new: RunSite) -> bool:
    if _told(old) == _told(new):
        return False
    before, after = result_of(old), result_of(new)
    if (
        before is None
        or after is None
        or (old.state, old.error_code) != (new.state, new.error_code)
    ):
        return True
    return comparable(before) != comparable(after)


def _told(row: RunSite) -> tuple[str, str | None, str]:
    return row.state, runs.result_of(row), row.error_code


def _cells(old: RunSite | None, new: RunSite | None) -> Iterator[tuple[str, str, str]]:
    """Give what differs in the answers of a site: cell by cell where both have the same form."""
    before, after = (row and result_of(row) for row in (old, new))
    match before, after:
        case Matrix(cells=was), Matrix(cells=now):
            yield from _named(_by_name(was), _by_name(now))
        case Table(columns=columns), Table() if len(columns) > 1:
            yield from _rows(before, after)
        case _:
            yield "", _words(old), _words(new)


def _named(was: Mapping[str, str], now: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    for name in dict.fromkeys([*was, *now]):
        if was.get(name) != now.get(name):
            yield name, was.get(name, _NOT_THERE), now.get(name, _NOT_THERE)


def _by_name(cells: Mapping[str, Cell]) -> dict[str, str]:
    return {name: _said(value) for name, value in cells.items()}


def _rows(before: Table, after: Table) -> Iterator[tuple[str, str, str]]:
    """Give the cells that differ in rows of the same name, and rows that only one of them has."""
    was, now = _by_first(before), _by_first(after)
    if before.columns == after.columns and was is not None and now is not None:
        for name in dict.fromkeys([*was, *now]):
            if name in was and name in now:
                cells = zip(before.columns[1:], was[name], now[name], strict=True)
                yield from ((f"{name}: {c}", old, new) for c, old, new in cells if old != new)
            else:
                yield name, _line(was.get(name)), _line(now.get(name))
        return
    old, new = (Counter(_line([_said(cell) for cell in row]) for row in t.rows)
                for t in (before, after))  # fmt: skip
    yield from (("row", line, _NOT_THERE) for line in (old - new).elements())
    yield from (("row", _NOT_THERE, line) for line in (new - old).elements())


def _by_first(table: Table) -> dict[str, list[str]] | None:
    """Return the rows by their first cell, None where that names not one row each."""
    found = {_said(row[0]): [_said(cell) for cell in row[1:]] for row in table.rows}
    return found if len(found) == len(table.rows) else None


def _line(cells: Sequence[str] | None) -> str:
    return _NOT_THERE if cells is None else ", ".join(cells)


def _said(value: object) -> str:
    return "NULL" if value is None else str(value)


def _words(row: RunSite | None) -> str:
    """Return in a line what came of a site."""
    if row is None:
        return _NOT_MEANT
    if row.error_code:
        return f"{row.state}: {row.error_message} [{row.error_code}]"
    result = result_of(row)
    return row.state if result is None else _answer(result)


def _answer(result: Result) -> str:
    match result:
        case Scalar(value=value):
            return _said(value)
        case Text(text=text):
            return text
        case Table(rows=rows):
            return "; ".join(_line([_said(cell) for cell in row]) for row in rows) or "(no rows)"
        case Matrix(cells=cells):
            return "; ".join(f"{name} {value}" for name, value in _by_name(cells).items())


def _row(old: RunSite | None, new: RunSite | None) -> dict[str, Any]:
    row = old or new
    change = "new" if old is None else "gone" if new is None else "changed"
    return {
        "site": row.shortname if row else "",
        "change": change,
        "before": _short(old),
        "after": _short(new),
    }


def _short(row: RunSite | None) -> dict[str, Any] | None:
    if row is None:
        return None
    return {k: v for k, v in entry(row).items() if k not in {"site", "duration_ms"}}
