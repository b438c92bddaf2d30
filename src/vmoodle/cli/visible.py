"""Text of others as a terminal may have it: what would steer the terminal is seen, not done."""

from __future__ import annotations

import re

LONGEST_CELL = 200
# The controls of ASCII but the newline and the tabulator, and those of Latin 1; what turns the
# direction of the text around it; separators that some take for a newline.
_STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_IN_A_LINE = str.maketrans({"\n": "\\n", "\t": "\\t"})


def visible(text: str) -> str:
    r"""Return the text with each character that steers a terminal escaped, as `\x1b`."""
    return _STEERING.sub(_escaped, text.replace("\r\n", "\n"))


def in_a_line(text: str) -> str:
    r"""Return the same as `visible` in one line, newlines as `\n`."""
    return visible(text).translate(_IN_A_LINE)


def shortened(text: str, longest: int = LONGEST_CELL) -> str:
    """Return the text, cut where it is longer than that many characters, which is said."""
    return text if len(text) <= longest else f"{text[:longest]}… ({len(text)} characters)"


def visible_json(document: str) -> str:
    """Return a JSON document that means the same, without any character that steers a terminal."""
    return _STEERING.sub(lambda found: f"\\u{ord(found[0]):04x}", document)


def _escaped(found: re.Match[str]) -> str:
    if found[0] == "\r":
        return "\\r"
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
