"""A caller whose signature is wrong: has it a new key? It is asked once for all calls that wait."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Event, Lock
from typing import Protocol

from vmoodle.errors import VMoodleError
from vmoodle.network.protocol import Peer

PAUSE_SECONDS = 30.0
"""How long a peer that had no new key is not asked again."""

WAIT_SECONDS = 15.0
"""How long a call waits for the answer to another one's question."""


class Kept(Protocol):
    """Where the peers are kept."""

    def find(self, wwwroot: str) -> Peer | None:
        """Return the peer of exactly that wwwroot."""

    def rekeyed(self, peer: Peer) -> None:
        """Keep the new certificate that the peer has proved to be its own."""


class KeyRefresh:
    """Asks peers for their new keys, from several threads at once."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._asking: dict[str, Event] = {}
        self._unchanged: dict[str, float] = {}

    def fresh(self, peer: Peer, ask: Callable[[Peer], Peer], kept: Kept) -> Peer | None:
        """Return the peer by a new key, which is kept; None where it proved none.

        Anybody can send wrong signatures in a peer's name, so it is not asked at each of them. All
        calls that came with a new key meanwhile wait for one answer, and none is lost.
        """
        with self._lock:
            running = self._asking.get(peer.wwwroot)
            if running is None:
                since = time.monotonic() - self._unchanged.get(peer.wwwroot, -PAUSE_SECONDS)
                if since < PAUSE_SECONDS:
                    return _changed(peer, kept)
                own = self._asking[peer.wwwroot] = Event()
        if running is not None:
            running.wait(WAIT_SECONDS)
            return _changed(peer, kept)
        try:
            return self._ask(peer, ask, kept)
        finally:
            with self._lock:
                del self._asking[peer.wwwroot]
            own.set()

    def _ask(self, peer: Peer, ask: Callable[[Peer], Peer], kept: Kept) -> Peer | None:
        # One that asked a moment ago may have kept it already.
        known = _changed(peer, kept)
        if known is not None:
            return known
        try:
            found = ask(peer)
        except VMoodleError:
            found = peer
        if found.certificate.pem == peer.certificate.pem:
            self._unchanged[peer.wwwroot] = time.monotonic()
            return None
        self._unchanged.pop(peer.wwwroot, None)
        kept.rekeyed(found)
        return found


def _changed(peer: Peer, kept: Kept) -> Peer | None:
    found = kept.find(peer.wwwroot)
    return found if found and found.certificate.pem != peer.certificate.pem else None
