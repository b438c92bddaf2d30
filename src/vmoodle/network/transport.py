"""The way to a peer: one POST over HTTP, with limits on time, size and where it may lead."""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import socket
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event, Timer
from typing import Any, Protocol

from vmoodle.errors import Refused, Unavailable
from vmoodle.network.safe_xml import MOST_BYTES
from vmoodle.network.wwwroot import split_wwwroot

TIMEOUT_SECONDS = 30.0
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
# Addresses that lead to another one, which would have to be judged in their place.
_TRANSLATED = tuple(ipaddress.ip_network(one) for one in ("64:ff9b::/96", "2002::/16", "2001::/32"))


class Dial(Protocol):
    """Opens a connection to a host. The place to say where connections may lead, or lead at all."""

    def __call__(self, host: str, port: int, timeout: float) -> socket.socket:
        """Return a connected socket; raise OSError, or Refused for what is not to be reached."""


class Transport(Protocol):
    """Carries a message to an address and the answer back."""

    def post(self, wwwroot: str, path: str, body: bytes, content_type: str) -> bytes:
        """Return what the peer answers with status 200."""


def dial_public(host: str, port: int, timeout: float) -> socket.socket:
    """Connect to a host of the public Internet, and to no other: for peers that anybody may name.

    All its addresses are judged and the one judged is connected to, so that a name cannot mean
    something else the next moment. Raise Refused `network.address`.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    for _family, _kind, _protocol, _name, address in found:
        if not _is_public(str(address[0])):
            raise Refused(
                "network.address",
                f"{host} leads to {address[0]}, which is no address of the public Internet.",
                "A site of one's own network is called as a member, by where it is served.",
            )
    return _connect(found, timeout)


def dial_any(host: str, port: int, timeout: float) -> socket.socket:
    """Connect to a host wherever it is: for peers that an administrator named."""
    return socket.create_connection((host, port), timeout)


def dial_at(address: tuple[str, int]) -> Dial:
    """Return how to connect to one server, whatever the host: for sites that it serves."""

    def dial(host: str, port: int, timeout: float) -> socket.socket:  # noqa: ARG001
        return socket.create_connection(address, timeout)

    return dial


@dataclass(frozen=True)
class HttpTransport:
    """POST over HTTP or HTTPS, the certificate of the host verified against `context`.

    `timeout` is for the whole exchange, however slowly a peer drips. Redirects are not followed.
    """

    dial: Dial = dial_public
    timeout: float = TIMEOUT_SECONDS
    most_bytes: int = MOST_BYTES
    context: ssl.SSLContext = field(default_factory=ssl.create_default_context, repr=False)

    def post(self, wwwroot: str, path: str, body: bytes, content_type: str) -> bytes:
        """Return what the peer answers with status 200.

        Raise Unavailable `network.unreachable`, `network.tls`, `network.moved` or
        `network.status`; Refused `network.message.large`, and what `dial` refuses.
        """
        try:
            with self._connection(wwwroot) as connection:
                headers = {
                    "Host": wwwroot.split("/")[2],
                    "User-Agent": "VMoodle",
                    "Content-Type": content_type,
                    "Accept-Encoding": "identity",
                    "Connection": "close",
                }
                target = f"{split_wwwroot(wwwroot)[3]}{path}"
                connection.request("POST", target, body, headers)
                return self._read(wwwroot, connection.getresponse())
        except ssl.SSLError as error:
            raise Unavailable(
                "network.tls",
                f"No TLS with {wwwroot} that can be trusted: {error.reason or error}.",
                "Renew its certificate, or have its authority known here; it is never skipped.",
            ) from error
        except (OSError, http.client.HTTPException, UnicodeError) as error:
            raise Unavailable(
                "network.unreachable",
                f"{wwwroot} does not answer: {error or type(error).__name__}.",
                "See whether the site is up, and whether its host can be reached from here.",
            ) from error

    def _read(self, wwwroot: str, response: http.client.HTTPResponse) -> bytes:
        location = response.getheader("Location")
        if response.status in _REDIRECTS and location:
            raise Unavailable(
                "network.moved",
                f"{wwwroot} sends to {location[:200]!r} and does not answer itself.",
                "Bind it by the wwwroot that it has now; a message goes to no other host.",
            )
        if response.status != 200:
            raise Unavailable(
                "network.status",
                f"{wwwroot} answers with the HTTP status {response.status}.",
                "A Moodle answers 404 while its networking is off (mnet_dispatcher_mode), and 503 "
                "while it is closed.",
            )
        body = response.read(self.most_bytes + 1)
        if len(body) > self.most_bytes:
            raise Refused(
                "network.message.large",
                f"The answer of {wwwroot} has more than {self.most_bytes:,} bytes.",
                "Ask for less at once.",
            )
        if response.length:
            raise http.client.IncompleteRead(body, response.length)
        return body

    @contextmanager
    def _connection(self, wwwroot: str) -> Iterator[http.client.HTTPConnection]:
        secure, host, port, _path = split_wwwroot(wwwroot)
        connection = http.client.HTTPConnection(host, port, timeout=self.timeout)
        late = Event()
        channel = self.dial(host, port, self.timeout)
        try:
            channel.settimeout(self.timeout)
            if secure:
                channel = self.context.wrap_socket(
                    channel, server_hostname=host, do_handshake_on_connect=False
                )
            with _cut_after(self.timeout, channel, late):
                if isinstance(channel, ssl.SSLSocket):
                    channel.do_handshake()
                connection.sock = channel
                yield connection
                # A connection that is cut looks to its reader like an answer that ends.
                self._require_in_time(late)
        except (OSError, http.client.HTTPException):
            self._require_in_time(late)
            raise
        finally:
            connection.close()
            channel.close()

    def _require_in_time(self, late: Event) -> None:
        if late.is_set():
            raise TimeoutError(f"not within {self.timeout:g} s")


@contextmanager
def _cut_after(seconds: float, channel: socket.socket, late: Event) -> Iterator[None]:
    """Close a connection under whoever still waits: a socket's own limit is for each read."""

    def cut() -> None:
        late.set()
        with contextlib.suppress(OSError):
            # Not the method of a TLS socket, which is not made for another thread.
            socket.socket.shutdown(channel, socket.SHUT_RDWR)

    timer = Timer(seconds, cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _is_public(text: str) -> bool:
    address = ipaddress.ip_address(text.partition("%")[0])
    mapped = getattr(address, "ipv4_mapped", None)
    judged = mapped or address
    if any(judged in one for one in _TRANSLATED if one.version == judged.version):
        return False
    return bool(judged.is_global and not judged.is_multicast)


def _connect(found: Sequence[tuple[Any, ...]], timeout: float) -> socket.socket:
    last: OSError = OSError("it has no address")
    for one in found:
        channel = socket.socket(one[0], one[1], one[2])
        channel.settimeout(timeout)
        try:
            channel.connect(one[4])
        except OSError as error:
            channel.close()
            last = error
            continue
        return channel
    raise last
