"""Read dataclasses from JSON strictly: every member there, of its type, and none besides."""

from __future__ import annotations

import json
import types
import typing
from collections.abc import Mapping
from dataclasses import asdict, fields, is_dataclass
from datetime import datetime
from typing import Any, TypeVar

_T = TypeVar("_T")


class Malformed(Exception):
    """The document is not what it must be; the text says where."""


def loads(text: bytes, limit: int = 1 << 20) -> Any:
    """Parse JSON of a bounded length, refusing members named twice and numbers that are none."""
    if len(text) > limit:
        raise Malformed("it is too long")
    try:
        return json.loads(text, object_pairs_hook=_once, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise Malformed("it is no JSON document") from error


def canonical(value: Any) -> bytes:
    """Return the one spelling of a value that its hash is taken of."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def as_json(instance: Any) -> Any:
    """Return a dataclass as what JSON can hold."""
    return json.loads(json.dumps(asdict(instance), default=_text))


def build(cls: type[_T], value: Any, where: str) -> _T:
    """Return the dataclass that a parsed document describes; raise Malformed."""
    return typing.cast("_T", _build(cls, value, where))


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member named twice")
    return members


def _no_constant(word: str) -> Any:
    raise ValueError(word)


def _text(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(type(value).__name__)


def _build(kind: Any, value: Any, where: str) -> Any:  # noqa: PLR0911 - one return per kind
    if is_dataclass(kind):
        return _build_class(kind, value, where)
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Literal:
        if value not in arguments:
            raise Malformed(f"{where} has an unknown value")
        return value
    if origin in (types.UnionType, typing.Union):
        if value is None:
            return None
        return _build(arguments[0], value, where)
    if origin is tuple:
        _require(isinstance(value, list), where)
        return tuple(_build(arguments[0], item, f"{where}[{n}]") for n, item in enumerate(value))
    if origin is not None and issubclass(origin, Mapping):
        _require(isinstance(value, dict), where)
        return {name: _build(arguments[1], item, f"{where}.{name}") for name, item in value.items()}
    if kind is datetime:
        return _moment(value, where)
    _require(type(value) is kind, where)
    return value


def _build_class(kind: Any, value: Any, where: str) -> Any:
    _require(isinstance(value, dict), where)
    hints, names = typing.get_type_hints(kind), [field.name for field in fields(kind)]
    if set(value) != set(names):
        odd = sorted(set(value) ^ set(names))[0]
        raise Malformed(f"{where} has a missing or unknown member {odd[:40]!r}")
    members = {name: _build(hints[name], value[name], f"{where}.{name}") for name in names}
    try:
        return kind(**members)
    except ValueError as error:
        raise Malformed(f"{where}: {error}") from error


def _moment(value: Any, where: str) -> datetime:
    try:
        moment = datetime.fromisoformat(value)
    except (ValueError, TypeError):
        raise Malformed(f"{where} is no date") from None
    _require(moment.tzinfo is not None, where)
    return moment


def _require(condition: bool, where: str) -> None:
    if not condition:
        raise Malformed(f"{where} is of the wrong type")
