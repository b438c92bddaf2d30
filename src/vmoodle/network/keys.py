"""Our own keys: made as Moodle makes them, with the older ones that still open messages."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

from vmoodle.errors import InvalidInput
from vmoodle.network.certificate import COMMON_NAME_LENGTH, SUBJECT_ALT_NAME, Certificate
from vmoodle.network.wwwroot import check_wwwroot
from vmoodle.secret import Secret

LIFETIME_DAYS = 28
"""How long Moodle's keys live, unless `$CFG->mnetkeylifetime` says otherwise."""

GENERATIONS = 3
"""How many older keys Moodle keeps (`openssl_generations` of the plugin mnet)."""

_LONGEST_DAYS = 3660
_KEY_BITS, _EXPONENT = 2048, 65537
_SEPARATOR = "@@@@@@@@"


@dataclass(frozen=True)
class Subject:
    """Whom a certificate is for; left out, it is as a fresh Moodle has it. Long texts are cut."""

    wwwroot: str
    organisation: str
    email: str
    country: str = "NZ"
    city: str = "Wellington"

    def name(self) -> x509.Name:
        """Return it in the order and the lengths of Moodle's `mnet_generate_keypair` (4.5.5)."""
        wwwroot = check_wwwroot(self.wwwroot)
        parts = [
            (NameOID.COUNTRY_NAME, self.country[:2]),
            (NameOID.STATE_OR_PROVINCE_NAME, self.city[:128]),
            (NameOID.LOCALITY_NAME, self.city[:128]),
            (NameOID.ORGANIZATION_NAME, self.organisation[:64]),
            (NameOID.ORGANIZATIONAL_UNIT_NAME, "Moodle"),
            # Moodle takes a slash from its end, and then refuses its own certificate as a peer's.
            (NameOID.COMMON_NAME, wwwroot[:COMMON_NAME_LENGTH]),
            (SUBJECT_ALT_NAME, wwwroot),
            (NameOID.EMAIL_ADDRESS, self.email[:128]),
        ]
        try:
            # The form of a mail address is ASCII, which the library does not look at.
            self.email.encode("ascii")
            return x509.Name([x509.NameAttribute(kind, text) for kind, text in parts if text])
        except ValueError as error:
            raise InvalidInput(
                "network.key.subject",
                f"No certificate can be made for {wwwroot}: {error}.",
                "A country has two letters; a mail address is plain ASCII.",
            ) from error


@dataclass(frozen=True)
class KeyPair:
    """A certificate and its private key, which no representation shows."""

    certificate: Certificate
    private_key: rsa.RSAPrivateKey = field(repr=False, compare=False)

    @classmethod
    def make(cls, subject: Subject, *, now: datetime, days: int = LIFETIME_DAYS) -> KeyPair:
        """Make a key of RSA 2048 and its self-signed certificate that begins now.

        Raise InvalidInput `network.key.subject` for a subject that no certificate can have, and
        `network.key.lifetime`.
        """
        if not 0 < days <= _LONGEST_DAYS:
            raise InvalidInput(
                "network.key.lifetime",
                f"A key cannot live for {days} days.",
                f"Moodle's live {LIFETIME_DAYS} days; at most {_LONGEST_DAYS} are taken.",
            )
        key = rsa.generate_private_key(_EXPONENT, _KEY_BITS)
        name = subject.name()
        begins = now.astimezone(UTC).replace(microsecond=0)
        mark = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        made = (
            x509.CertificateBuilder(name, name, key.public_key())
            # Moodle's own is 0, which nothing asks for and newer libraries refuse.
            .serial_number(x509.random_serial_number())
            .not_valid_before(begins)
            .not_valid_after(begins + timedelta(days=days))
            .add_extension(mark, critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(mark), critical=False
            )
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(key, hashes.SHA256())
        )
        return cls(Certificate.read(made.public_bytes(Encoding.PEM).decode("ascii")), key)

    @classmethod
    def read(cls, certificate: str, private_key: Secret) -> KeyPair:
        """Read a pair from its PEM texts.

        Raise InvalidInput `network.key.unreadable`, or `network.key.mismatch` where the key is
        not the certificate's; what else is wrong with a certificate is as in `Certificate.read`.
        """
        held = Certificate.read(certificate)
        try:
            key = load_pem_private_key(private_key.reveal().encode("ascii"), password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            # The cause may quote what was read.
            raise _unreadable() from None
        if not isinstance(key, rsa.RSAPrivateKey):
            raise _unreadable()
        if key.public_key().public_numbers() != held.key.public_numbers():
            raise InvalidInput(
                "network.key.mismatch",
                f"The private key does not belong to the certificate of {held.wwwroot[:100]}.",
                "They were swapped or mixed with another site's: have the site make a new pair.",
            )
        return cls(held, key)

    @classmethod
    def from_stored(cls, text: Secret) -> KeyPair:
        """Read the pair as Moodle stores it (`config_plugins` mnet, openssl). Raise as `read`."""
        certificate, separator, key = text.reveal().partition(_SEPARATOR)
        if not separator:
            raise _unreadable()
        return cls.read(certificate, Secret(key))

    def stored(self) -> Secret:
        """Return the pair as Moodle stores it."""
        return Secret(f"{self.certificate.pem}{_SEPARATOR}{self.private_pem().reveal()}")

    def private_pem(self) -> Secret:
        """Return the private key as PHP exports it: PKCS #8 in PEM, not encrypted."""
        pem = self.private_key.private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
        ).decode("ascii")
        return Secret(pem)


@dataclass(frozen=True)
class OwnKeys:
    """The key that signs and that peers seal to, and the older ones, newest first."""

    current: KeyPair
    history: tuple[KeyPair, ...] = ()

    def __iter__(self) -> Iterator[KeyPair]:
        yield self.current
        yield from self.history

    def rotated(self, fresh: KeyPair, generations: int = GENERATIONS) -> OwnKeys:
        """Return the keys after a change: the fresh one, and as many of the older as are kept."""
        return replace(self, current=fresh, history=tuple(self)[:generations])


def _unreadable() -> InvalidInput:
    return InvalidInput(
        "network.key.unreadable",
        "The private key cannot be read.",
        "It is an RSA key in PEM without a passphrase; have the site make a new pair.",
    )
