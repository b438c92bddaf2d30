"""A Moodle site's address, `$CFG->wwwroot`, taken apart."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from urllib.parse import quote, urlsplit

from vmoodle.errors import InvalidInput

_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Wwwroot:
    """Hold scheme, host in lower case, a port other than the scheme's own, and path, or empty."""

    scheme: str
    host: str
    port: str
    path: str

    @classmethod
    def parse(cls, url: str) -> Wwwroot:
        """Return the parts of a wwwroot of any depth; raise InvalidInput (`moodle.wwwroot`)."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname or "", parts.port
        except ValueError:
            parts, host, port = urlsplit(""), "", None
        if not host or not re.fullmatch(r"https?://[^\s@?#\\%]+", url):
            raise InvalidInput(
                "moodle.wwwroot",
                f"{url!r} is no address a Moodle site can have.",
                "Something like https://example.org or https://example.org/school1.",
            )
        own = port if port != _DEFAULT_PORTS[parts.scheme] else None
        return cls(parts.scheme, host, str(own or ""), parts.path.rstrip("/"))

    @property
    def segments(self) -> list[str]:
        """The names of the path, from the top."""
        return self.path.split("/")[1:]

    def lies_above(self, other: Wwwroot) -> bool:
        """Tell whether the other address is a path below this one, on the same host and port."""
        same_server = (self.host, self.port) == (other.host, other.port)
        return same_server and other.path.startswith(self.path + "/")

    @cached_property
    def spellings(self) -> tuple[str, ...]:
        """The host as text may have it: itself, and the other forms of an international name."""
        if "xn--" not in self.host:
            return (self.host,)
        import idna

        try:
            name = idna.decode(self.host)
        except idna.IDNAError:
            return (self.host,)
        in_json = "".join(
            character if character.isascii() else f"\\u{ord(character):04x}" for character in name
        )
        return (self.host, name, in_json, quote(name))
