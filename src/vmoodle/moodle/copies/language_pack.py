"""Files of a local language pack: strings that a site says in its own words, read as data.

Moodle includes such a file as PHP. Here it is read without PHP, and only where it is nothing but
strings; what is written is made of the strings anew, so that no code ever goes from site to site.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

from vmoodle.errors import InvalidInput, Refused
from vmoodle.moodle.php.source import Token, tokens

Strings: TypeAlias = Mapping[str, str]
"""The texts of one file by their ids."""

LANGUAGE = re.compile(r"[a-z][a-z0-9_]{0,29}")
FILE = re.compile(r"[a-z][a-z0-9_]*\.php")
_COMPONENT = re.compile(r"[a-z][a-z0-9]*(_[a-z][a-z0-9_]*)?")
_STRING_ID = re.compile(r"[a-zA-Z][a-zA-Z0-9.:,/_-]*")  # PARAM_STRINGID
_GUARDS = ("||", "or")
_HEAD = """<?php

// Strings of this site in its own words, as Moodle's language customisation writes them.
// Change them there (Site administration, Language customisation): this file is written anew.

defined('MOODLE_INTERNAL') || die();

"""


def file_of(component: str) -> str:
    """Return the file with a component's strings, as get_component_filename of tool_customlang.

    Raise InvalidInput `language.component` for what is no component's name.
    """
    kind, _, name = component.partition("_")
    if not _COMPONENT.fullmatch(component):
        raise InvalidInput(
            "language.component",
            f"{component!r} is no name of a component.",
            "Name it as Moodle does: core, core_admin, mod_quiz, theme_boost.",
        )
    if component in ("core", "moodle"):
        return "moodle.php"
    return f"{name}.php" if kind in ("core", "mod") else f"{component}.php"


def components_of(file: str) -> tuple[str, ...]:
    """Return the components whose strings a file can hold; no two of these exist on one site."""
    name = file.removesuffix(".php")
    if name == "moodle":
        return ("core",)
    return (name,) if "_" in name else (f"core_{name}", f"mod_{name}")


def parse_pack(content: bytes, name: str) -> dict[str, str]:
    """Return the strings of a file; the last of two with one id counts, as for PHP.

    Raise Refused `language.code` for a file that is, or could be, anything else than strings.
    """
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise _code(name, "it is not UTF-8") from None
    if not text.startswith("<?php") or text[5:6].strip():
        raise _code(name, "it does not begin with <?php")
    found: dict[str, str] = {}
    for statement in _statements(text, name):
        if not statement or _is_guard(statement):
            continue
        words = [token.text for token in statement]
        if words[:2] != ["$string", "["] or words[3:5] != ["]", "="] or len(words) < 6:
            raise _code(name, f"it has {' '.join(words)[:40]}")
        key = _text(statement[2:3])
        value = _text(statement[5:])
        if key is None or value is None or not _STRING_ID.fullmatch(key):
            raise _code(name, f"the string {words[2][:40]} is no plain text")
        found[key] = value
    return found


def render_pack(strings: Strings) -> bytes:
    """Return a file of these strings, in the order of their ids as Moodle writes them."""
    lines = [f"$string['{key}'] = {_quoted(strings[key])};\n" for key in sorted(strings)]
    return (_HEAD + "".join(lines)).encode()


def _statements(text: str, name: str) -> Iterator[Sequence[Token]]:
    statement: list[Token] = []
    for token in tokens(text):
        if token.text == ";":
            yield statement
            statement = []
        else:
            statement.append(token)
    if statement:
        # Also what ends PHP, and what comes then.
        raise _code(name, f"it ends with {statement[0].text[:40]}")


def _is_guard(statement: Sequence[Token]) -> bool:
    words = "".join(token.text for token in statement).replace('"', "'")
    return any(
        words in (f"defined('MOODLE_INTERNAL'){guard}{end}" for end in ("die()", "die", "exit"))
        for guard in _GUARDS
    )


def _text(statement: Sequence[Token]) -> str | None:
    """Return the text that literals joined by dots are, None for anything else."""
    if len(statement) % 2 == 0 or any(token.text != "." for token in statement[1::2]):
        return None
    parts = [_literal(token) for token in statement[::2]]
    return None if None in parts else "".join(part or "" for part in parts)


def _literal(token: Token) -> str | None:
    body = token.text[1:-1]
    if token.kind != "string":
        return None
    if token.text[0] == "'":
        return re.sub(r"\\([\\'])", r"\1", body)
    if token.text == r'"\0"':  # as var_export writes it
        return "\0"
    return None if "\\" in body or "$" in body else body


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return "'" + escaped.replace("\0", "' . \"\\0\" . '") + "'"


def _code(name: str, why: str) -> Refused:
    return Refused(
        "language.code",
        f"{name} holds more than strings: {why}.",
        "Save the strings in the site's language customisation, which writes the file anew.",
    )
