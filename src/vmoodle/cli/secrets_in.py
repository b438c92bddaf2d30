"""Read a secret an administrator gives: from a file or standard input, never from an argument."""

from __future__ import annotations

import sys
from pathlib import Path

from vmoodle.errors import InvalidInput
from vmoodle.secret import Secret


def read_secret(source: str) -> Secret:
    """Return the first line of a file, or of standard input for `-`; raise InvalidInput."""
    try:
        text = sys.stdin.readline() if source == "-" else Path(source).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(
            "secret.unreadable",
            f"The password cannot be read from {source}.",
            "Give a UTF-8 text file that this account may read, or - for standard input.",
        ) from error
    line = text.split("\n", 1)[0].rstrip("\r")
    if not line:
        raise InvalidInput(
            "secret.empty",
            f"There is no password in {source}.",
            "The first line is the password.",
        )
    return Secret(line)
