"""How the core tells whoever waits what it is doing; the surface decides what is shown of it."""

from __future__ import annotations

from collections.abc import Callable

Tell = Callable[[str], None]
"""Takes a few words on what is under way; called often, and never with a secret."""


def tell_nobody(_words: str) -> None:
    """Tell nobody."""
