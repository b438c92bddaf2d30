"""The options of a command on the command line, made from its parameters."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from vmoodle.errors import InvalidInput
from vmoodle.fleet.parameters import Kind, Parameter, Parameters, parameters
from vmoodle.secret import Secret


def read_options(
    model: type[Parameters], words: Sequence[str], read_secret: Callable[[str], Secret]
) -> dict[str, Any]:
    """Return the values that the words after a command's name give its parameters.

    `--name value` and `--name=value`; a boolean is `--name` or `--no-name`; a list is repeated; a
    long text also comes from `--name-file FILE`, a secret from nothing else. Raise InvalidInput
    `command.option`.
    """
    known = {one.option: one for one in parameters(model) if one.kind is not Kind.CONSTANT}
    known |= {f"{one.option}-file": one for one in known.values() if one.kind is Kind.LONG_TEXT}
    known |= {
        f"--no-{option.removeprefix('--')}": one
        for option, one in known.items()
        if one.kind is Kind.BOOLEAN
    }
    values: dict[str, Any] = {}
    for option, word in _pairs(words, known):
        one = known[option]
        value = _value(one, option, word, read_secret)
        if one.many:
            values.setdefault(one.name, []).append(value)
        elif one.name in values:
            raise _wrong(f"{option} is given twice.", known)
        else:
            values[one.name] = value
    return values


def usage(one: Parameter) -> str:
    """Return a parameter as help shows it: `--mode soft|hard`."""
    if one.kind is Kind.BOOLEAN:
        return f"{one.option}/--no-{one.option.removeprefix('--')}"
    what = "|".join(filter(None, one.choices)) or {Kind.SECRET: "FILE", Kind.NUMBER: "N"}.get(
        one.kind, "TEXT"
    )
    return f"{one.option} {what}{' …' if one.many else ''}"


def _pairs(words: Sequence[str], known: dict[str, Parameter]) -> Iterator[tuple[str, str | None]]:
    rest = list(words)
    while rest:
        option, separator, word = rest.pop(0).partition("=")
        if option not in known:
            raise _wrong(f"There is no option {option}.", known)
        if known[option].kind is Kind.BOOLEAN:
            if separator:
                raise _wrong(f"{option} takes no value.", known)
            yield option, None
        elif separator:
            yield option, word
        elif rest:
            yield option, rest.pop(0)
        else:
            raise _wrong(f"{option} takes a value.", known)


def _value(
    one: Parameter, option: str, word: str | None, read_secret: Callable[[str], Secret]
) -> object:
    if word is None:
        return not option.startswith("--no-") or option == one.option
    if one.kind is Kind.SECRET:
        return read_secret(word)
    if one.kind is Kind.LONG_TEXT and option.endswith("-file") and option != one.option:
        return read_text(word)
    return word


def read_text(path: str) -> str:
    """Return a text file's content, of standard input for `-`; raise InvalidInput."""
    try:
        if path == "-":
            return sys.stdin.read()
        return Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        said = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise InvalidInput(
            "command.file",
            f"{path} cannot be read: {said}.",
            "Give a UTF-8 text file that this account may read.",
        ) from error


def _wrong(message: str, known: dict[str, Parameter]) -> InvalidInput:
    hint = f"It takes {', '.join(sorted(known))}." if known else "It takes no options."
    return InvalidInput("command.option", message, hint)
