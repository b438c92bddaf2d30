"""PHP's serialize format over bytes: change the strings inside, keep every other byte.

Nothing is turned into Python values, so floats keep their digits, objects their classes and
references their numbers. The grammar is that of PHP 7.4 to 8.4 (ext/standard/var_unserializer.re);
`S:` and `o:`, which PHP reads and never writes, are refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from vmoodle.errors import InvalidInput

Rewrite = Callable[[bytes], bytes]
"""Given the content of a string, return what takes its place."""

_BEGINS = re.compile(rb'(?:s:\d+:"|[OCE]:\d+:"|a:\d+:\{)')
# Values of one token that are kept as they are written.
_SCALAR = re.compile(
    rb"N; | b:[01]; | i:[-+]?\d+; | [rR]:[1-9]\d*;"
    rb"| d:(?: -?INF | NAN | [-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)? );",
    re.VERBOSE,
)
_INTEGER = re.compile(rb"i:[-+]?\d+;")
_LENGTH = re.compile(rb'(\d{1,10}):"')
_COUNT = re.compile(rb"(\d{1,10}):\{")
_CLASS = re.compile(rb"[\w\\\x80-\xff\x00@/.:$-]+")


def looks_serialised(data: bytes) -> bool:
    """Tell whether data begins as a serialised string, array or object; it may still be broken."""
    return _BEGINS.match(data) is not None


def rewrite_strings(data: bytes, rewrite: Rewrite, *, opaque: Rewrite | None = None) -> bytes:
    """Return serialised data with each string, key and property name as `rewrite` gives it.

    What a class serialised itself (`C:`) has no known grammar: `opaque`, when given, takes its
    whole payload. Raise InvalidInput (`moodle.serialise`) for data PHP would not read, and when
    two keys of one array become the same.
    """
    return _Reader(data, rewrite, opaque or _keep).run()


def _keep(payload: bytes) -> bytes:
    return payload


def _malformed(position: int, what: str) -> InvalidInput:
    return InvalidInput(
        "moodle.serialise",
        f"PHP-serialised data is broken at byte {position}: {what}.",
        "The value is left as it is; mend it in Moodle, or with SQL.",
    )


@dataclass
class _Open:
    """An array or object being read: entries still to come, and the keys so far."""

    entries: int
    keys: set[bytes] = field(default_factory=set)
    expects_key: bool = True


class _Reader:
    """Walk the data once, without recursion, so that no depth of nesting can exhaust the stack."""

    def __init__(self, data: bytes, rewrite: Rewrite, opaque: Rewrite) -> None:
        self.data = data
        self.rewrite = rewrite
        self.opaque = opaque
        self.at = 0
        self.out: list[bytes] = []
        self.open: list[_Open] = []

    def run(self) -> bytes:
        self._value()
        while self.open:
            inner = self.open[-1]
            if inner.expects_key and not inner.entries:
                self._literal(b"}")
                self.open.pop()
            elif inner.expects_key:
                self._key(inner)
                inner.entries -= 1
                inner.expects_key = False
            else:
                inner.expects_key = True
                self._value()
        if self.at != len(self.data):
            raise _malformed(self.at, "something follows its end")
        return b"".join(self.out)

    def _value(self) -> None:
        if scalar := _SCALAR.match(self.data, self.at):
            self._take(scalar)
            return
        kind = self.data[self.at : self.at + 2]
        reader = _VALUES.get(kind)
        if reader is None:
            raise _malformed(self.at, "no value PHP knows")
        self.at += 2
        reader(self)

    def _key(self, inner: _Open) -> None:
        if integer := _INTEGER.match(self.data, self.at):
            self._take(integer)
        elif self.data.startswith(b"s:", self.at):
            self.at += 2
            self._string()
        else:
            raise _malformed(self.at, "a key that is neither a number nor a string")
        if self.out[-1] in inner.keys:
            raise _malformed(self.at, "two entries have one key")
        inner.keys.add(self.out[-1])

    def _string(self) -> None:
        content = self.rewrite(self._quoted())
        self._literal(b";", emit=False)
        self.out.append(b's:%d:"%s";' % (len(content), content))

    def _array(self) -> None:
        self._entries(b"a:")

    def _object(self) -> None:
        name = self._class()
        self._literal(b":", emit=False)
        self._entries(b'O:%d:"%s":' % (len(name), name))

    def _custom(self) -> None:
        name = self._class()
        self._literal(b":", emit=False)
        count = self._number(_COUNT)
        payload = self.opaque(self._raw(count))
        self._literal(b"}", emit=False)
        self.out.append(b'C:%d:"%s":%d:{%s}' % (len(name), name, len(payload), payload))

    def _enumeration(self) -> None:
        name = self._class()
        self._literal(b";", emit=False)
        self.out.append(b'E:%d:"%s";' % (len(name), name))

    def _entries(self, head: bytes) -> None:
        count = self._number(_COUNT)
        self.out.append(b"%s%d:{" % (head, count))
        self.open.append(_Open(count))

    def _class(self) -> bytes:
        name = self._quoted()
        if not _CLASS.fullmatch(name):
            raise _malformed(self.at, "no name of a class")
        return name

    def _quoted(self) -> bytes:
        content = self._raw(self._number(_LENGTH))
        self._literal(b'"', emit=False)
        return content

    def _raw(self, length: int) -> bytes:
        end = self.at + length
        if end > len(self.data):
            raise _malformed(self.at, "a length that reaches beyond its end")
        content = self.data[self.at : end]
        self.at = end
        return content

    def _number(self, pattern: re.Pattern[bytes]) -> int:
        match = pattern.match(self.data, self.at)
        if match is None:
            raise _malformed(self.at, "no length where one must be")
        self.at = match.end()
        return int(match[1])

    def _literal(self, expected: bytes, *, emit: bool = True) -> None:
        if not self.data.startswith(expected, self.at):
            raise _malformed(self.at, f"no {expected.decode()} where one must be")
        self.at += len(expected)
        if emit:
            self.out.append(expected)

    def _take(self, match: re.Match[bytes]) -> None:
        self.out.append(match[0])
        self.at = match.end()


_VALUES: dict[bytes, Callable[[_Reader], None]] = {
    b"s:": _Reader._string,
    b"a:": _Reader._array,
    b"O:": _Reader._object,
    b"C:": _Reader._custom,
    b"E:": _Reader._enumeration,
}
