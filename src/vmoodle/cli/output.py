"""How results are shown: aligned tables and short blocks for people, `--json` for scripts."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any

import typer

from vmoodle.cli.visible import LONGEST_CELL, in_a_line, shortened, visible, visible_json

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]

_MOST_NAMES = 8
_LONGEST_IN_A_ROW = 60
# A cell of LONGEST_CELL characters, with the words that it was longer.
_WIDEST_COLUMN = LONGEST_CELL + 30
_STATE_COLOURS = {
    "enabled": "green",
    "done": "green",
    "suspended": "yellow",
    "deploying": "cyan",
    "running": "cyan",
    "queued": "cyan",
    "reverting": "yellow",
    "needs attention": "red",
    "deleting": "red",
    "DAMAGED": "red",
    "failed": "red",
    "created": "green",
    "adopted": "green",
    "deleted": "yellow",
    "ready": "green",
    "making": "cyan",
}


def print_json(value: object) -> None:
    """Print a value as one JSON document; times as ISO 8601."""
    text = json.dumps(value, ensure_ascii=False, indent=2, default=str)
    if _shown(text) != text:
        text = json.dumps(value, indent=2, default=str)
    sys.stdout.write(visible_json(text) + "\n")


def print_table(headings: Sequence[str], rows: Sequence[Sequence[object]], empty: str) -> None:
    """Print rows under their headings, each column as wide as its widest cell, up to a limit."""
    if not rows:
        print_text(empty)
        return
    heads = [in_a_cell(heading) for heading in headings]
    cells = [["" if cell is None else in_a_line(str(cell)) for cell in row] for row in rows]
    widths = [
        min(_WIDEST_COLUMN, max(len(heading), *(len(row[column]) for row in cells)))
        for column, heading in enumerate(heads)
    ]
    colour = sys.stdout.isatty()
    lines = [_line(heads, widths)]
    if colour:
        lines[0] = typer.style(lines[0], bold=True)
    lines += [_line(row, widths, colour=colour) for row in cells]
    sys.stdout.write(_shown("\n".join(lines)) + "\n")


def print_block(facts: Mapping[str, object]) -> None:
    """Print `name  value` lines, values aligned; a list takes a line an item."""
    shown = {in_a_cell(name): value for name, value in facts.items()}
    width = max(len(name) for name in shown)
    for name, value in shown.items():
        values: Sequence[Any] = value if isinstance(value, list) else [value]
        # A newline in a value begins no fact of its own.
        lines = [line for item in values for line in visible(_word(item)).split("\n")]
        for index, line in enumerate(lines or [""]):
            print_text(f"{name if index == 0 else '':<{width}}  {line}".rstrip())


def print_text(text: str = "") -> None:
    """Print a line, or several, of the result; what would steer the terminal is escaped."""
    typer.echo(_shown(visible(text)))


def say(text: str) -> None:
    """Tell a person something that is not the result: it goes to stderr, escaped as there."""
    typer.echo(visible(text), err=True)


def names(sites: Iterable[str]) -> str:
    """Return the names of sites, the first few of many."""
    listed = list(sites)
    more = f" and {len(listed) - _MOST_NAMES} more" if len(listed) > _MOST_NAMES else ""
    return ", ".join(listed[:_MOST_NAMES]) + more


def in_a_row(value: object, *, cut: bool = True) -> str:
    """Return a cell as it stands in a row of a table: one line, and cut where it is long."""
    text = in_a_line("" if value is None else str(value))
    return f"{text[:_LONGEST_IN_A_ROW]}…" if cut and len(text) > _LONGEST_IN_A_ROW else text


def in_a_cell(value: object) -> str:
    """Return what a site answered as a cell: one line; of a very long one the beginning."""
    return shortened(in_a_line(str(value)))


def moment(value: Any) -> str:
    """Return a time as a person reads it (UTC, to the second), empty for none."""
    return value.strftime("%Y-%m-%d %H:%M:%S") if value else ""


def in_bytes(count: int) -> str:
    """Return a number of bytes as a person reads it: 36.4 MB (10^6 bytes)."""
    size = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def _word(value: object) -> str:
    """Return a value as a person reads it: nothing for none, yes and no for true and false."""
    if value is None:
        return ""
    return ("no", "yes")[value] if isinstance(value, bool) else str(value)


def _shown(text: str) -> str:
    """Return the text with what stdout's encoding has no character for escaped."""
    encoding = sys.stdout.encoding or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def _line(row: Sequence[str], widths: Sequence[int], *, colour: bool = False) -> str:
    padded = []
    for cell, width in zip(row, widths, strict=True):
        text = f"{cell:<{width}}"
        padded.append(
            typer.style(text, fg=_STATE_COLOURS[cell])
            if colour and cell in _STATE_COLOURS
            else text
        )
    return "  ".join(padded).rstrip()


def show_queued(operation: str, facts: dict[str, Any], *, json: bool) -> None:
    """Say how to follow an operation that was only queued; with `json` give it and the facts."""
    if json:
        print_json({"operation": operation} | facts)
    else:
        say(f"vmoodle operation follow {operation}")
