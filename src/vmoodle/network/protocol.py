"""What both sides of a call do: sign, seal, and believe a message only as far as it proves itself.

What a message proves is little. The signature covers the call or the answer and nothing else: not
the time, not for whom it was meant, not which question an answer belongs to. So a message that was
sent once can be sent again, by whoever recorded it or by the peer it was sent to, and nothing here
can tell. Only TLS keeps the first from reading along.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA1

from vmoodle.errors import InvalidInput, Refused
from vmoodle.network.certificate import Certificate
from vmoodle.network.cipher import seal
from vmoodle.network.envelope import SignedMessage, write_sealed, write_signed
from vmoodle.network.keys import KeyPair, OwnKeys
from vmoodle.network.wwwroot import check_wwwroot

MOODLE_ENDPOINT = "/mnet/xmlrpc/server.php"
APPLICATION = "moodle"
DRIFT_SECONDS = 15
"""How far a peer's clock may be ahead (`drift_threshold` of the plugin mnet)."""

_ENDPOINT = re.compile(r"(?:/[A-Za-z0-9._~-]+)+")


@dataclass(frozen=True)
class Identity:
    """Who we are to peers, and by which keys.

    Raise Refused `network.certificate.host` for a current key that is another Moodle's: with it
    a copy of a site would speak for the original.
    """

    wwwroot: str
    keys: OwnKeys
    application: str = APPLICATION

    def __post_init__(self) -> None:
        check_wwwroot(self.wwwroot)
        self.keys.current.certificate.require_of(self.wwwroot)


@dataclass(frozen=True)
class Peer:
    """A Moodle (or Mahara) we exchange messages with, and the certificate we hold of it.

    `sealed` False sends calls signed and in clear, which a Moodle takes only from an address that
    its `mnet_trusted_hosts` names. `endpoint` is its application's `xmlrpc_server_url`.
    """

    wwwroot: str
    certificate: Certificate = field(repr=False)
    endpoint: str = MOODLE_ENDPOINT
    sealed: bool = True

    def __post_init__(self) -> None:
        check_endpoint(self.endpoint)
        check_wwwroot(self.wwwroot)
        self.certificate.require_of(self.wwwroot)

    @property
    def url(self) -> str:
        """Where its calls are sent."""
        return f"{self.wwwroot}{self.endpoint}"


def check_endpoint(endpoint: str) -> str:
    """Return it; raise InvalidInput `network.endpoint` for what is no path on a peer."""
    if not _ENDPOINT.fullmatch(endpoint):
        raise InvalidInput(
            "network.endpoint",
            f"{endpoint[:80]!r} is no path of a peer's server.",
            f"Moodle's is {MOODLE_ENDPOINT}, Mahara's /api/xmlrpc/server.php.",
        )
    return endpoint


def sign(payload: bytes, wwwroot: str, pair: KeyPair, now: datetime) -> bytes:
    """Return the payload in the envelope that a pair of ours has signed."""
    signature = pair.private_key.sign(payload, PKCS1v15(), SHA1())  # noqa: S303  Moodle's only one
    return write_signed(payload, signature, wwwroot, int(now.timestamp()))


def seal_to(text: bytes, wwwroot: str, receiver: Certificate) -> bytes:
    """Return a text in the envelope that only the receiver opens. Raise as `seal`."""
    return write_sealed(seal(text, receiver.key), wwwroot)


def is_signed_by(message: SignedMessage, certificate: Certificate) -> bool:
    """Tell whether the payload bears the signature of the certificate's key."""
    try:
        certificate.key.verify(message.signature, message.payload, PKCS1v15(), SHA1())  # noqa: S303
    except InvalidSignature:
        return False
    return True


def require_sender(wwwroot: str, key_address: str | None, peer: str) -> None:
    """Raise Refused `network.message.sender` where an envelope names another than the peer.

    A copy of a site that kept the original's row of itself names the original, and its own
    address as the place of its key; so does a site that moved.
    """
    if wwwroot != peer or not (key_address is None or key_address.startswith(f"{peer}/")):
        other = wwwroot if wwwroot != peer else key_address
        raise Refused(
            "network.message.sender",
            f"The message is to be {peer}'s and says it comes from {str(other)[:100]!r}.",
            "A site that moved, or a copy of another one: set the wwwroot in its own row of "
            "mnet_host, and have it make a new key.",
        )


def require_clock(timestamp: int, sent: datetime, received: datetime) -> None:
    """Raise Refused `network.message.clock` for a time ahead of ours, by Moodle's own rule.

    It tells of clocks that are off. It proves nothing about age: the time is not signed.
    """
    ahead = timestamp - (received - sent).total_seconds() / 2 - sent.timestamp()
    if ahead > DRIFT_SECONDS:
        raise Refused(
            "network.message.clock",
            f"The clock of the peer is {ahead:.0f} s ahead of ours; {DRIFT_SECONDS} s are taken.",
            "Set the clocks of both machines; NTP keeps them right.",
        )
