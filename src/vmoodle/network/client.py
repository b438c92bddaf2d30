"""The asking side: a call to any node, its answer verified, a peer's new key learned on the way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Generic, TypeGuard, TypeVar

from vmoodle.errors import Refused
from vmoodle.network.certificate import Certificate
from vmoodle.network.cipher import unseal
from vmoodle.network.envelope import PlainMessage, SealedMessage, SignedMessage, read_message
from vmoodle.network.faults import Fault, FaultCode, PeerFault
from vmoodle.network.protocol import (
    MOODLE_ENDPOINT,
    Identity,
    Peer,
    check_endpoint,
    is_signed_by,
    require_clock,
    require_sender,
    seal_to,
    sign,
)
from vmoodle.network.safe_xml import malformed
from vmoodle.network.transport import Transport
from vmoodle.network.wwwroot import check_wwwroot
from vmoodle.network.xml_rpc import Answer, read_answer, write_call

T = TypeVar("T")
_SEALED_TYPE, _PLAIN_TYPE = "text/xml", "text/xml; charset=utf-8"


@dataclass(frozen=True)
class Reply(Generic[T]):
    """What a method gave, and the peer as it is known now: its certificate may be a new one.

    `peer` is to be kept where it differs from the one that was asked.
    """

    value: T
    peer: Peer


@dataclass(frozen=True)
class ServiceOffer:
    """A service as a peer tells it: whether it publishes it to us, and uses ours."""

    name: str
    apiversion: int
    publishes: bool
    subscribes: bool


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class Client:
    """Asks peers in the name of one identity. It keeps nothing between two calls."""

    identity: Identity
    transport: Transport
    clock: Callable[[], datetime] = _now

    def call(self, peer: Peer, method: str, params: Sequence[Any] = ()) -> Reply[Any]:
        """Call a method; learn the peer's new key where it has one, and call once more.

        Raise PeerFault for a fault, Refused `network.message.*` for an answer that does not prove
        to be the peer's or is none, `network.certificate.*` for a new key that cannot be taken or
        an answer under a lapsed one, and what the transport raises. A call that fails on the way
        back may have been carried out.
        """
        payload = write_call(method, params)
        answer = self._ask(peer, payload)
        if _tells_new_key(answer):
            peer = self._rekeyed(peer, answer.text)
            answer = self._ask(peer, payload)
        if isinstance(answer, Fault):
            raise PeerFault(answer, peer.wwwroot, authenticated=True)
        # What a lapsed key signs is taken for a new key and for nothing else.
        peer.certificate.require_valid(self.clock())
        return Reply(answer.value, peer)

    def keyswap(self, wwwroot: str, endpoint: str = MOODLE_ENDPOINT) -> Certificate:
        """Fetch the certificate a Moodle says it has, and tell it ours; nothing is kept.

        Nobody signs the answer: it is worth what the way to that host is worth, so ask over HTTPS,
        or compare it with what the site's database says. It may have lapsed: an idle Moodle makes
        its new key only when it first uses the old one, and the first call learns it.
        Raise as `call`, and Refused `network.certificate.host` for another Moodle's.
        """
        own = self.identity
        introduction = (own.wwwroot, own.keys.current.certificate.pem, own.application)
        body = self.transport.post(
            check_wwwroot(wwwroot),
            check_endpoint(endpoint),
            write_call("system/keyswap", introduction),
            _PLAIN_TYPE,
        )
        answer = read_answer(body.strip())
        if isinstance(answer, Fault):
            raise PeerFault(answer, wwwroot, authenticated=False)
        if not isinstance(answer.value, str):
            raise malformed("its answer to keyswap is no certificate")
        certificate = Certificate.read(answer.value)
        certificate.require_of(wwwroot)
        return certificate

    def list_methods(self, peer: Peer, service: str = "") -> Reply[list[str]]:
        """Return the methods a peer publishes to us, of one service or all. Raise as `call`."""
        reply = self.call(peer, "system/listMethods", (service,) if service else ())
        if not isinstance(reply.value, list) or not all(isinstance(x, str) for x in reply.value):
            raise malformed("its answer is no list of methods")
        return Reply(reply.value, reply.peer)

    def list_services(self, peer: Peer) -> Reply[list[ServiceOffer]]:
        """Return the services that a peer and we exchange, as it sees them. Raise as `call`."""
        reply = self.call(peer, "system/listServices")
        try:
            offers = [
                ServiceOffer(
                    str(one["name"]),
                    int(one["apiversion"]),
                    str(one["publish"]) == "1",
                    str(one["subscribe"]) == "1",
                )
                for one in reply.value
            ]
        except (TypeError, KeyError, ValueError) as error:
            raise malformed("its answer is no list of services") from error
        return Reply(offers, reply.peer)

    def refresh(self, peer: Peer) -> Peer:
        """Return the peer with the key it has now, which it proves with the one we hold.

        One question and no more: while it is asked, the peer may hold an older key of ours too.
        Raise as `call`; a peer that lost its old keys, or that takes no sealed calls, cannot.
        """
        answer = self._ask(peer, write_call("system/listServices", ()))
        return self._rekeyed(peer, answer.text) if _tells_new_key(answer) else peer

    def _ask(self, peer: Peer, payload: bytes) -> Answer | Fault:
        own, sent = self.identity, self.clock()
        body = sign(payload, own.wwwroot, own.keys.current, sent)
        if peer.sealed:
            body = seal_to(body, own.wwwroot, peer.certificate)
        answer = self.transport.post(peer.wwwroot, peer.endpoint, body, _SEALED_TYPE)
        message = self._signed(peer, answer.strip())
        require_sender(message.wwwroot, message.key_address, peer.wwwroot)
        if not is_signed_by(message, peer.certificate):
            raise Refused(
                "network.message.signature",
                f"The answer is not signed with the key that we hold of {peer.wwwroot}.",
                "It has another key, or another host answers in its place. Bind the pair again "
                "only after you know which.",
            )
        require_clock(message.timestamp, sent, self.clock())
        return read_answer(message.payload)

    def _signed(self, peer: Peer, document: bytes) -> SignedMessage:
        """Return the signed message in an answer, opened where it is sealed."""
        message = read_message(document)
        if isinstance(message, PlainMessage):
            raise _in_clear(message, peer)
        if isinstance(message, SealedMessage):
            require_sender(message.wwwroot, None, peer.wwwroot)
            # The answer to an older call may come under an older key of ours.
            opened = unseal(message.sealed, self.identity.keys)
            message = read_message(opened.text)
        elif peer.sealed:
            raise _unprotected(peer)
        if not isinstance(message, SignedMessage):
            raise malformed("what was sealed is not signed")
        return message

    def _rekeyed(self, peer: Peer, pem: str) -> Peer:
        """Return the peer by the key of a fault 7025, which bears the signature of the old one."""
        fresh = Certificate.read(pem)
        fresh.require_of(peer.wwwroot)
        fresh.require_valid(self.clock())
        return replace(peer, certificate=fresh)


def _tells_new_key(answer: Answer | Fault) -> TypeGuard[Fault]:
    return isinstance(answer, Fault) and answer.number == FaultCode.OLD_KEY


def _in_clear(message: PlainMessage, peer: Peer) -> PeerFault | Refused:
    if message.root != "methodResponse":
        return malformed(f"its document is a {message.root[:30]!r}")
    answer = read_answer(message.document)
    if isinstance(answer, Fault):
        return PeerFault(answer, peer.wwwroot, authenticated=False)
    return _unprotected(peer)


def _unprotected(peer: Peer) -> Refused:
    return Refused(
        "network.message.plain",
        f"{peer.wwwroot} answers less protected than it was asked.",
        "Somebody on the way may have written that answer. Ask over HTTPS.",
    )
