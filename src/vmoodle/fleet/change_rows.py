"""The answer of a change: what is changed, what was, what is then, and a note, a row for each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from vmoodle.fleet.result import Cell, Table


def change_table(
    subject: Sequence[str], rows: Iterable[tuple[Cell, ...]], notes: Iterable[str] = ()
) -> Table:
    """Return the rows under the names of what is changed, and `old`, `new`, `note`.

    Each of the notes, which are about the site as a whole, has a row of its own.
    """
    blank: tuple[Cell, ...] = ("",) * len(subject)
    told = ((*blank, None, None, note) for note in notes)
    return Table((*subject, "old", "new", "note"), (*rows, *told))
