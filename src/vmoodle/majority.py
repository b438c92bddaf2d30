"""What most of several have: more than half of those that were counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable


def majority_of(values: Iterable[str]) -> str | None:
    """Return the value that more than half of all are; None where none is."""
    counted = Counter(values)
    for most, count in counted.most_common(1):
        if 2 * count > counted.total():
            return most
    return None
