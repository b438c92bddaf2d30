"""Read a secret an administrator gives: from a file or standard input, never from an argument."""

from __future__ import annotations

import sys
from pathlib import Path

from vmoodle.errors import InvalidInput
from vmoodle.secret import Secret


def read_secret(source: str) -> Secret:
    """Return the first line of a file, or of standard input for `-`; raise InvalidInput."""
    line = _text(source, "password", whole=False).split("\n", 1)[0].rstrip("\r")
    if not line:
        raise InvalidInput(
            "secret.empty",
            f"There is no password in {source}.",
            "The first line is the password.",
        )
    return Secret(line)


def read_value(source: str) -> Secret:
    """Return all of a file, or of standard input for `-`, but for the last line's end.

    Raise InvalidInput.
    """
    value = _text(source, "value", whole=True).removesuffix("\n").removesuffix("\r")
    if not value:
        raise InvalidInput(
            "secret.empty",
            f"There is no value in {source}.",
            "Give an empty value as an argument: ''.",
        )
    return Secret(value)


def _text(source: str, what: str, *, whole: bool) -> str:
    try:
        if source == "-":
            return sys.stdin.read() if whole else sys.stdin.readline()
        return Path(source).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(
            "secret.unreadable",
            f"The {what} cannot be read from {source}.",
            "Give a UTF-8 text file that this account may read, or - for standard input.",
        ) from error
