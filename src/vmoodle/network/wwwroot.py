"""The name of a peer: its wwwroot, as both sides write it."""

from __future__ import annotations

import re

from vmoodle.errors import InvalidInput

LONGEST = 255
"""Characters, by the column `mnet_host.wwwroot`."""

_HOST = r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:]+\])"
_FORM = re.compile(rf"(https?)://({_HOST})(?::([0-9]{{1,5}}))?((?:/[A-Za-z0-9._~%-]+)*)")


def check_wwwroot(text: str) -> str:
    """Return the wwwroot; raise InvalidInput `network.wwwroot` for what Moodle has none of."""
    parts = _FORM.fullmatch(text)
    if parts is None or len(text) > LONGEST or not 0 < int(parts[3] or 80) < 65536:
        raise InvalidInput(
            "network.wwwroot",
            f"{text[:80]!r} is no address of a Moodle.",
            "Write it as that Moodle does: https://host, with its path, without a slash at the "
            "end.",
        )
    return text


def split_wwwroot(wwwroot: str) -> tuple[bool, str, int, str]:
    """Return whether it is https, and its host (no brackets), port and path ('' for the root)."""
    parts = _FORM.fullmatch(check_wwwroot(wwwroot))
    assert parts is not None  # noqa: S101  it was checked the line before
    secure = parts[1] == "https"
    return secure, parts[2].strip("[]"), int(parts[3] or (443 if secure else 80)), parts[4]
