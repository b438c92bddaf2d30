"""A registry that takes nothing for a while, as one on a full disk."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def registry_that_takes_nothing() -> Iterator[None]:
    """Let every change by this thread fail meanwhile, with an OperationalError of SQLite's own."""
    from django.db import connection

    connection.cursor().execute("PRAGMA query_only = ON")
    try:
        yield
    finally:
        connection.cursor().execute("PRAGMA query_only = OFF")
