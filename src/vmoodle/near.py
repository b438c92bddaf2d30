"""What somebody may have meant by a name that nothing is called."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

DID_YOU_MEAN = "Did you mean"


def near(name: str, names: Iterable[str], otherwise: str = "", *, alike: float = 0.6) -> str:
    """Return the question whether one of the names was meant; `otherwise` where none is near.

    `alike` (0 to 1) is high for names that share much of their form, such as capabilities.
    """
    return did_you_mean(nearest(name, names, alike=alike), otherwise)


def nearest(name: str, names: Iterable[str], *, alike: float = 0.6) -> list[str]:
    """Return up to three of the names that are near to this one, the nearest first."""
    return get_close_matches(name, list(names), n=3, cutoff=alike)


def did_you_mean(names: Sequence[str], otherwise: str = "") -> str:
    """Return "Did you mean a, b or c?"; `otherwise` for no names."""
    if not names:
        return otherwise
    *first, last = names
    return f"{DID_YOU_MEAN} {', '.join(first)} or {last}?" if first else f"{DID_YOU_MEAN} {last}?"
