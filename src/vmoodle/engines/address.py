"""Addresses of database servers: where one listens and who administers it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import Literal
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from vmoodle.errors import InvalidInput
from vmoodle.secret import Secret

EngineName = Literal["mariadb", "postgresql"]

_SCHEMES: Mapping[str, EngineName] = {
    "mariadb": "mariadb",
    "mysql": "mariadb",
    "postgresql": "postgresql",
    "postgres": "postgresql",
}
_DEFAULT_PORTS: Mapping[EngineName, int] = {"mariadb": 3306, "postgresql": 5432}
_OPTIONS: Mapping[EngineName, frozenset[str]] = {
    "mariadb": frozenset({"socket", "account_host", "sslmode", "ssl_ca"}),
    "postgresql": frozenset({"socket", "database", "sslmode", "ssl_ca"}),
}
SSL_MODES = ("disable", "prefer", "require", "verify-ca", "verify-full")
_HOST_NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,252}[A-Za-z0-9_.])?")
_ACCOUNT_HOST = re.compile(r"[A-Za-z0-9_.%:/-]{1,255}")
_POSTGRESQL_SOCKET_FILE = re.compile(r"\.s\.PGSQL\.(\d{1,5})")
_EXAMPLE = "Write it as mariadb://user:password@host:3306 or postgresql://user:password@host:5432."


THIS_MACHINE = frozenset({"localhost", "127.0.0.1", "::1"})
"""Hosts that are where VMoodle runs, whatever the machine is called."""


@dataclass(frozen=True)
class ServerAddress:
    """Say where a server listens and as whom VMoodle administers it.

    `socket` is the socket's file for MariaDB and its directory for PostgreSQL; with one, `host`
    is only a name. An empty password means that the server knows the account by its socket.
    """

    engine: EngineName
    host: str
    port: int | None
    socket: str | None
    user: str
    password: Secret
    options: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), hash=False)

    @property
    def effective_port(self) -> int:
        """Return the TCP port, the engine's own when none was given."""
        return self.port or _DEFAULT_PORTS[self.engine]

    @property
    def account_host(self) -> str:
        """Return the host part of the MariaDB accounts that are made for sites."""
        return self.options.get("account_host") or ("localhost" if self.socket else "%")

    def display(self) -> str:
        """Return the address as a URL without the password."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = f":{self.port}" if self.port else ""
        options = dict(self.options) | ({"socket": self.socket} if self.socket else {})
        query = f"?{urlencode(sorted(options.items()), safe='/%')}" if options else ""
        return f"{self.engine}://{quote(self.user, safe='')}@{host}{port}/{query}"


def _invalid(code: str, message: str, hint: str = _EXAMPLE) -> InvalidInput:
    return InvalidInput(code, message, hint)


def parse_url(url: str) -> ServerAddress:
    """Read a server URL; user and password may be percent-encoded.

    Options: `socket=/path`, `sslmode=…`, `ssl_ca=/path`; `account_host=…` (MariaDB: host part of
    the sites' accounts, by default `localhost` with a socket and `%` without); `database=…`
    (PostgreSQL: the one to administer from, by default `postgres`). Raise InvalidInput, whose
    text never holds any part of the URL that could be a password.
    """
    if not url.isprintable() or url != url.strip():
        raise _invalid(
            "engine.address.characters", "The server URL holds spaces or control characters."
        )
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise _invalid(
            "engine.address.url", "The server URL cannot be read: host or port is malformed."
        ) from None
    engine = _SCHEMES.get(parts.scheme)
    if engine is None or not url.lower().startswith(f"{parts.scheme}://"):
        raise _invalid(
            "engine.address.scheme", "The server URL does not start with a known engine."
        )
    if parts.fragment or parts.path.strip("/"):
        raise _invalid(
            "engine.address.path",
            "The server URL goes on after the host.",
            "Name no database; percent-encode / ? # @ % in a password (%2F %3F %23 %40 %25).",
        )
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    if not user or "\0" in user or "\0" in password:
        raise _invalid(
            "engine.address.user", "The server URL names no usable administrative account."
        )
    options = _options(engine, parts.query)
    socket = options.pop("socket", None)
    if engine == "postgresql" and socket:
        socket, port = _postgresql_socket(socket, port)
    return ServerAddress(
        engine=engine,
        host=_host(parts.hostname or "localhost"),
        port=port,
        socket=socket,
        user=user,
        password=Secret(password),
        options=MappingProxyType(options),
    )


def _host(host: str) -> str:
    if _HOST_NAME.fullmatch(host):
        return host
    try:
        return str(ip_address(host))
    except ValueError:
        raise _invalid(
            "engine.address.host",
            "The host of the server URL is neither a name nor an IP address.",
            "Give a socket as an option: ?socket=/run/mysqld/mysqld.sock.",
        ) from None


def _options(engine: EngineName, query: str) -> dict[str, str]:
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query))
    except ValueError:
        raise _invalid(
            "engine.address.option", "The options of the server URL cannot be read."
        ) from None
    options = dict(pairs)
    known = ", ".join(sorted(_OPTIONS[engine]))
    if len(options) != len(pairs) or not _OPTIONS[engine].issuperset(options):
        raise _invalid(
            "engine.address.option",
            "The server URL has an unknown or repeated option.",
            f"Known are: {known}.",
        )
    for name in ("socket", "ssl_ca"):
        if name in options and not PurePosixPath(options[name]).is_absolute():
            raise _invalid(
                "engine.address.option", f"The option {name} of the server URL is no absolute path."
            )
    if options.get("sslmode", "prefer") not in SSL_MODES:
        raise _invalid(
            "engine.address.option",
            "The option sslmode of the server URL has an unknown value.",
            f"Known are: {', '.join(SSL_MODES)}.",
        )
    if not _ACCOUNT_HOST.fullmatch(options.get("account_host", "%")):
        raise _invalid(
            "engine.address.option", "The option account_host of the server URL is no host pattern."
        )
    if not options.get("database", "postgres"):
        raise _invalid("engine.address.option", "The option database of the server URL is empty.")
    return options


def _postgresql_socket(socket: str, port: int | None) -> tuple[str, int | None]:
    """Take the socket's file for its directory and port: libpq knows a socket by these two."""
    path = PurePosixPath(socket)
    match = _POSTGRESQL_SOCKET_FILE.fullmatch(path.name)
    return (str(path.parent), int(match[1])) if match else (str(path), port)


def engine_of(word: str) -> EngineName:
    """Return the engine of a stored word or URL scheme; raise InvalidInput for any other."""
    if word not in _SCHEMES:
        raise _invalid("engine.address.scheme", "There is no database engine of that name.")
    return _SCHEMES[word]
