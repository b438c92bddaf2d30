"""XML-RPC: calls and answers as Moodle writes and reads them, what is foreign held to the form.

The values themselves are read and written by Python's own `xmlrpc.client`, which is lenient about
the elements around them; so a table says which element may stand where.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from xmlrpc.client import Error, Marshaller, Unmarshaller
from xmlrpc.client import Fault as _Fault

from vmoodle.errors import InvalidInput
from vmoodle.network.faults import Fault
from vmoodle.network.safe_xml import malformed, parse

_MOST_DEPTH, _MOST_ELEMENTS = 64, 500_000
_SCALARS = frozenset(
    {"string", "int", "i4", "i8", "boolean", "double", "dateTime.iso8601", "base64"}
    | {"nil", "ex:nil", "ex:i8"}
)
# Which element may stand at which place in another; the last one may be missing in `_OPEN`.
_PLACES: dict[str, tuple[frozenset[str], ...]] = {
    "": (frozenset({"methodCall", "methodResponse"}),),
    "methodCall": (frozenset({"methodName"}), frozenset({"params"})),
    "methodResponse": (frozenset({"params", "fault"}),),
    "param": (frozenset({"value"}),),
    "fault": (frozenset({"value"}),),
    "value": (_SCALARS | {"struct", "array"},),
    "member": (frozenset({"name"}), frozenset({"value"})),
    "array": (frozenset({"data"}),),
}
_OPEN = frozenset({"value", "methodCall"})
_REPEATED = {"params": "param", "struct": "member", "data": "value"}
# What no XML document can carry, also not escaped.
_UNWRITABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


@dataclass(frozen=True)
class Call:
    """A method and its parameters."""

    method: str
    params: tuple[Any, ...]


@dataclass(frozen=True)
class Answer:
    """The one value that a method gave."""

    value: Any


def write_call(method: str, params: Sequence[Any]) -> bytes:
    """Return a call as a document; raise InvalidInput `network.value` for what has no form."""
    name = _escaped(method)
    return _document("methodCall", f"<methodName>{name}</methodName>\n{_values(tuple(params))}")


def write_answer(value: Any) -> bytes:
    """Return an answer as a document; raise as `write_call`."""
    return _document("methodResponse", _values((value,)))


def write_fault(fault: Fault) -> bytes:
    """Return a fault as a document; what XML cannot carry of its text is left out."""
    text = _UNWRITABLE.sub("", fault.text)
    return _document("methodResponse", _values(_Fault(fault.number, text)))


def read_call(document: bytes) -> Call:
    """Return the call in a document; raise Refused `network.message.form` for anything else."""
    reader = _read(document)
    if reader.root != "methodCall":
        raise malformed("it is no call")
    return Call(reader.getmethodname() or "", tuple(reader.values))


def read_answer(document: bytes) -> Answer | Fault:
    """Return the answer or the fault in a document; raise as `read_call`."""
    reader = _read(document)
    if reader.root != "methodResponse" or len(reader.values) != 1:
        raise malformed("it is no answer to a call")
    value = reader.values[0]
    if not reader.is_fault:
        return Answer(value)
    match value:
        case {"faultCode": int(number), "faultString": str(text), **rest} if not rest:
            return Fault(number, text)
    raise malformed("its fault has no number or no text")


def _read(document: bytes) -> _Reader:
    reader = _Reader()
    parse(document, reader)
    return reader


class _Reader(Unmarshaller):
    """Read values, and only where the form has a place for them."""

    def __init__(self) -> None:
        super().__init__(use_builtin_types=True)
        self.root = ""
        self.is_fault = False
        self._open: list[str] = [""]
        self._inside: list[int] = [0]
        self._elements = 0

    @property
    def values(self) -> list[Any]:
        """What was read: the parameters of a call, or the one value of an answer."""
        return self._stack

    def start(self, tag: str, attrs: dict[str, str]) -> None:
        parent, place = self._open[-1], self._inside[-1]
        places = _PLACES.get(parent, ())
        fits = tag in places[place] if place < len(places) else _REPEATED.get(parent) == tag
        self._elements += 1
        if not fits or len(self._open) > _MOST_DEPTH or self._elements > _MOST_ELEMENTS:
            raise ValueError(f"its XML-RPC has {tag[:30]!r} out of place, too deep or too often")
        self.root = self.root or tag
        self.is_fault = self.is_fault or tag == "fault"
        self._inside[-1] += 1
        self._open.append(tag)
        self._inside.append(0)
        super().start(tag, attrs)

    def end(self, tag: str) -> None:
        self._open.pop()
        missing = len(_PLACES.get(tag, ())) - self._inside.pop()
        if missing > (tag in _OPEN):
            raise ValueError(f"its XML-RPC has a {tag!r} that is not complete")
        try:
            super().end(tag)
        except (TypeError, ArithmeticError, Error) as error:
            raise ValueError(f"a value of its XML-RPC is no {tag}") from error


def _write_text(_writer: Marshaller, value: Any, write: Callable[[str], object]) -> None:
    write(f"<value><string>{_escaped(value)}</string></value>\n")


class _Writer(Marshaller):
    """Write values, and refuse texts that an XML document cannot carry."""

    dispatch = {**Marshaller.dispatch, str: _write_text}  # noqa: RUF012  as its base has it


def _values(values: tuple[Any, ...] | _Fault) -> str:
    try:
        if not isinstance(values, _Fault):
            _require_finite(values)
        return _Writer("utf-8", allow_none=False).dumps(values)
    except (TypeError, OverflowError) as error:
        raise _no_value(str(error)) from error


def _require_finite(value: Any) -> None:
    """Refuse numbers that are none and keys that no name element can hold, at any depth."""
    if isinstance(value, float) and not math.isfinite(value):
        raise _no_value(f"{value} is no number")
    if isinstance(value, Mapping):
        for key in value:
            if isinstance(key, str):
                _escaped(key)
        value = list(value.values())
    if isinstance(value, list | tuple):
        for one in value:
            _require_finite(one)


def _escaped(text: str) -> str:
    if _UNWRITABLE.search(text):
        raise _no_value("a text has a control character")
    # A carriage return would be read as a line feed.
    return (
        text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("\r", "&#13;")
    )


def _document(kind: str, content: str) -> bytes:
    declaration = '<?xml version="1.0" encoding="UTF-8"?>'
    return f"{declaration}\n<{kind}>\n{content}</{kind}>".encode()


def _no_value(why: str) -> InvalidInput:
    return InvalidInput(
        "network.value",
        f"A value cannot be sent to a peer: {why}.",
        "XML-RPC has texts, whole numbers of 32 bits, finite numbers, lists and structures.",
    )
