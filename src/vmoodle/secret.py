"""Secrets: a type that never shows itself, and the keyring that encrypts it at rest."""

from __future__ import annotations

import contextlib
import hmac
import os
import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from vmoodle.errors import Refused, Unavailable
from vmoodle.files import write_beside

if TYPE_CHECKING:
    from cryptography.fernet import MultiFernet

# What a mark is made for, so that the key serves nothing else.
_FOR_MARKS = b"vmoodle: marks of secrets"
_MARK_BYTES = 5
MASK = "***"
"""What stands for a secret wherever one would be seen."""
_SHORTEST_SECRET, _SHORTEST_BEGINNING = 3, 8
# Letters and digits that cannot be mistaken for one another when read aloud from a screen.
_ALPHABET = "abcdefghjkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"


class Secret:
    """Hold a secret text. `reveal()` gives it; nothing else does, `repr` and `str` are `***`."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the secret itself, for the one call that needs it."""
        return self._text

    def __repr__(self) -> str:
        return MASK

    def __format__(self, spec: str) -> str:
        return format(MASK, spec)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and secrets.compare_digest(
            self._text.encode(), other._text.encode()
        )

    def __hash__(self) -> int:
        return hash(("vmoodle.Secret", self._text))

    def __bool__(self) -> bool:
        return bool(self._text)

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a Secret is not pickled; store its id")


def without_secrets(text: str, secrets: Iterable[Secret]) -> str:
    """Return a text in which `***` stands for each secret, also where only its beginning is told.

    What is shorter than three characters is no secret.
    """
    for secret in secrets:
        value = secret.reveal()
        shortest = max(min(len(value), _SHORTEST_BEGINNING), _SHORTEST_SECRET)
        for end in range(len(value), shortest - 1, -1):
            text = text.replace(value[:end], MASK)
    return text


def generate_password(length: int = 24) -> Secret:
    """Return a random password that meets Moodle's default policy (all four character classes)."""
    body = "".join(secrets.choice(_ALPHABET) for _ in range(length - 4))
    return Secret(
        body
        + secrets.choice("abcdefghjkmnpqrstuvwxyz")
        + secrets.choice("ABCDEFGHJKLMNPQRSTUVWXYZ")
        + secrets.choice("23456789")
        + secrets.choice("-_.+")
    )


class Keyring:
    """Encrypt and decrypt secrets with the Fernet keys of one file (0600), newest key first.

    A file that others can read is refused, unless `exposed_too`: by who is to find and mend that.
    """

    def __init__(self, path: Path, *, exposed_too: bool = False) -> None:
        self._path = path
        self._exposed_too = exposed_too
        self._opened: MultiFernet | None = None
        self._marking: bytes | None = None

    def ensure(self) -> None:
        """Create the key file when there is none; raise Refused when others can read it."""
        from cryptography.fernet import Fernet

        if not self._path.exists():
            # Whole or not at all, and one key only when two first calls come at the same time.
            beside = write_beside(self._path, Fernet.generate_key() + b"\n", mode=0o600)
            with contextlib.suppress(FileExistsError):
                os.link(beside, self._path)
            beside.unlink()
        self._keys()

    def encrypt(self, secret: Secret) -> str:
        """Return the secret as a Fernet token (ASCII), encrypted with the newest key."""
        return self._fernet().encrypt(secret.reveal().encode()).decode("ascii")

    def decrypt(self, token: str) -> Secret:
        """Return the secret of a token, raise Unavailable when no key of the file opens it."""
        from cryptography.fernet import InvalidToken

        try:
            return Secret(self._fernet().decrypt(token.encode("ascii")).decode())
        except InvalidToken as error:
            raise Unavailable(
                "home.key.wrong",
                f"A stored secret cannot be opened with the keys in {self._path}.",
                "Put back the key file that belongs to this registry (it is part of the backup).",
            ) from error

    def mark(self, secret: Secret) -> str:
        """Return a short mark of a secret: the same for the same one, and no way back to it.

        It is made with the oldest key of the file, so that a newer one in front changes no mark.
        """
        if self._marking is None:
            self._marking = hmac.digest(self._keys()[-1], _FOR_MARKS, "sha256")
        digest = hmac.digest(self._marking, secret.reveal().encode(), "sha256")
        return digest[:_MARK_BYTES].hex()

    def _keys(self) -> list[bytes]:
        try:
            mode = self._path.stat().st_mode
            lines = self._path.read_bytes().split()
        except OSError as error:
            raise Unavailable(
                "home.key.unreadable",
                f"The key file {self._path} cannot be read: {error.strerror}.",
                "Run VMoodle as the account that owns its home, or put the key file back.",
            ) from error
        if mode & 0o077 and not self._exposed_too:
            raise Refused(
                "home.key.exposed",
                f"The key file {self._path} can be read by others (mode {mode & 0o777:04o}).",
                f"chmod 600 {self._path}, and rotate the passwords if others had access.",
            )
        return lines

    def _fernet(self) -> MultiFernet:
        from cryptography.fernet import Fernet, MultiFernet

        if self._opened is not None:
            return self._opened
        keys = self._keys()
        try:
            self._opened = MultiFernet([Fernet(key) for key in keys])
        except ValueError as error:
            raise Unavailable(
                "home.key.damaged",
                f"The key file {self._path} does not hold Fernet keys, one a line.",
                "Put back the key file that belongs to this registry (it is part of the backup).",
            ) from error
        return self._opened
