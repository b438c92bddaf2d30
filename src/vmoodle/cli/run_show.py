"""Show what came of a run: as one JSON object, or its answers together and what went wrong."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import partial
from itertools import chain, islice
from typing import TYPE_CHECKING

import typer

from vmoodle.cli.option_words import with_options
from vmoodle.cli.output import in_a_cell, in_a_row, names, print_table, print_text, say
from vmoodle.cli.run_problems import show_problems
from vmoodle.cli.visible import LONGEST_CELL
from vmoodle.errors import Failed

if TYPE_CHECKING:
    from vmoodle.fleet.command import Comparison
    from vmoodle.fleet.result import Compared, Result
    from vmoodle.registry.fleet_models import Run

_MOST_ROWS = 1000
_MORE = f"the first {_MOST_ROWS} rows; `vmoodle run export` writes all that were kept"
_MOST_VALUES = 4


def show_run(
    run: Run,
    comparison: Comparison | None = None,
    *,
    json: bool,
    show: Callable[[Run], None] | None = None,
    told: Collection[str] = (),
) -> None:
    """Print a run, as `show` does where it is given; exit with 1 when a site did not do well.

    Of the sites `told` it was said before what went wrong.
    """
    from vmoodle.fleet.runs.export import write_json
    from vmoodle.fleet.runs.view import all_well

    if json:
        write_json(run, sys.stdout, with_options)
    elif show is not None:
        show(run)
    else:
        show_answers(run, comparison, told)
    if not all_well(run):
        raise typer.Exit(1)


def show_answers(
    run: Run, comparison: Comparison | None = None, told: Collection[str] = ()
) -> None:
    """Print the answers together, then what went wrong and was not `told` before, then the sum."""
    from vmoodle.fleet.command import Comparison
    from vmoodle.fleet.runs.view import answers

    shows: dict[Comparison, Callable[[Iterable[tuple[str, Result]]], None]] = {
        Comparison.MERGED: _merged,
        Comparison.MATRIX: partial(_matrix, run),
        Comparison.BY_ROW: partial(_by_row, run),
        Comparison.BY_SHAPE: _by_shape,
    }
    cut: dict[int, list[str]] = {}
    answered = _noting_cuts(answers(run), cut)
    if first := list(islice(answered, 1)):  # where no site answers, none differs
        shows.get(comparison or Comparison.GROUPED, _grouped)(chain(first, answered))
    for _rest in answered:
        pass  # what is not shown may be cut too
    show_cuts(cut)
    show_problems(run, told)


def show_cuts(cut: Mapping[int, list[str]]) -> None:
    """Say of which sites only the first rows were kept, and how many."""
    for count, sites in sorted(cut.items()):
        say(
            f"{names(sites)}: only the first {count} row(s) were kept "
            "(fleet.most_rows, fleet.most_bytes)"
        )


def _noting_cuts(
    told: Iterable[tuple[str, Result]], cut: dict[int, list[str]]
) -> Iterator[tuple[str, Result]]:
    """Give the answers, and note the sites of which only so many rows were kept."""
    from vmoodle.fleet.runs.view import kept_rows

    for site, answer in told:
        if count := kept_rows(answer):
            cut.setdefault(count, []).append(site)
        yield site, answer


def _grouped(told: Iterable[tuple[str, Result]]) -> None:
    from vmoodle.fleet.result import Table, grouped

    groups = grouped(told)
    short = [
        (str(len(group.sites)), in_a_cell(_short(group.answer)), names(group.sites))
        for group in groups
        if _short(group.answer) is not None
    ]
    if short:
        print_table(("SITES", "SAY", "WHICH"), short, "")
    for group in groups:
        if _short(group.answer) is not None:
            continue
        print_text(f"{len(group.sites)} site(s): {names(group.sites)}")
        if isinstance(group.answer, Table):
            rows = [[_cell(value) for value in row] for row in group.answer.rows[:_MOST_ROWS]]
            print_table(group.answer.columns, rows, "no rows")
            if len(group.answer.rows) > _MOST_ROWS:
                say(_MORE)
        else:
            print_text("\n".join(f"  {line}" for line in _lines(group.answer)))


def _short(answer: Result) -> str | None:
    """Return an answer that fits into a cell, None for one that does not."""
    from vmoodle.fleet.result import Matrix, Scalar, Table, Text

    match answer:
        case Scalar(value=value):
            return _said(value)
        case Text(text=text):
            return text if "\n" not in text and len(text) <= LONGEST_CELL else None
        case Table(columns=columns, rows=rows) if len(rows) == len(columns) == 1:
            return _said(rows[0][0])
        case Table(rows=()):
            return "(no rows)"
        case Matrix(cells=cells) if len(cells) == 1:
            return _said(next(iter(cells.values())))
    return None


def _said(value: object) -> str:
    return "NULL" if value is None else str(value)


def _cell(value: object) -> str:
    return "" if value is None else in_a_cell(value)


def _lines(answer: Result) -> list[str]:
    from vmoodle.fleet.result import Matrix, Text

    match answer:
        case Text(text=text):
            return text.splitlines()
        case Matrix(cells=cells):
            return [f"{name}  {_said(value)}" for name, value in cells.items()]
    return [str(answer)]


def _by_shape(told: Iterable[tuple[str, Result]]) -> None:
    """Group answers of one cell, merge others; the first tells which they are."""
    rest = iter(told)
    first = list(islice(rest, 1))
    one_cell = all(_short(answer) is not None for _site, answer in first)
    (_grouped if one_cell else _merged)(chain(first, rest))


def _merged(told: Iterable[tuple[str, Result]]) -> None:
    from vmoodle.fleet.headings import Headings, shared
    from vmoodle.fleet.result import merged

    few = list(_enough(told))
    rows = list(islice(merged(shared(few, Headings(few))), _MOST_ROWS + 1))
    columns = list(dict.fromkeys(name for row in rows for name in row))
    shown = [
        [in_a_cell(_said(row[c])) if c in row else "" for c in columns] for row in rows[:_MOST_ROWS]
    ]
    print_table([c.upper() if c == "site" else c for c in columns], shown, "No rows.")
    if len(rows) > _MOST_ROWS:
        say(_MORE)


def _enough(told: Iterable[tuple[str, Result]]) -> Iterator[tuple[str, Result]]:
    """Give as many answers as there are shown, and one row more."""
    from vmoodle.fleet.result import Table

    count = 0
    for site, answer in told:
        yield site, answer
        count += len(answer.rows) if isinstance(answer, Table) else 1
        if count > _MOST_ROWS:
            return


def _by_row(run: Run, told: Iterable[tuple[str, Result]]) -> None:
    """Print each row of the tables once, with the sites that have it; empty columns are left out.

    Sites without a row are named once.
    """
    from vmoodle.fleet.result import Table, by_row
    from vmoodle.fleet.runs.view import silence

    silent: list[str] = []
    asked = 0

    def rows_of() -> Iterator[tuple[str, Result]]:
        nonlocal asked
        for site, answer in told:
            asked += 1
            if answer == Table(answer.columns if isinstance(answer, Table) else (), ()):
                silent.append(site)
            else:
                yield site, answer

    rows = by_row(rows_of())
    columns = [
        name
        for name in dict.fromkeys(name for one in rows for name in one.row)
        if any(one.row.get(name) not in (None, "") for one in rows)
    ]
    shown = [
        (
            *(in_a_row(one.row.get(name, ""), cut=name != "note") for name in columns),
            len(one.sites),
            "all" if len(one.sites) == asked > 1 else names(one.sites),
        )
        for one in rows[:_MOST_ROWS]
    ]
    if shown or (asked and not silent):
        headings = [name.upper().replace("_", " ") for name in columns]
        print_table([*headings, "SITES", "WHICH"], shown, "No rows.")
    if len(rows) > _MOST_ROWS:
        say(_MORE)
    if silent:
        print_text(f"{len(silent)} site(s) with {silence(run)}: {names(silent)}")


def _matrix(run: Run, told: Iterable[tuple[str, Result]]) -> None:
    """Print the names of which not all say the same; how many others there are is said."""
    from vmoodle.fleet.result import compared
    from vmoodle.fleet.runs.view import matrix

    try:
        found = matrix(run)
    except Failed as error:
        if error.code != "command.internal":
            raise
        say(f"{error.message} [{error.code}] {error.hint} Compared as other commands are:")
        found = None
    found = compared(told) if found is None else found
    rows = [row for row in found if row.differing or row.shown]
    against = next((f"{row.against} SAYS" for row in rows if row.against), "MOST SAY")
    print_table(
        ("NAME", against, "OTHERS"),
        [(row.name, _most_say(row), _others(row)) for row in rows],
        "No differences.",
    )
    if len(found) > len(rows):
        say(f"{len(found) - len(rows)} more are the same on all of them")


def _most_say(row: Compared) -> str:
    if row.is_split:
        return "(no majority)"
    is_absent = row.rare or (row.against and row.majority is None)
    return "(not there)" if is_absent else _short_cell(row.majority)


def _others(row: Compared) -> str:
    """Return who differs, those together that have the same."""
    groups: dict[str, list[str]] = {}
    for site in row.differing:
        there = "(not there)" if row.states is None else f"({row.state(site)})"
        value = _short_cell(row.cells[site]) if site in row.cells else there
        groups.setdefault(value, []).append(site)
    most_first = sorted(groups.items(), key=lambda item: -len(item[1]))
    most = None if row.is_split else _MOST_VALUES
    told = [f"{names(sites)}: {value}" for value, sites in most_first[:most]]
    rest = len(groups) - len(told)
    return "; ".join(told) + (f"; {rest} more values" if rest else "")


def _short_cell(value: object) -> str:
    text = " ".join(_said(value).split())
    if not text:
        return "(empty)"
    return in_a_row(text)
