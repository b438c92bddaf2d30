"""Text that is not ours, as the registry can keep it: what PHP prints or a stranger raises."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from vmoodle.errors import Failed, VMoodleError

LONGEST_CODE, LONGEST_TEXT = 60, 20_000
_MARK = "\N{REPLACEMENT CHARACTER}"


def storable(text: str) -> str:
    """Return a text without NUL, which PostgreSQL refuses, and without halves of characters."""
    return text.replace("\0", _MARK).encode(errors="replace").decode()


def storable_members(value: Any) -> Any:
    """Return what becomes JSON with each text in it storable, those of names too."""
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, Mapping):
        return {storable_members(key): storable_members(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [storable_members(one) for one in value]
    return value


def error_columns(error: VMoodleError | None) -> dict[str, str]:
    """Return an error as the columns that keep it, no longer than one reads; empty for none."""
    if error is None:
        return dict.fromkeys(("error_code", "error_message", "error_hint"), "")
    return {
        "error_code": storable(error.code)[:LONGEST_CODE],
        "error_message": _readable(error.message),
        "error_hint": _readable(error.hint),
    }


class ErrorColumns(Protocol):
    """A row that keeps an error."""

    error_code: Any
    error_message: Any
    error_hint: Any


def kept_error(row: ErrorColumns) -> Failed:
    """Return the error that a row keeps; its class is not kept, only its words are."""
    return Failed(row.error_code, row.error_message, row.error_hint)


def _readable(text: str) -> str:
    text = storable(text)
    return text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}…"
