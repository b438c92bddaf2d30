"""A peer's certificate: read as Moodle makes them, and checked before anything is trusted to it.

Moodle gives its certificates the serial number 0, which X.509 forbids and `cryptography` announces
to refuse. So the few fields that matter are read by its ASN.1 reader, and not by its X.509 one.
"""

from __future__ import annotations

import base64
import binascii
import re
import warnings
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Annotated

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat import asn1
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key
from cryptography.x509 import ObjectIdentifier
from cryptography.x509.oid import NameOID

from vmoodle.errors import Conflict, InvalidInput, Refused

SUBJECT_ALT_NAME = ObjectIdentifier("2.5.29.17")
"""Moodle puts the wwwroot into the subject under this name, which elsewhere is an extension's."""

EARLY = timedelta(minutes=5)
"""How long before its begin one is taken: it begins when it is made, by its maker's clock."""

COMMON_NAME_LENGTH = 64
MOST_BYTES = 20_000
_NAMES = (NameOID.COMMON_NAME, SUBJECT_ALT_NAME)
_KEY_BITS = range(2048, 8193)
_PEM = re.compile(
    r"\s*-----BEGIN CERTIFICATE-----\s+([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----\s*"
)


@asn1.sequence
class _Validity:
    begin: asn1.UTCTime | asn1.GeneralizedTime
    end: asn1.UTCTime | asn1.GeneralizedTime


@asn1.sequence
class _Attribute:
    kind: ObjectIdentifier
    value: asn1.TLV


@asn1.sequence
class _PublicKey:
    algorithm: asn1.TLV
    key: asn1.BitString


@asn1.sequence
class _Signed:
    version: Annotated[int, asn1.Explicit(0), asn1.Default(0)]
    serial: int
    algorithm: asn1.TLV
    issuer: asn1.TLV
    validity: _Validity
    subject: list[asn1.SetOf[_Attribute]]
    key: _PublicKey
    extensions: Annotated[list[asn1.TLV] | None, asn1.Explicit(3)]


@asn1.sequence
class _Certificate:
    signed: _Signed
    algorithm: asn1.TLV
    signature: asn1.BitString


@dataclass(frozen=True)
class Certificate:
    """A certificate: its text exactly as it came (peers compare texts), and what it says.

    It is self-signed and proves nothing by itself: it is trusted because it is kept, or because
    it came under the signature of the one before.
    """

    pem: str = field(repr=False)
    key: RSAPublicKey = field(repr=False, compare=False)
    begins: datetime
    ends: datetime
    common_name: str
    alternative_name: str
    """The whole wwwroot; '' in a certificate that has only the common name."""

    @property
    def wwwroot(self) -> str:
        """Which Moodle the certificate says it is of; may be cut to 64 characters."""
        return self.alternative_name or self.common_name

    @classmethod
    def read(cls, pem: str) -> Certificate:
        """Read a certificate of Moodle's form.

        Raise InvalidInput `network.certificate.unreadable`, and Refused `network.certificate.key`
        for a key that is not RSA of 2048 to 8192 bits.
        """
        found = _PEM.fullmatch(pem) if len(pem) <= MOST_BYTES else None
        if found is None:
            raise _unreadable("it is not one certificate in PEM")
        try:
            der = base64.b64decode("".join(found[1].split()), validate=True)
            read = asn1.decode_der(_Certificate, der).signed
            begins, ends = read.validity.begin.as_datetime(), read.validity.end.as_datetime()
            names = _names(read.subject)
        except (binascii.Error, ValueError) as error:
            raise _unreadable("its content is damaged") from error
        return cls(
            pem, _public_key(read.key), _utc(begins), _utc(ends),
            names.get(NameOID.COMMON_NAME, ""), names.get(SUBJECT_ALT_NAME, ""),
        )  # fmt: skip

    def require_of(self, wwwroot: str) -> None:
        """Raise Refused `network.certificate.host` where it is another's, by Moodle's own rule."""
        cut = wwwroot[:COMMON_NAME_LENGTH]
        # Moodle takes a slash from the end of the name it makes, and not of the one it compares.
        named = self.common_name in (cut, cut.removesuffix("/"))
        if not named or self.alternative_name not in ("", wwwroot):
            raise Refused(
                "network.certificate.host",
                f"The certificate is {self.wwwroot[:100]!r}'s, not {wwwroot}'s.",
                "A copy of a site that kept the key of the original, or a site that moved, has a "
                "certificate like this: have it make a new key.",
            )

    def is_valid(self, now: datetime) -> bool:
        """Tell whether it has begun, but for a clock that is a little ahead, and not lapsed."""
        return self.begins - EARLY <= now < self.ends

    def require_valid(self, now: datetime) -> None:
        """Raise Refused `network.certificate.future` or Conflict `network.certificate.expired`."""
        if now < self.begins - EARLY:
            raise Refused(
                "network.certificate.future",
                f"The certificate of {self.wwwroot[:100]} begins only at {_text(self.begins)}.",
                "Set the clocks of both machines; NTP keeps them right.",
            )
        if now >= self.ends:
            raise Conflict(
                "network.certificate.expired",
                f"The certificate of {self.wwwroot[:100]} lapsed at {_text(self.ends)}.",
                "Moodle makes a new key when it first uses the old one after that: call it once.",
            )

    def same_key(self, other: Certificate) -> bool:
        """Tell whether both are of one key."""
        return self.key.public_numbers() == other.key.public_numbers()


def _names(subject: list[asn1.SetOf[_Attribute]]) -> dict[ObjectIdentifier, str]:
    found: dict[ObjectIdentifier, bytes] = {}
    for part in subject:
        for attribute in part.as_list():
            # PHP takes the first of two, others the last: none has two.
            if attribute.kind in found:
                raise ValueError("a name stands twice in the subject")
            found[attribute.kind] = bytes(attribute.value.data)
    # The others may be in whatever a site's administrator once typed.
    return {kind: found[kind].decode("utf-8") for kind in _NAMES if kind in found}


def _public_key(read: _PublicKey) -> RSAPublicKey:
    try:
        with warnings.catch_warnings():
            # A key that is too short gets an error of ours.
            warnings.simplefilter("ignore")
            key = load_der_public_key(asn1.encode_der(read))
    except (ValueError, UnsupportedAlgorithm) as error:
        raise _unreadable("its key is damaged or of no known kind") from error
    if not isinstance(key, RSAPublicKey) or key.key_size not in _KEY_BITS:
        raise Refused(
            "network.certificate.key",
            "The certificate's key is not RSA of 2048 to 8192 bits.",
            "Have the peer make a new key; Moodle makes RSA of 2048 bits.",
        )
    return key


def _unreadable(why: str) -> InvalidInput:
    return InvalidInput(
        "network.certificate.unreadable",
        f"This is no certificate: {why}.",
        "Take the text that the peer's /mnet/publickey.php shows, from its BEGIN to its END.",
    )


def _utc(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M UTC")
