"""Moodles of Moodle Network that need no web server: keys made once, peers that know each other."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from vmoodle.network.client import Client
from vmoodle.network.keys import KeyPair, OwnKeys, Subject
from vmoodle.network.protocol import Identity, Peer
from vmoodle.network.server import Grants, Handler, Server, Service

HOME, AWAY, OTHER = (
    "https://home.example.test",
    "https://away.example.test/moodle",
    "https://other.example.test",
)
NOW = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
ECHO = "local/echo/lib.php/echo"


def pair(wwwroot: str, generation: int = 0, begins: datetime = NOW) -> KeyPair:
    """Return a key of a Moodle; the same one for the same arguments."""
    return _pair(wwwroot, generation, begins)


@cache
def _pair(wwwroot: str, _generation: int, begins: datetime) -> KeyPair:
    return KeyPair.make(Subject(wwwroot, "École", "noreply@example.test"), now=begins)


def identity(wwwroot: str, generation: int = 0) -> Identity:
    """Return a Moodle with its key of a generation, and the earlier ones as its history."""
    keys = OwnKeys(pair(wwwroot, 0))
    for later in range(1, generation + 1):
        keys = keys.rotated(pair(wwwroot, later))
    return Identity(wwwroot, keys)


def peer(wwwroot: str, generation: int = 0) -> Peer:
    """Return what others know of it."""
    return Peer(wwwroot, pair(wwwroot, generation).certificate)


@dataclass
class Book:
    """Peers in memory."""

    peers: dict[str, Peer] = field(default_factory=dict)
    granted: Grants = field(
        default_factory=lambda: Grants(frozenset({"echo"}), frozenset({"sso_idp"}))
    )

    def find(self, wwwroot: str) -> Peer | None:
        return self.peers.get(wwwroot)

    def grants(self, _wwwroot: str) -> Grants:
        return self.granted

    def rekeyed(self, fresh: Peer) -> None:
        self.peers[fresh.wwwroot] = fresh


def book(*peers: Peer) -> Book:
    return Book({one.wwwroot: one for one in peers})


def server(own: Identity, known: Book, methods: Mapping[str, Handler] | None = None) -> Server:
    """Return a Moodle that publishes the service `echo`."""
    services = [
        Service("echo", methods or {ECHO: lambda _peer, params: list(params)}),
        Service("hidden", {"local/echo/lib.php/hidden": lambda _peer, _params: True}),
    ]
    return Server(own, known, services, clock=lambda: NOW)


@dataclass
class Wire:
    """A way between Moodles without a network: what is asked and answered is kept, and changed."""

    servers: dict[str, Server]
    sender: str = "192.0.2.7"
    spoil: Callable[[bytes], bytes] = bytes
    asked: list[bytes] = field(default_factory=list)
    answered: list[bytes] = field(default_factory=list)

    def post(self, wwwroot: str, _path: str, body: bytes, _type: str) -> bytes:
        self.asked.append(body)
        answer = self.spoil(self.servers[wwwroot].answer(body, self.sender))
        self.answered.append(answer)
        return answer


def client(own: Identity, wire: Wire) -> Client:
    return Client(own, wire, clock=lambda: NOW)


class WebServer(ThreadingMixIn, WSGIServer):
    """A web server of threads on a free port."""

    daemon_threads = True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Quiet(WSGIRequestHandler):
    def log_message(self, *_given: object) -> None:
        pass


@contextmanager
def web_server() -> Iterator[WebServer]:
    """Serve an application that is set meanwhile."""
    with WebServer(("127.0.0.1", 0), _Quiet) as web:
        threading.Thread(target=web.serve_forever, daemon=True).start()
        yield web
        web.shutdown()


def in_clear(known: Peer) -> Peer:
    """Return the peer, to be called signed and not sealed."""
    return replace(known, sealed=False)
