"""SQL as text: its statements, its named parameters, and the same for another engine.

Only what a database does not do itself is done here. Whether a statement reads or writes is for the
server to say.
"""

from __future__ import annotations

import logging
import re
import threading
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from vmoodle.engines.placeholders import expand
from vmoodle.errors import InvalidInput

Dialect = Literal["mariadb", "postgresql"]
# It loads a dialect when that is first asked for. A second thread meanwhile gets one that is half
# made, and SQL that is not the engine's.
_SQLGLOT = threading.Lock()
_OF_SQLGLOT = {"mariadb": "mysql", "postgresql": "postgres"}
# What may hold a colon that begins no parameter, and the parameter. Text comes first.
_COMMON = r"""
    "(?:[^"]|"")*" | `(?:[^`]|``)*` | /\*.*?\*/ | --[^\n]* | ::
  | \$(?P<tag>[A-Za-z_]*)\$.*?\$(?P=tag)\$
  | (?<![\w:]):(?P<name>[A-Za-z_]\w*)
"""
_FLAGS = re.VERBOSE | re.DOTALL
_PARAMETERS = {
    "postgresql": re.compile(rf"[eE]'(?:[^'\\]|''|\\.)*' | '(?:[^']|'')*' | {_COMMON}", _FLAGS),
    "mariadb": re.compile(
        rf"""'(?:[^'\\]|''|\\.)*' | "(?:[^"\\]|""|\\.)*" | \#[^\n]* | {_COMMON}""", _FLAGS
    ),
}
_POSITION = re.compile(r"%[%s]")
_BLANK = re.compile(r"(?:\s|/\*(?!M?!).*?\*/|--[^\n]*(?:\n|\Z)|\#[^\n]*(?:\n|\Z)|\()*", re.DOTALL)
_WORD = re.compile(r"[A-Za-z]+")
NO_SECRETS: Mapping[str, str] = MappingProxyType({})
_TRANSACTION = frozenset(
    {"BEGIN", "START", "COMMIT", "END", "ROLLBACK", "ABORT", "SAVEPOINT", "RELEASE", "PREPARE"}
    | {"XA", "LOCK", "UNLOCK"}
)


@dataclass(frozen=True)
class Statement:
    """One statement as the engine's connection takes it, with its parameters."""

    sql: str
    values: tuple[str, ...] = field(default=(), repr=False)

    @property
    def word(self) -> str:
        """The word it begins with, in capitals."""
        return first_word(self.sql)


def statements(
    sql: str,
    parameters: Sequence[str],
    dialect: Dialect,
    written_for: str = "",
    secrets: Mapping[str, str] = NO_SECRETS,
) -> tuple[Statement, ...]:
    """Return the statements of a script for an engine, with the parameters each takes.

    A parameter is `name=value` for `:name` in the SQL, or the value of the next `%s`; a secret one
    has a name and is in no error. With
    `written_for` another engine, the statements are put into this one's dialect. Raise InvalidInput
    `sql.syntax`, `sql.parameter`, `sql.dialect`, `sql.empty`.
    """
    source: Dialect = dialect
    if written_for in _OF_SQLGLOT and written_for != dialect:
        source = "mariadb" if written_for == "mariadb" else "postgresql"
    texts = split(sql, source)
    named, positional = _sorted_parameters(texts, parameters, secrets, source)
    if source != dialect:
        if positional:
            raise _untranslatable("it has %s; name its parameters (:name)", source, dialect)
        with _SQLGLOT:
            texts = [_translated(text, source, dialect, set(named)) for text in texts]
    made = []
    for text in texts:
        if named:
            made.append(_bound(text, named, dialect))
        elif positional:
            count = sum(found == "%s" for found in _POSITION.findall(text))
            made.append(Statement(text, tuple(positional[:count])))
            positional = positional[count:]
        else:
            made.append(Statement(text))
    return tuple(made)


def split(sql: str, dialect: Dialect) -> list[str]:
    """Return the statements of a script without the semicolons; raise InvalidInput."""
    text = sql.strip().removesuffix(";").rstrip()
    with _SQLGLOT:
        parts = [text] if ";" not in text else _split(text, dialect)
    found = [part.strip() for part in parts if _BLANK.sub("", part.strip(), count=1)]
    if not found:
        raise InvalidInput("sql.empty", "There is no SQL.", "Give a statement, as SELECT 1.")
    return found


def misread(sql: str, dialects: Iterable[Dialect]) -> str:
    """Return why none of the engines would understand the SQL; empty where one may."""
    from sqlglot import parse
    from sqlglot.errors import SqlglotError

    logging.getLogger("sqlglot").setLevel(logging.CRITICAL)
    why = ""
    for dialect in dialects:
        plain = expand(sql, "t_", backslash_escapes=dialect == "mariadb")
        plain = _replaced(plain, dialect, lambda _name: "1")
        try:
            with _SQLGLOT:
                parse(_POSITION.sub("1", plain), read=_OF_SQLGLOT[dialect])
        except SqlglotError as error:
            why = why or _first_line(error)
        else:
            return ""
    return why


def _first_line(error: Exception) -> str:
    first = str(error).splitlines()[0].replace("\x1b[4m", "").replace("\x1b[0m", "")
    return first.rstrip(".")


def first_word(sql: str) -> str:
    """Return the word that a statement begins with, in capitals, comments left out."""
    blank = _BLANK.match(sql)
    word = _WORD.match(sql, blank.end() if blank else 0)
    return word[0].upper() if word else ""


