"""The address of a site: a wwwroot taken apart, checked, and put into its one normal form."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from vmoodle.errors import InvalidInput

HOST_LENGTH = 200
WWWROOT_LENGTH = 255
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_HOST = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_SEGMENT = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_DEFAULT_PORTS = {"http": 80, "https": 443}
_EXAMPLE = "Something like https://school1.example.org, or https://example.org/school1."


@dataclass(frozen=True)
class SiteAddress:
    """Where a site lives: scheme, host in lower case and punycode, a port of its own, segment."""

    scheme: str
    host: str
    port: int | None
    segment: str | None

    @property
    def wwwroot(self) -> str:
        """The address as Moodle's `$CFG->wwwroot`, without a trailing slash."""
        port = f":{self.port}" if self.port else ""
        return f"{self.scheme}://{self.host}{port}{self.path}"

    @property
    def path(self) -> str:
        """The path all of the site is below: empty, or a slash and the segment."""
        return f"/{self.segment}" if self.segment else ""

    @property
    def key(self) -> str:
        """What no two sites may share: host and segment.

        The port does not count: the hook ignores it, and a host's ports share their cookies.
        """
        return f"{self.host}{self.path}"

    @property
    def host_header(self) -> str:
        """What a client sends in the Host header."""
        return f"{self.host}:{self.port}" if self.port else self.host

    @property
    def connect_port(self) -> int:
        """The TCP port a client connects to."""
        return self.port or _DEFAULT_PORTS[self.scheme]


def parse_wwwroot(url: str) -> SiteAddress:
    """Return the address of a site's URL in its normal form; raise InvalidInput."""
    if re.search(r"[\x00-\x20\x7f\\]", url) or len(url) > 2 * WWWROOT_LENGTH:
        raise _invalid("site.url.characters", "holds characters no URL has, or is too long")
    try:
        parts = urlsplit(url)
        port = parts.port
        host = parts.hostname or ""
    except ValueError as error:
        raise _invalid("site.url.syntax", "is not a URL") from error
    if parts.scheme not in _DEFAULT_PORTS:
        raise _invalid("site.url.scheme", "does not begin with http:// or https://")
    if "@" in parts.netloc or "?" in url or "#" in url:
        raise _invalid("site.url.parts", "has a user, a query or a fragment")
    if port == 0 or parts.netloc.endswith(":"):
        raise _invalid("site.url.port", "has no usable port")
    address = SiteAddress(
        scheme=parts.scheme,
        host=parse_host(host),
        port=None if port == _DEFAULT_PORTS[parts.scheme] else port,
        segment=_segment(parts.path),
    )
    if len(address.wwwroot) > WWWROOT_LENGTH:
        raise _invalid("site.url.length", f"is longer than {WWWROOT_LENGTH} characters")
    return address


def parse_host(text: str) -> str:
    """Return a host name in lower case and punycode, a trailing dot dropped; raise InvalidInput."""
    host = text.lower().removesuffix(".")
    if not host.isascii():
        import idna

        try:
            host = idna.encode(host, uts46=True).decode("ascii").removesuffix(".")
        except idna.IDNAError as error:
            raise _invalid(
                "site.url.host", "has a host that is no international host name"
            ) from error
    # What ends in a number is an IPv4 address to every browser, however it is written.
    numeric = _NUMBER.fullmatch(host.rpartition(".")[2])
    if not _HOST.fullmatch(host) or len(host) > HOST_LENGTH or (numeric and not _is_ipv4(host)):
        raise _invalid("site.url.host", "has no usable host name")
    return host


def _is_ipv4(host: str) -> bool:
    parts = host.split(".")
    return len(parts) == 4 and all(
        part.isdigit() and int(part) <= 255 and str(int(part)) == part for part in parts
    )


def _segment(path: str) -> str | None:
    segment = path.rstrip("/").removeprefix("/")
    if not segment:
        return None
    if not _SEGMENT.fullmatch(segment):
        raise _invalid(
            "site.url.path", "has a path that is not one segment of a-z, 0-9, - and _ in lower case"
        )
    return segment


def _invalid(code: str, said: str) -> InvalidInput:
    return InvalidInput(code, f"The URL {said}.", _EXAMPLE)
