"""Show what came of a run: as one JSON object, or its answers together and what went wrong."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from itertools import chain, count, islice
from typing import TYPE_CHECKING

import typer

from vmoodle.cli.output import print_table, say

if TYPE_CHECKING:
    from vmoodle.fleet.command import Comparison
    from vmoodle.fleet.result import Result
    from vmoodle.registry.fleet_models import Run

_MOST_ROWS = 1000
_MOST_NAMES = 8
_MOST_LINES = 20
_WIDEST = 120


def show_run(
    run: Run,
    comparison: Comparison | None = None,
    *,
    json: bool,
    show: Callable[[Run], None] | None = None,
) -> None:
    """Print a run, as `show` does where it is given; exit with 1 when a site did not do well."""
    from vmoodle.fleet.run_export import write_json
    from vmoodle.fleet.run_view import all_well

    if json:
        write_json(run, sys.stdout)
    elif show is not None:
        show(run)
    else:
        show_answers(run, comparison)
    if not all_well(run):
        raise typer.Exit(1)


def show_answers(run: Run, comparison: Comparison | None = None) -> None:
    """Print the answers together, then what went wrong, then the sum."""
    from vmoodle.fleet.command import Comparison
    from vmoodle.fleet.run_view import answers

    shows = {
        Comparison.MERGED: _merged,
        Comparison.BY_ROW: _by_row,
        Comparison.MATRIX: _matrix,
        Comparison.BY_SHAPE: _by_shape,
    }
    shows.get(comparison or Comparison.GROUPED, _grouped)(answers(run))
    show_problems(run)


def show_problems(run: Run) -> None:
    """Print what went wrong, then the sum."""
    from vmoodle.fleet.run_view import problems, summary

    for row in islice(problems(run), _MOST_LINES):
        told = f"{row.error_message} [{row.error_code}] {row.error_hint}" if row.error_code else ""
        say(f"{row.shortname}: {row.state}. {told}".rstrip(". "))
    counted = summary(run)
    seconds = counted.pop("seconds")
    said = [f"{count} {word}" for word, count in counted.items() if count and word != "sites"]
    took = f" in {seconds:.1f} s" if seconds is not None else ""
    say(f"{counted['sites']} site(s){took}: {', '.join(said)}; vmoodle run show {run.id}")


def names(sites: Iterable[str]) -> str:
    """Return the names of sites, the first few of many."""
    listed = list(sites)
    more = f" and {len(listed) - _MOST_NAMES} more" if len(listed) > _MOST_NAMES else ""
    return ", ".join(listed[:_MOST_NAMES]) + more


def _grouped(told: Iterable[tuple[str, Result]]) -> None:
    from vmoodle.fleet.result import Table, grouped

    groups = grouped(told)
    short = [
        (str(len(group.sites)), _short(group.answer), names(group.sites))
        for group in groups
        if _short(group.answer) is not None
    ]
    if short:
        print_table(("SITES", "SAY", "WHICH"), short, "")
    for group in groups:
        if _short(group.answer) is not None:
            continue
        typer.echo(f"{len(group.sites)} site(s): {names(group.sites)}")
        if isinstance(group.answer, Table):
            print_table(group.answer.columns, group.answer.rows[:_MOST_ROWS], "no rows")
            if group.answer.truncated or len(group.answer.rows) > _MOST_ROWS:
                say("there were more rows")
        else:
            typer.echo("\n".join(f"  {line}" for line in _lines(group.answer)))


def _short(answer: Result) -> str | None:
    """Return an answer that fits into a cell, None for one that does not."""
    from vmoodle.fleet.result import Matrix, Scalar, Table, Text

    match answer:
        case Scalar(value=value):
            return _said(value)
        case Text(text=text):
            return text if "\n" not in text else None
        case Table(columns=columns, rows=rows) if len(rows) == len(columns) == 1:
            return _said(rows[0][0])
        case Table(rows=()):
            return "(no rows)"
        case Matrix(cells=cells) if len(cells) == 1:
            return _said(next(iter(cells.values())))
    return None


def _said(value: object) -> str:
    return "NULL" if value is None else str(value)


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
    from vmoodle.fleet.result import merged

    rows = list(islice(merged(told), _MOST_ROWS + 1))
    columns = list(dict.fromkeys(name for row in rows for name in row))
    shown = [[_said(row[c]) if c in row else "" for c in columns] for row in rows[:_MOST_ROWS]]
    print_table([c.upper() if c == "site" else c for c in columns], shown, "No rows.")
    if len(rows) > _MOST_ROWS:
        say(f"the first {_MOST_ROWS} rows; `vmoodle run export` writes them all")


def _by_row(told: Iterable[tuple[str, Result]]) -> None:
    """Print each row once with the sites that have it."""
    from vmoodle.fleet.result import by_row

    asked = count()
    columns, rows = by_row(answer for answer, _number in zip(told, asked, strict=False))
    total = next(asked)
    shown = [
        [*map(_in_a_cell, row), len(sites), "all" if len(sites) == total > 1 else names(sites)]
        for row, sites in rows[:_MOST_ROWS]
    ]
    headings = [name.upper().replace("_", " ") for name in columns]
    print_table([*headings, "SITES", "WHICH"], shown, "No rows.")
    if len(rows) > _MOST_ROWS:
        say(f"the first {_MOST_ROWS} rows; `vmoodle run export` writes them all")


def _in_a_cell(value: object) -> str:
    """Return a value on one line, the beginning of a long one."""
    text = "" if value is None else str(value)
    text = text.replace("\r", "").replace("\n", "\\n")
    return f"{text[:_WIDEST]} …" if len(text) > _WIDEST else text


def _matrix(told: Iterable[tuple[str, Result]]) -> None:
    """Print the names of which not all say the same; how many others there are is said."""
    from vmoodle.fleet.result import compared

    rows = []
    same = 0
    for row in compared(told):
        if not row.differing:
            same += 1
            continue
        other = [
            f"{site}: {_said(row.cells[site]) if site in row.cells else '(not there)'}"
            for site in row.differing
        ]
        rows.append((row.name, "(not there)" if row.rare else _said(row.majority), names(other)))
    print_table(("NAME", "MOST SAY", "OTHERS"), rows, "No differences.")
    if same:
        say(f"{same} more are the same on all of them")
