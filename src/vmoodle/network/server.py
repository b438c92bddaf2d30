"""The answering side: takes the body of a request and gives the body of the answer, as Moodle does.

It knows no HTTP. Peers, what each of them is granted, and methods are given to it.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Protocol

from vmoodle.errors import VMoodleError
from vmoodle.network.certificate import Certificate
from vmoodle.network.cipher import unseal
from vmoodle.network.envelope import (
    PlainMessage,
    SealedMessage,
    SignedMessage,
    read_message,
)
from vmoodle.network.faults import Fault, FaultAnswer, FaultCode
from vmoodle.network.key_refresh import KeyRefresh
from vmoodle.network.keys import KeyPair
from vmoodle.network.protocol import (
    Identity,
    Peer,
    is_signed_by,
    require_sender,
    seal_to,
    sign,
)
from vmoodle.network.xml_rpc import Call, read_call, write_answer, write_fault

Handler = Callable[[Peer, tuple[Any, ...]], Any]
"""A method: given who calls and the parameters, gives a value or raises FaultAnswer."""

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_METHOD = re.compile(r"[A-Za-z0-9]+/[A-Za-z0-9/_.-]+(\.php/)?[A-Za-z0-9_-]+")
_NOT_IMPLEMENTED = frozenset({"system/listFiles", "system/retrieveFile"})
_TEXTS = {
    FaultCode.NOT_PUBLISHED: "The service of this method is not published to you.",
    FaultCode.WRONG_SIGNATURE: "The signature of the message is not right.",
    FaultCode.UNSIGNED: "The message is not signed.",
    FaultCode.METHOD_NAME: "This is no name of a method.",
    FaultCode.UNKNOWN: "The message cannot be read, or the call failed.",
    FaultCode.NO_METHOD: "There is no such method.",
    FaultCode.NO_SYSTEM_METHOD: "There is no such method.",
    FaultCode.NOT_IMPLEMENTED: "There is no such method.",
    FaultCode.UNKNOWN_PEER: "Your wwwroot is not known here.",
    FaultCode.NOT_ENCRYPTED: "Messages must be encrypted.",
    FaultCode.UNOPENED: "The message cannot be opened.",
}


@dataclass(frozen=True)
class Service:
    """A service we may publish: its methods by their paths."""

    name: str
    methods: Mapping[str, Handler]
    apiversion: int = 1


@dataclass(frozen=True)
class Grants:
    """The names of the services that we publish to a peer and use of it."""

    publish: frozenset[str] = frozenset()
    subscribe: frozenset[str] = frozenset()


class PeerBook(Protocol):
    """The peers we know. Asked and told from several threads at once."""

    def find(self, wwwroot: str) -> Peer | None:
        """Return the peer of exactly that wwwroot."""

    def grants(self, wwwroot: str) -> Grants:
        """Return what the peer is granted."""

    def rekeyed(self, peer: Peer) -> None:
        """Keep the new certificate that the peer has proved to be its own."""


class KeyswapPolicy(Protocol):
    """What is done when somebody fetches our certificate and tells its own."""

    def introduced(self, wwwroot: str, certificate: Certificate, application: str) -> None:
        """Take note of one who introduces himself; raise FaultAnswer to turn him away.

        Nothing of it is proved: anybody may send it.
        """


class TakeNoNote:
    """Answer keyswap, and ignore who asks: as a Moodle that does not register all hosts."""

    def introduced(self, wwwroot: str, certificate: Certificate, application: str) -> None:
        """Do nothing."""


@dataclass(frozen=True)
class _Request:
    """What is known of a request, and so how its answer is protected."""

    own: Identity
    peer: Peer | None = None
    signed: bool = False
    sealed: bool = False
    pair: KeyPair | None = None

    @property
    def to_old_key(self) -> bool:
        """Whether it was sealed to a key of ours that is not the current one."""
        return self.pair is not None and self.pair is not self.own.keys.current


class _Fault(Exception):
    def __init__(self, number: FaultCode, request: _Request) -> None:
        super().__init__(number)
        self.number, self.request = number, request


@dataclass
class Server:
    """Answers peers in the name of one identity.

    `trusted` are the networks from which a signed call is taken in clear. `refresh` asks a peer
    for its new key where its signature is wrong (`Client.refresh`); meanwhile the peer may call
    back. A message is taken as often as it is sent: the protocol has nothing to tell a second time.
    """

    identity: Identity
    peers: PeerBook
    services: Sequence[Service] = ()
    keyswap: KeyswapPolicy = field(default_factory=TakeNoNote)
    refresh: Callable[[Peer], Peer] | None = None
    trusted: Sequence[Network] = ()
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    _keys: KeyRefresh = field(default_factory=KeyRefresh, init=False, repr=False)

    def answer(self, body: bytes, remote_address: str = "") -> bytes:
        """Return the answer to a request; what is refused is answered with Moodle's fault.

        `remote_address` is the caller's, as the web server knows it, for `trusted`.
        """
        # One for the whole exchange: the keys may be changed while it lasts.
        request = _Request(self.identity)
        try:
            request, call = self._receive(request, body, remote_address)
            return self._protect(self._dispatch(call, request), request)
        except _Fault as refused:
            return self._fault(refused.number, refused.request)
        except FaultAnswer as given:
            return self._protect(write_fault(given.fault), request)
        except VMoodleError:
            # Whose words are for our administrator.
            return self._fault(FaultCode.UNKNOWN, request)

    def _receive(
        self, request: _Request, body: bytes, remote_address: str
    ) -> tuple[_Request, Call]:
        try:
            message = read_message(body)
            if isinstance(message, PlainMessage):
                return request, self._in_clear(message, request, remote_address)
        except VMoodleError as error:
            raise _Fault(FaultCode.UNKNOWN, request) from error
        peer = self.peers.find(message.wwwroot)
        if peer is None:
            raise _Fault(FaultCode.UNKNOWN_PEER, request)
        if isinstance(message, SealedMessage):
            request, signed = self._open(message, replace(request, peer=peer))
        else:
            request, signed = replace(request, peer=peer, signed=True), message
            if not self._trusts(remote_address):
                raise _Fault(FaultCode.NOT_ENCRYPTED, request)
        request = self._verify(signed, request)
        try:
            return request, read_call(signed.payload)
        except VMoodleError as error:
            raise _Fault(FaultCode.UNKNOWN, request) from error

    def _in_clear(self, message: PlainMessage, request: _Request, remote_address: str) -> Call:
        """Return the one call that is taken without a signature."""
        call = read_call(message.document)
        if call.method == "system/keyswap":
            return call
        trusts = self._trusts(remote_address)
        raise _Fault(FaultCode.UNSIGNED if trusts else FaultCode.NOT_ENCRYPTED, request)

    def _open(self, message: SealedMessage, request: _Request) -> tuple[_Request, SignedMessage]:
        unprotected = replace(request, peer=None)
        try:
            opened = unseal(message.sealed, request.own.keys)
        except VMoodleError as error:
            raise _Fault(FaultCode.UNOPENED, unprotected) from error
        try:
            signed = read_message(opened.text)
        except VMoodleError as error:
            raise _Fault(FaultCode.UNKNOWN, unprotected) from error
        if not isinstance(signed, SignedMessage) or signed.wwwroot != message.wwwroot:
            raise _Fault(FaultCode.UNKNOWN_PEER, unprotected)
        return replace(request, signed=True, sealed=True, pair=opened.pair), signed

    def _verify(self, signed: SignedMessage, request: _Request) -> _Request:
        """Return the request with the peer by whose key it is signed, learned anew if need be."""
        peer = request.peer
        assert peer is not None  # noqa: S101  set by both callers
        if request.to_old_key:
            # Whoever it is: he may be a peer whose own key is new too, and neither could ever
            # learn the other's if he were asked first. Only the holder of the key that is kept
            # of this peer can open the answer, and our certificate is no secret.
            raise _Fault(FaultCode.OLD_KEY, request)
        try:
            require_sender(signed.wwwroot, signed.key_address, peer.wwwroot)
        except VMoodleError as error:
            raise _Fault(FaultCode.WRONG_SIGNATURE, request) from error
        if self._is_by(signed, peer):
            return request
        fresh = self._keys.fresh(peer, self.refresh, self.peers) if self.refresh else None
        if fresh is None or not self._is_by(signed, fresh):
            raise _Fault(FaultCode.WRONG_SIGNATURE, request)
        return replace(request, peer=fresh)

    def _is_by(self, signed: SignedMessage, peer: Peer) -> bool:
        return peer.certificate.is_valid(self.clock()) and is_signed_by(signed, peer.certificate)

    def _trusts(self, remote_address: str) -> bool:
        try:
            address = ipaddress.ip_address(remote_address.partition("%")[0])
        except ValueError:
            return False
        judged = getattr(address, "ipv4_mapped", None) or address
        return any(judged in one for one in self.trusted if one.version == judged.version)

    def _dispatch(self, call: Call, request: _Request) -> bytes:
        if not _METHOD.fullmatch(call.method):
            raise _Fault(FaultCode.METHOD_NAME, request)
        if call.method == "system/keyswap":
            self._note(call.params)
            return write_answer(request.own.keys.current.certificate.pem)
        peer = request.peer
        assert peer is not None  # noqa: S101  keyswap is the only call without one
        grants = self.peers.grants(peer.wwwroot)
        if call.method.startswith("system/"):
            return write_answer(self._system(call, grants, request))
        holding = [service for service in self.services if call.method in service.methods]
        if not holding:
            raise _Fault(FaultCode.NO_METHOD, request)
        for service in holding:
            if service.name in grants.publish:
                return write_answer(service.methods[call.method](peer, call.params))
        raise _Fault(FaultCode.NOT_PUBLISHED, request)

    def _system(self, call: Call, grants: Grants, request: _Request) -> Any:
        published = [service for service in self.services if service.name in grants.publish]
        asked = str(call.params[0]) if call.params else ""
        match call.method:
            case "system/listServices":
                return [
                    {
                        "name": service.name,
                        "apiversion": str(service.apiversion),
                        "publish": str(int(service.name in grants.publish)),
                        "subscribe": str(int(service.name in grants.subscribe)),
                    }
                    for service in sorted(self.services, key=lambda one: one.name)
                    if service.name in grants.publish | grants.subscribe
                ]
            case "system/listMethods":
                return sorted(
                    {
                        method
                        for service in published
                        if not asked or service.name == asked
                        for method in service.methods
                    }
                )
            case "system/methodHelp":
                return next(
                    (one.methods[asked].__doc__ or "" for one in published if asked in one.methods),
                    False,
                )
        not_implemented = call.method in _NOT_IMPLEMENTED
        raise _Fault(
            FaultCode.NOT_IMPLEMENTED if not_implemented else FaultCode.NO_SYSTEM_METHOD, request
        )

    def _note(self, params: tuple[Any, ...]) -> None:
        """Tell the policy who introduces himself, where what he says can be a peer."""
        match params:
            case (str(wwwroot), str(pem), str(application), *_):
                try:
                    peer = Peer(wwwroot, Certificate.read(pem))
                    peer.certificate.require_valid(self.clock())
                except VMoodleError:
                    # Moodle too answers whatever it was told.
                    return
                self.keyswap.introduced(peer.wwwroot, peer.certificate, application[:80])

    def _fault(self, number: FaultCode, request: _Request) -> bytes:
        pem = request.own.keys.current.certificate.pem
        text = pem if number is FaultCode.OLD_KEY else _TEXTS[number]
        return self._protect(write_fault(Fault(int(number), text)), request)

    def _protect(self, document: bytes, request: _Request) -> bytes:
        """Sign and seal an answer as its question was; a new key under the old one."""
        own = request.own
        if request.peer is None:
            return document
        if request.signed:
            pair = request.pair or own.keys.current
            document = sign(document, own.wwwroot, pair, self.clock())
        if request.sealed:
            document = seal_to(document, own.wwwroot, request.peer.certificate)
        return document
