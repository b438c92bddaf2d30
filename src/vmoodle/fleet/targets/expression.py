"""The expression that says which sites are meant, as `north* & !version:4.5*`: read into a tree.

    union        := intersection ("," intersection)*
    intersection := term (["&"] term)*      the & may be left out before a !
    term         := "!" term | "(" union ")" | atom
    atom         := shortname | all | glob | /regex/ | ~text | KEY:value | @group | sql:SELECT …

A value with a character that means something here is written in quotes. `sql:` without quotes takes
all that follows.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TypeAlias

from vmoodle.errors import InvalidInput

KEYS = ("label", "state", "codebase", "version", "server", "run", "failed", "unknown")
GROUP_NAME = re.compile(r"[a-z0-9]([a-z0-9_-]{0,38}[a-z0-9])?")
_LONGEST = 20_000
_DEEPEST = 50
_WORD = re.compile(r"(?:\[[^\]\s]*\]|[^\s,&!()\"'/])+")
_KEY = re.compile(r"([a-z]+):")
_QUOTED = re.compile(r"'((?:[^']|'')*)'|\"((?:[^\"]|\"\")*)\"")
_REGEX = re.compile(r"/((?:[^/\\]|\\.)+)/(i?)")


@dataclass(frozen=True)
class Name:
    """One site, named in full."""

    name: str
    at: int


@dataclass(frozen=True)
class Glob:
    """Sites whose shortname a glob meets."""

    pattern: str
    at: int


@dataclass(frozen=True)
class Regex:
    """Sites in whose shortname or address a regular expression is found."""

    pattern: re.Pattern[str]
    at: int


@dataclass(frozen=True)
class Contains:
    """Sites whose shortname, name or address has a text in it, in whatever case."""

    text: str
    at: int


@dataclass(frozen=True)
class Attribute:
    """Sites of which a fact meets a glob; of a label `name` is its key."""

    key: str
    value: str
    at: int
    name: str = ""


@dataclass(frozen=True)
class ValueQuery:
    """Sites that answer a query with something true."""

    sql: str
    at: int


@dataclass(frozen=True)
class Group:
    """The sites of a saved expression."""

    name: str
    at: int


@dataclass(frozen=True)
class Not:
    """All others."""

    inner: Expression


@dataclass(frozen=True)
class All:
    """Sites that every part means."""

    parts: tuple[Expression, ...]


@dataclass(frozen=True)
class Any:
    """Sites that some part means."""

    parts: tuple[Expression, ...]


Atom: TypeAlias = Name | Glob | Regex | Contains | Attribute | ValueQuery | Group
Expression: TypeAlias = Atom | Not | All | Any


def read_expression(text: str) -> Expression:
    """Return the tree of an expression; raise InvalidInput `target.expression` with the place."""
    if len(text) > _LONGEST:
        raise InvalidInput(
            "target.expression", "The expression is too long.", "Save parts of it as groups."
        )
    return _Reader(text).whole()


def atoms(expression: Expression) -> list[Atom]:
    """Return all atoms of an expression."""
    match expression:
        case Not(inner=inner):
            return atoms(inner)
        case All(parts=parts) | Any(parts=parts):
            return [atom for part in parts for atom in atoms(part)]
        case _:
            return [expression]


def wrong(text: str, at: int, what: str, hint: str) -> InvalidInput:
    """Return the error for what is wrong at a place of an expression."""
    rest = text[at : at + 20]
    place = f"before {rest!r}" if rest else "at the end"
    return InvalidInput("target.expression", f"{what} (at character {at + 1}, {place}).", hint)


class _Reader:
    """Reads one expression from left to right."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._depth = 0

    def whole(self) -> Expression:
        """Return the tree of all of it."""
        if not self._peek():
            raise InvalidInput(
                "target.nothing",
                "No site is named.",
                "Name sites or a selection, as 'school*'; * is every site.",
            )
        tree = self._union()
        if self._peek():
            raise self._wrong("Something follows that belongs to nothing")
        return tree

    def _union(self) -> Expression:
        parts = [self._intersection()]
        while self._take(","):
            parts.append(self._intersection())
        return parts[0] if len(parts) == 1 else Any(tuple(parts))

    def _intersection(self) -> Expression:
        parts = [self._term()]
        while self._take("&") or self._peek() == "!":
            parts.append(self._term())
        return parts[0] if len(parts) == 1 else All(tuple(parts))

    def _term(self) -> Expression:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise self._wrong("It is nested too deep")
        try:
            if self._take("!"):
                return Not(self._term())
            if self._take("("):
                opened = self._at - 1
                inner = self._union()
                if not self._take(")"):
                    raise wrong(self._text, opened, "A ( is not closed", "Write a ) behind it.")
                return inner
            return self._atom()
        finally:
            self._depth -= 1

    def _atom(self) -> Expression:
        sign, at = self._peek(), self._at
        if sign == "/":
            return self._regex(at)
        if sign == "~":
            self._at += 1
            return Contains(self._value("a text"), at)
        if sign == "@":
            self._at += 1
            name = self._value("the name of a group")
            if not GROUP_NAME.fullmatch(name):
                raise wrong(self._text, at, f"{name!r} is no name of a group", "As in @north.")
            return Group(name, at)
        if key := _KEY.match(self._text, at):
            return self._keyed(key[1], at, key.end())
        word = self._value("a site or a selection")
        if word == "all":  # no site can be called so
            return Glob("*", at)
        return Glob(word, at) if re.search(r"[*?\[]", word) else Name(word, at)

    def _regex(self, at: int) -> Regex:
        found = _REGEX.match(self._text, at)
        if not found:
            hint = "Write it as /regex/, and a / within it as \\/."
            raise wrong(self._text, at, "A regular expression does not end", hint)
        try:
            flags = re.IGNORECASE if found[2] else 0
            pattern = re.compile(found[1].replace("\\/", "/"), flags)
        except (re.error, OverflowError) as error:
            place = at + 1 + (getattr(error, "pos", None) or 0)
            said = f"The regular expression is none: {getattr(error, 'msg', error)}"
            raise wrong(self._text, place, said, "As in /^north[0-9]+$/.") from error
        self._at = found.end()
        return Regex(pattern, at)

    def _keyed(self, key: str, at: int, behind: int) -> Expression:
        self._at = behind
        if key == "sql":
            return ValueQuery(self._query(), at)
        if key not in KEYS:
            hint = f"One of {', '.join(f'{one}:' for one in (*KEYS, 'sql'))}."
            raise wrong(self._text, at, f"There is nothing called {key}:", hint)
        if key != "label":
            return Attribute(key, self._value(f"the {key}"), at)
        name, separator, value = self._value("a label").partition("=")
        if separator and not value and self._quoted_follows():
            value = self._value("its value")
        if not name:
            raise wrong(self._text, behind, "A label has no key", "As in label:region=north.")
        return Attribute(key, value if separator else "*", at, name)

    def _quoted_follows(self) -> bool:
        return self._text[self._at : self._at + 1] in {"'", '"'}

    def _query(self) -> str:
        self._peek()
        if self._quoted_follows():
            return self._value("a query")
        sql, self._at = self._text[self._at :].strip(), len(self._text)
        if not sql:
            raise self._wrong("A query is missing")
        return sql

    def _value(self, what: str) -> str:
        self._peek()
        if self._quoted_follows():
            quoted = _QUOTED.match(self._text, self._at)
            if not quoted:
                raise self._wrong("A quote does not end")
            self._at = quoted.end()
            sign = self._text[quoted.start()]
            return (quoted[1] or quoted[2] or "").replace(sign * 2, sign)
        found = _WORD.match(self._text, self._at)
        if not found:
            raise self._wrong(f"Here should be {what}")
        self._at = found.end()
        return found[0]

    def _peek(self) -> str:
        """Return the next character that is no space, empty at the end."""
        while self._text[self._at : self._at + 1].isspace():
            self._at += 1
        return self._text[self._at : self._at + 1]

    def _take(self, sign: str) -> bool:
        if self._peek() != sign:
            return False
        self._at += 1
        return True

    def _wrong(self, what: str) -> InvalidInput:
        hint = "As in 'north*, south1 & !version:4.5*'; quote a value with , & ! ( ) or a space."
        return wrong(self._text, self._at, what, hint)
