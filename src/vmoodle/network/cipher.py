"""The seal of Moodle Network: RC4 under a random key, the key under RSA (PHP's `openssl_seal`).

Every Moodle release from 3.6 to 5.1 seals with RC4 and RSA PKCS #1 v1.5 and opens nothing else, so
there is no second cipher to choose. Neither protects what it covers against being changed.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.decrepit.ciphers.algorithms import ARC4
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.ciphers import Cipher

from vmoodle.errors import Refused, Unavailable
from vmoodle.network.keys import KeyPair

_KEY_BYTES = 16
_MARK, _MARK_WITHIN = b"<signedMessage>", 100


@dataclass(frozen=True)
class Sealed:
    """A sealed text, and the key to it that only the receiver's private key opens."""

    data: bytes
    key: bytes


@dataclass(frozen=True)
class Opened:
    """An opened text and the one of our pairs that opened it."""

    text: bytes = field(repr=False)
    pair: KeyPair


def seal(text: bytes, receiver: RSAPublicKey) -> Sealed:
    """Seal a text to the holder of a key; raise Unavailable `network.cipher` without RC4 here."""
    key = secrets.token_bytes(_KEY_BYTES)
    return Sealed(_rc4(key, text), receiver.encrypt(key, PKCS1v15()))


def unseal(sealed: Sealed, pairs: Iterable[KeyPair]) -> Opened:
    """Open what was sealed to one of our keys.

    A wrong key need not fail: RSA in OpenSSL 3.2 and later then gives random bytes. So what is
    opened must be a signed message, by the same test as Moodle's. Raise Refused
    `network.message.key` when no key opens it, Unavailable `network.cipher` without RC4 here.
    """
    for pair in pairs:
        text = _rc4(_unwrap(sealed.key, pair.private_key), sealed.data)
        # Moodle asks for something before it: an XML declaration.
        if text.find(_MARK, 0, _MARK_WITHIN) > 0:
            return Opened(text, pair)
    raise Refused(
        "network.message.key",
        "None of our keys opens the message.",
        "It was sealed to a key that is not ours or no longer kept: exchange certificates again.",
    )


def _unwrap(wrapped: bytes, key: RSAPrivateKey) -> bytes:
    """Return the inner key, random bytes where there is none.

    Whoever sends many messages must not learn from an answer or its time how RSA failed: that
    would let him open others' messages.
    """
    instead = secrets.token_bytes(_KEY_BYTES)
    try:
        found = key.decrypt(wrapped, PKCS1v15())
    except ValueError:
        return instead
    return found if len(found) == _KEY_BYTES else instead


def _rc4(key: bytes, text: bytes) -> bytes:
    try:
        stream = Cipher(ARC4(key), mode=None).encryptor()
    except UnsupportedAlgorithm as error:
        raise Unavailable(
            "network.cipher",
            "RC4, the only cipher of Moodle Network, is missing in the OpenSSL of Python.",
            "Install cryptography from its wheel, and do not set CRYPTOGRAPHY_OPENSSL_NO_LEGACY.",
        ) from error
    return stream.update(text) + stream.finalize()