def refuse_transaction_words(found: Sequence[Statement]) -> None:
    """Raise InvalidInput `sql.transaction` for what begins or ends a transaction."""
    for one in found:
        if one.word in _TRANSACTION:
            raise InvalidInput(
                "sql.transaction",
                f"{one.word} is VMoodle's to say: a script is one transaction on each site.",
                "Leave it out.",
            )


def _split(text: str, dialect: Dialect) -> list[str]:
    from sqlglot import tokenize
    from sqlglot.errors import TokenError

    try:
        tokens = tokenize(text, read=_OF_SQLGLOT[dialect])
    except TokenError as error:
        raise InvalidInput(
            "sql.syntax",
            "The SQL cannot be taken apart into statements: a text or a comment does not end.",
            "Look for a quote or a /* without its end.",
        ) from error
    ends = [token.start for token in tokens if token.token_type.name == "SEMICOLON"]
    starts = [0, *(end + 1 for end in ends)]
    return [text[start:end] for start, end in zip(starts, [*ends, len(text)], strict=True)]


def _sorted_parameters(
    texts: Sequence[str], parameters: Sequence[str], secrets: Mapping[str, str], dialect: Dialect
) -> tuple[dict[str, str], list[str]]:
    """Return the parameters by name, and those by position."""
    found = (match["name"] for text in texts for match in _PARAMETERS[dialect].finditer(text))
    wanted = dict.fromkeys(name for name in found if name)
    if foreign := sorted(secrets.keys() - wanted.keys()):
        raise _foreign(foreign[0], wanted)
    named = dict(secrets)
    positional = []
    for one in parameters:
        name, separator, value = one.partition("=")
        if separator and name in wanted:
            if name in named:
                raise _wrong(f"The parameter {name} is given twice")
            named[name] = value
        elif wanted and not separator and name in wanted:
            raise _wrong(f"The parameter {name} lacks the = and its value ({name}=VALUE)")
        elif wanted:
            raise _foreign(name, wanted)
        else:
            positional.append(one)
    if missing := [name for name in wanted if name not in named]:
        raise _wrong(f":{missing[0]} has no value")
    places = sum(found == "%s" for text in texts for found in _POSITION.findall(text))
    if positional and not places:
        raise _foreign(positional[0].partition("=")[0], wanted)
    if positional and len(positional) != places:
        raise _wrong(f"{len(positional)} parameter(s) are given and the SQL takes {places}")
    return named, positional


def _foreign(name: str, wanted: Iterable[str]) -> InvalidInput:
    there = ", ".join(f":{one}" for one in wanted) or "no parameter"
    return _wrong(f"The SQL has {there}; given is {name[:40]}")


def _wrong(
    message: str, hint: str = "A parameter is name=value, for :name in the SQL."
) -> InvalidInput:
    return InvalidInput("sql.parameter", f"{message}.", hint)


def _bound(text: str, named: Mapping[str, str], dialect: Dialect) -> Statement:
    values: list[str] = []
    parts: list[str] = []
    last = 0
    for match in _PARAMETERS[dialect].finditer(text):
        name = match["name"]
        if name is None:
            continue
        parts += [text[last : match.start()].replace("%", "%%"), "%s"]
        values.append(named[name])
        last = match.end()
    if not values:  # without parameters a percent sign is itself
        return Statement(text)
    parts.append(text[last:].replace("%", "%%"))
    return Statement("".join(parts), tuple(values))


def _translated(text: str, source: Dialect, target: Dialect, names: set[str]) -> str:
    """Return a statement in another engine's SQL; its placeholders stay."""
    from sqlglot import ErrorLevel, exp, parse_one
    from sqlglot.errors import SqlglotError

    logging.getLogger("sqlglot").setLevel(logging.CRITICAL)
    mark = f"vm{uuid.uuid4().hex[:8]}_"
    plain = expand(text, f"{mark}t_", backslash_escapes=source == "mariadb")
    plain = _replaced(
        plain, source, lambda name: f"{mark}p_{name}" if name in names else f":{name}"
    )
    if _POSITION.search(plain):
        raise _untranslatable("it has %; name its parameters (:name)", source, target)
    try:
        tree = parse_one(plain, read=_OF_SQLGLOT[source])
        if not isinstance(tree, exp.Query | exp.Insert | exp.Update | exp.Delete):
            raise _untranslatable("only queries and changes of rows can be", source, target)
        said = tree.sql(dialect=_OF_SQLGLOT[target], unsupported_level=ErrorLevel.RAISE)
    except SqlglotError as error:
        raise _untranslatable(_first_line(error), source, target) from error
    said = re.sub(rf"{mark}t_(\w+)", r"{\1}", said)
    return re.sub(rf"{mark}p_(\w+)", r":\1", said)


def _replaced(text: str, dialect: Dialect, name_of: Callable[[str], str]) -> str:
    return _PARAMETERS[dialect].sub(
        lambda match: name_of(match["name"]) if match["name"] else match[0], text
    )


def _untranslatable(why: str, source: str, target: str) -> InvalidInput:
    return InvalidInput(
        "sql.dialect",
        f"The statement cannot be put from {source}'s SQL into {target}'s: {why}.",
        f"Write it for {target}, and run it on those sites alone, chosen by their server.",
    )
