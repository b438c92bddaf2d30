"""Read the plain assignments of a PHP file without PHP: what version.php files consist of."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

# A number keeps its spelling: 2024100705.01 and 2024100705.010 are one float to PHP, but an int
# and a float are not one value to `serialize`.
_TOKEN = re.compile(
    r"""
      (?P<comment>/\*.*?(?:\*/|\Z) | (?://|\#(?!\[))[^\n]*?(?=\?>|\n|\Z))
    | (?P<string>'(?:[^'\\]|\\.)*' | "(?:[^"\\]|\\.)*")
    | (?P<number>\d+(?:\.\d*)?)
    | (?P<variable>\$\w+(?:\s*->\s*\w+)?)
    | (?P<name>[A-Za-z_\\][\w\\]*)
    | (?P<arrow>=>)
    | (?P<space>\s+)
    | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_LARGEST_INTEGER = 2**63 - 1
_STATEMENT_ENDS = frozenset(";{}")


@dataclass(frozen=True)
class Token:
    """One token: its kind is a group name of the pattern above."""

    kind: str
    text: str


@dataclass(frozen=True)
class Number:
    """A PHP number literal; `text` is its spelling in the file."""

    text: str

    @property
    def is_float(self) -> bool:
        """Tell whether it is a float to PHP, as an integer of more than 64 bits is."""
        return "." in self.text or abs(int(self.text)) > _LARGEST_INTEGER

    def canonical(self) -> str:
        """Return the shortest spelling of the value, as PHP's serialize and Python's repr agree."""
        if not self.is_float:
            return str(int(self.text))
        number = Decimal(repr(float(self.text))).normalize()
        return format(number, "f")


Value = Number | str | list["Value"] | dict[str, "Value"] | None


def assignments(source: str) -> dict[str, Value]:
    """Return the literal values a PHP file assigns, by variable (`$version`, `$plugin->version`).

    The last assignment wins. Values that are no literal (calls, sums) are left out; a constant is
    its name, `null` is None. Conditions are not evaluated: version.php has none.
    """
    found: dict[str, Value] = {}
    for statement in statements(source):
        targets: list[str] = []
        rest = statement
        while len(rest) > 2 and rest[0].kind == "variable" and rest[1].text == "=":
            targets.append(re.sub(r"\s+", "", rest[0].text))
            rest = rest[2:]
        if not targets:
            continue
        try:
            value, end = _value(rest, 0)
        except _NoLiteral:
            continue
        if end == len(rest):
            found.update(dict.fromkeys(targets, value))
    return found


def tokens(source: str) -> Iterator[Token]:
    """Give the tokens of the first PHP block, comments and white space left out."""
    _before, opened, code = source.partition("<?php")
    for match in _TOKEN.finditer(code) if opened else ():
        kind = match.lastgroup or "other"
        if kind not in ("comment", "space"):
            yield Token(kind, match.group())


def statements(source: str) -> Iterator[list[Token]]:
    """Split the code of the first PHP block at semicolons and braces."""
    statement: list[Token] = []
    for token in tokens(source):
        if token.kind == "other" and token.text in _STATEMENT_ENDS:
            yield statement
            statement = []
        else:
            statement.append(token)


class Unread:
    """The value of an expression that only PHP can tell."""


def literal(tokens: list[Token]) -> Value | Unread:
    """Return the literal that the tokens are, all of them; Unread where they are anything else."""
    try:
        value, end = _value(tokens, 0)
    except _NoLiteral:
        return Unread()
    return value if end == len(tokens) else Unread()


class _NoLiteral(Exception):
    """The tokens are an expression this reader does not evaluate."""


def _value(tokens: list[Token], at: int) -> tuple[Value, int]:
    if at >= len(tokens):
        raise _NoLiteral
    token = tokens[at]
    if token.kind == "string":
        return _unquote(token.text), at + 1
    if token.kind == "number":
        return Number(token.text), at + 1
    if token.text == "-" and at + 1 < len(tokens) and tokens[at + 1].kind == "number":
        return Number(f"-{tokens[at + 1].text}"), at + 2
    if token.text == "[":
        return _array(tokens, at + 1, "]")
    if token.kind == "name":
        if token.text.lower() == "array" and at + 1 < len(tokens) and tokens[at + 1].text == "(":
            return _array(tokens, at + 2, ")")
        return (None if token.text.lower() == "null" else token.text), at + 1
    raise _NoLiteral


def _array(tokens: list[Token], at: int, end: str) -> tuple[Value, int]:
    items: list[Value] = []
    keyed: dict[str, Value] = {}
    while at < len(tokens) and tokens[at].text != end:
        value, at = _value(tokens, at)
        if at < len(tokens) and tokens[at].kind == "arrow":
            key = value.text if isinstance(value, Number) else str(value)
            keyed[key], at = _value(tokens, at + 1)
        else:
            items.append(value)
        if at < len(tokens) and tokens[at].text == ",":
            at += 1
        elif at >= len(tokens) or tokens[at].text != end:
            raise _NoLiteral
    if at >= len(tokens):
        raise _NoLiteral
    return (keyed or items), at + 1


def _unquote(literal: str) -> str:
    body = literal[1:-1]
    if literal[0] == "'":
        return re.sub(r"\\([\\'])", r"\1", body)
    if "$" in body.replace("\\$", ""):
        raise _NoLiteral
    return re.sub(r'\\([\\"$])', r"\1", body)
