"""The answer of a change: what is changed, what was, what is then, and a note, a row for each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from vmoodle.fleet.result import Cell, Result, Table

NOTHING = "nothing to change"
"""What is said of a site that a change would leave as it is."""
AS_IT_IS = "is so already"
LEFT = "left: "
"""What the note of a row begins with that stays as it is, before the reason."""


def change_table(
    subject: Sequence[str], rows: Iterable[tuple[Cell, ...]], notes: Iterable[str] = ()
) -> Table:
    """Return the rows under the names of what is changed, and `old`, `new`, `note`.

    Each of the notes, which are about the site as a whole, has a row of its own.
    """
    blank: tuple[Cell, ...] = ("",) * len(subject)
    told = ((*blank, None, None, note) for note in notes)
    return Table((*subject, "old", "new", "note"), (*rows, *told))


def all_stay(answer: Result, *notes: str) -> bool:
    """Tell whether the answer of a trial is whole, and the note of each row begins with one.

    A note about the site as a whole says of no change.
    """
    return (
        isinstance(answer, Table)
        and not answer.truncated
        and all(str(row[-1]).startswith(notes) or not any(row[:-1]) for row in answer.rows)
    )
