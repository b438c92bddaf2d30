"""What a surface calls the parameters of commands; without one they have their own names.

Errors about a parameter name it so, wherever they are raised: the words are the caller's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Words = Callable[[str], str]
_WORDS: ContextVar[Words] = ContextVar("parameter_words", default=str)


def called(parameter: str) -> str:
    """Return what the surface calls a parameter."""
    return _WORDS.get()(parameter)


@contextmanager
def calling(words: Words) -> Iterator[None]:
    """Call parameters as a surface does while it asks for something."""
    token = _WORDS.set(words)
    try:
        yield
    finally:
        _WORDS.reset(token)
