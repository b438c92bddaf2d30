"""Keys of an encrypted store: what is derived from a secret, and which key opens what."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
from collections.abc import Mapping, Sequence

from vmoodle.errors import InvalidInput
from vmoodle.secret import Secret

ID_LENGTH = 8
"""Bytes of the id by which an object names its key."""


def new_key() -> Secret:
    """Return a random key for a store: 32 bytes, URL-safe base64."""
    return Secret(base64.urlsafe_b64encode(os.urandom(32)).decode("ascii"))


class StoreKey:
    """Hold what one secret gives: an id, and keys to encrypt, to name objects and to seal."""

    def __init__(self, secret: Secret) -> None:
        try:
            master = base64.b64decode(secret.reveal().encode("ascii"), b"-_", validate=True)
        except (ValueError, binascii.Error):
            master = b""
        if len(master) != 32:
            raise InvalidInput(
                "store.key.invalid",
                "The store's key is not 32 bytes in URL-safe base64.",
                "`vmoodle settings key` makes one; keep a copy where the store is not.",
            )
        self.id = _derive(master, b"id", ID_LENGTH)
        self._encryption = _derive(master, b"encryption")
        self._naming = _derive(master, b"names")
        self._sealing = _derive(master, b"seals")

    def __repr__(self) -> str:
        return f"StoreKey({self.id.hex()})"

    def for_object(self, salt: bytes) -> bytes:
        """Return the AES-256 key of the one object that carries the salt."""
        return _derive(self._encryption, b"object", salt=salt)

    def name(self, sha256: str) -> str:
        """Return the name of an object; without the key it tells nothing of the content."""
        return hmac.new(self._naming, bytes.fromhex(sha256), hashlib.sha256).hexdigest()

    def seal(self, body: bytes) -> str:
        """Return the HMAC-SHA-256 of a manifest's body, in hexadecimal digits."""
        return hmac.new(self._sealing, body, hashlib.sha256).hexdigest()


class Keys:
    """Hold the keys of a store, newest first; none for a store in clear."""

    def __init__(self, secrets: Sequence[Secret] = ()) -> None:
        self._keys = {key.id: key for key in map(StoreKey, secrets)}

    def __bool__(self) -> bool:
        return bool(self._keys)

    @property
    def current(self) -> StoreKey | None:
        """Return the key that new objects are encrypted with."""
        return next(iter(self._keys.values()), None)

    @property
    def ids(self) -> list[str]:
        """Return the ids of all keys in hexadecimal digits, newest first."""
        return [identity.hex() for identity in self._keys]

    def find(self, identity: bytes) -> StoreKey | None:
        """Return the key of that id."""
        return self._keys.get(identity)

    def names(self, sha256: str) -> list[str]:
        """Return the names a content may have in the store, the one new objects get first."""
        return [key.name(sha256) for key in self._keys.values()] or [sha256]

    def seal(self, body: bytes) -> dict[str, str] | None:
        """Return the seal of a manifest's body, None in a store in clear."""
        key = self.current
        return {"key": key.id.hex(), "hmac": key.seal(body)} if key else None

    def accepts(self, body: bytes, seal: Mapping[str, str] | None) -> bool:
        """Tell whether the seal is the body's; in a store in clear there must be none."""
        if seal is None or not self:
            return seal is None and not self
        key = self._keys.get(bytes.fromhex(seal["key"]))
        return key is not None and hmac.compare_digest(key.seal(body), seal["hmac"])


def _derive(master: bytes, purpose: bytes, length: int = 32, salt: bytes = b"") -> bytes:
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    info = b"vmoodle store 1 " + purpose
    return HKDF(algorithm=SHA256(), length=length, salt=salt or None, info=info).derive(master)
