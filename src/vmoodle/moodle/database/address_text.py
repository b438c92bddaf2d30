"""A site's own addresses in one value, however they are written there: found, and replaced.

A value is text, PHP-serialised data or base64 of either, and these may lie in each other.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from vmoodle.errors import InvalidInput
from vmoodle.moodle.database.wwwroot import Wwwroot
from vmoodle.moodle.php.serialise import looks_serialised, rewrite_strings

BROKEN = "PHP-serialised data that is broken, or whose keys would become equal"
OWN_FORMAT = "data that a PHP class serialised in a format of its own"
EMBEDDED = "PHP-serialised data inside other text, where lengths cannot be followed"
INSIDE_BASE64 = "base64 inside other text, perhaps signed"
BINARY = "base64 of binary data"
TOO_DEEP = "data packed into data too many times"

_DEPTH = 12
"""How many layers of base64 and PHP-serialised data are looked into."""

# A slash and a colon as plain text, JSON (also JSON in JSON), URL parameters (once or more often),
# HTML and JavaScript write them. An address is written in one way throughout.
_SLASH = r"(?:\\{0,7}/|%(?:25)*2F|&\#0*47;|&\#x0*2F;|&sol;|\\+(?:u00|x)2F)"
_COLON = r"(?::|%(?:25)*3A|&\#0*58;|&\#x0*3A;|&colon;|\\+(?:u00|x)3A)"
# An encoded delimiter ends a name as the delimiter itself does; any other belongs to the name.
_ENDS_ENCODED = "(?:25)*(?:0[9AD]|2[02367-9BCF]|3[A-F]|5[BCD]|60|7[BCD])"
_ODD_ENCODED = rf"%(?!{_ENDS_ENCODED})"
_USER_FOLLOWS = rf"(?:{_COLON}[^\s/@?\#\"'<>%&\\]{{0,64}})?(?:@|%(?:25)*40)"
_HOST_GOES_ON = rf"(?:[-_]*[A-Z0-9]|\.\w|{_ODD_ENCODED}|{_COLON}\d|{_USER_FOLLOWS})"
_PATH_GOES_ON = rf"(?i:[-_]*[A-Z0-9~@]|[-_]+{_SLASH}|\.\w|{_ODD_ENCODED})"
# These schemes take the new site's; the other two name another program for the same address.
_SCHEMES = {"http", "https"}
_ALSO = "webcal|feed"
# Where an address without a scheme may begin; after anything else `//` is inside a path.
_BEFORE_RELATIVE = re.compile(
    r"(?:^|[\s\"'`=(,;>\[{|]|\\+[nrt]|\\+u00[23][0-9A-F]"
    r"|%(?:25)*(?:0[9AD]|2[0278C]|3[DE]|5B|7[BC]))\Z",
    re.IGNORECASE,
)
_BEFORE = 24
"""Characters that are looked at for it."""
_REACH = 256
"""Characters an address may have before its host; the search begins there, for speed."""
_AFTER = 2048
"""Characters after a host that may decide where its address ends."""

_EMBEDDED_STRING = re.compile(r"""(?:[;{"]|\A)s:\d+:(?:\\*"|&quot;)""")
_BASE64 = re.compile(r"[A-Za-z0-9+/]{12,}={0,2}")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


@dataclass(frozen=True)
class Rewriting:
    """A value after rewriting: how many addresses were replaced, and why others were not."""

    value: str
    replaced: int
    left: frozenset[str]


class AddressText:
    """Replace one site's addresses by another's: both schemes, every encoding, whole names only.

    Addresses of sites in `others` that lie below the old one stay as they are; so do those of the
    new one, which makes a second rewriting change nothing. Raise InvalidInput (`moodle.wwwroot`).
    """

    def __init__(self, old: str, new: str, others: Iterable[str] = ()) -> None:
        self.old, self.new = Wwwroot.parse(old), Wwwroot.parse(new)
        others_below = {self.new, *map(Wwwroot.parse, others)} - {self.old}
        self._patterns = _compile(
            self.old, [site for site in others_below if self.old.lies_above(site)]
        )
        self.fragments = sorted(
            {part for host in self.old.spellings for part in base64_fragments(host.encode())}
        )

    @property
    def hints(self) -> list[str]:
        """What any value with an address holds: one of these in either case, or a fragment."""
        return list(self.old.spellings)

    def rewrite(self, value: str) -> Rewriting:
        """Return the value with the old site's addresses replaced."""
        walk = _Walk(self._patterns, self.fragments, self._replacement)
        return Rewriting(walk.value(value, _DEPTH), walk.replaced, frozenset(walk.left))

    def holds(self, value: str) -> bool:
        """Tell whether an address of the old site is anywhere in the value."""
        walk = _Walk(self._patterns, self.fragments, lambda match: match[0])
        walk.value(value, _DEPTH)
        return bool(walk.seen or walk.left)

    def _replacement(self, match: re.Match[str]) -> str:
        slash, new = match["slash"], self.new
        scheme = match["scheme"] or ""
        if scheme.lower() in _SCHEMES:
            scheme = new.scheme
        # In a URL parameter the port's colon is encoded as often as the slashes are.
        colon = slash[:-2] + "3A" if slash.startswith("%") else ":"
        port = colon + new.port if new.port else ""
        path = "".join(slash + segment for segment in new.segments)
        return f"{scheme}{match['colon'] or ''}{slash}{slash}{match['user']}{new.host}{port}{path}"


def base64_fragments(data: bytes) -> list[str]:
    """Return the three texts of which one is in the base64 of whatever holds the data."""
    fragments = []
    for shift, skipped in enumerate((0, 2, 3)):
        encoded = base64.b64encode(bytes(shift) + data).decode()
        fragments.append(encoded[skipped : (shift + len(data)) * 8 // 6])
    return fragments


def _compile(old: Wwwroot, others: Iterable[Wwwroot]) -> tuple[re.Pattern[str], re.Pattern[str]]:
    """Return what finds the host, and what finds the whole address."""
    slash = "(?i:(?P=slash))"
    hosts = "|".join(re.escape(host) for host in sorted(old.spellings, key=len, reverse=True))
    port = f"{_COLON}{old.port}" if old.port else f"(?:{_COLON}(?:80|443))?"

    def below(segments: Iterable[str]) -> str:
        return "".join(slash + re.escape(segment) for segment in segments)

    path = below(old.segments) + (f"(?!{_PATH_GOES_ON})" if old.segments else "")
    not_theirs = "".join(
        f"(?!{below(other.segments[len(old.segments) :])}(?!{_PATH_GOES_ON}))" for other in others
    )
    address = re.compile(
        rf"(?i:(?:(?P<scheme>https?|{_ALSO})(?P<colon>{_COLON}))?"
        rf"(?P<slash>{_SLASH})(?P=slash)"
        rf"(?P<user>(?(scheme)(?:(?!{hosts})[A-Z0-9_.~-]{{1,64}}(?::[A-Z0-9_.~-]{{0,64}})?@)?))"
        rf"(?:{hosts})(?:\.(?=(?P=slash)|{_COLON}\d))?{port}(?!{_HOST_GOES_ON}))"
        rf"{path}{not_theirs}"
    )
    return re.compile(f"(?i:{hosts})"), address


class _Walk:
    """Go through one value, layer by layer, and keep count."""

    def __init__(
        self,
        patterns: tuple[re.Pattern[str], re.Pattern[str]],
        fragments: Iterable[str],
        substitute: Callable[[re.Match[str]], str],
    ) -> None:
        self.host, self.address = patterns
        self.fragments = fragments
        self.substitute = substitute
        self.seen = 0
        self.replaced = 0
        self.left: set[str] = set()

    def value(self, value: str, depth: int) -> str:
        """Return what takes the value's place."""
        if not depth:
            return self._leave(value, TOO_DEEP)
        if looks_serialised(value[:32].encode("utf-8", "replace")):
            return self._serialised(value, depth - 1)
        if (packed := _unpack(value)) is not None:
            return self._packed(value, packed, depth - 1)
        return self._text(value)

    def _serialised(self, value: str, depth: int) -> str:
        before = self.seen, self.replaced, set(self.left)

        def string(content: bytes) -> bytes:
            return _bytes(self.value(_text(content), depth))

        def own_format(payload: bytes) -> bytes:
            self._leave(_text(payload), OWN_FORMAT)
            return payload

        try:
            return _text(rewrite_strings(_bytes(value), string, opaque=own_format))
        except InvalidInput:
            self.seen, self.replaced, self.left = before
            return self._leave(value, BROKEN)

    def _packed(self, value: str, packed: bytes, depth: int) -> str:
        inside = _text(packed)
        if not looks_serialised(packed) and not _is_text(inside):
            return self._leave(value, BINARY, inside)
        changed = self.value(inside, depth)
        return value if changed == inside else base64.b64encode(_bytes(changed)).decode()

    def _text(self, value: str) -> str:
        if any(fragment in value for fragment in self.fragments):
            self._leave_base64(value)
        found = list(self._addresses(value))
        if found and _EMBEDDED_STRING.search(value):
            return self._leave(value, EMBEDDED)
        parts, at = list[str](), 0
        for match in found:
            new = self.substitute(match)
            self.seen += 1
            self.replaced += new != match[0]
            parts += value[at : match.start()], new
            at = match.end()
        return "".join([*parts, value[at:]])

    def _leave_base64(self, value: str) -> None:
        for token in _BASE64.finditer(value):
            if any(fragment in token[0] for fragment in self.fragments):
                for shift in range(4):
                    self._leave(value, INSIDE_BASE64, _text(_decode_loosely(token[0][shift:])))

    def _leave(self, value: str, reason: str, inside: str | None = None) -> str:
        if any(self._addresses(value if inside is None else inside)):
            self.left.add(reason)
        return value

    def _addresses(self, text: str) -> Iterator[re.Match[str]]:
        end = 0
        for host in self.host.finditer(text):
            start = max(end, host.start() - _REACH)
            match = self.address.search(text, start, host.end() + _AFTER)
            end = max(end, host.end())
            if match and match.start() < host.start() < match.end() and _begins(match, text):
                end = match.end()
                yield match


def _begins(match: re.Match[str], text: str) -> bool:
    start = match.start()
    return bool(match["scheme"] or _BEFORE_RELATIVE.search(text, max(0, start - _BEFORE), start))


def _unpack(value: str) -> bytes | None:
    """Return what a value is the base64 of, when encoding it again gives the same."""
    if len(value) % 4 or not _BASE64.fullmatch(value):
        return None
    try:
        packed = base64.b64decode(value, validate=True)
    except binascii.Error:
        return None
    return packed if base64.b64encode(packed).decode() == value else None


def _decode_loosely(token: str) -> bytes:
    token = token.rstrip("=")
    return base64.b64decode(token[: len(token) // 4 * 4])


def _is_text(value: str) -> bool:
    return value.isprintable() or not (
        _CONTROL.search(value) or any("\udc80" <= character <= "\udcff" for character in value)
    )


# Bytes that are no UTF-8 survive the way to text and back.
def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
