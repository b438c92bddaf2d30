"""SHA-512 crypt, the password hash Moodle writes since 4.3, without PHP and without libcrypt.

The scheme is Ulrich Drepper's (https://www.akkadia.org/drepper/SHA-crypt.txt). Python's own `crypt`
left the standard library in 3.13, and starting PHP takes longer than the hash itself.
"""

from __future__ import annotations

import hashlib
import secrets

MOODLE_ROUNDS = 10_000
"""What hash_internal_user_password writes (lib/moodlelib.php, 4.3 to 5.1)."""

_ALPHABET = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_SIZE = 64


def new_salt() -> str:
    """Return 16 random characters of the scheme's alphabet."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(16))


def sha512_crypt(password: str, salt: str, rounds: int = MOODLE_ROUNDS) -> str:
    """Return `$6$rounds=…$salt$hash` of a password; 10,000 rounds take about 15 ms."""
    word, grain = password.encode(), salt.encode()[:16]
    digest = _first(word, grain)
    p = _repeat(_sha512(word * len(word)), len(word))
    s = _repeat(_sha512(grain * (16 + digest[0])), len(grain))
    # What a round puts before and after the digest depends on its number modulo 2, 3 and 7.
    pieces = [
        (b"" if n % 2 == 0 else p, (s if n % 3 else b"") + (p if n % 7 else b""), n % 2 == 0)
        for n in range(42)
    ]
    sha512 = hashlib.sha512
    for number in range(rounds):
        before, middle, digest_first = pieces[number % 42]
        if digest_first:
            digest = sha512(digest + middle + p).digest()
        else:
            digest = sha512(before + middle + digest).digest()
    return f"$6$rounds={rounds}${salt[:16]}${_encode(digest)}"


def _first(word: bytes, grain: bytes) -> bytes:
    other = _sha512(word + grain + word)
    content = word + grain + _repeat(other, len(word))
    length = len(word)
    while length:
        content += other if length & 1 else word
        length >>= 1
    return _sha512(content)


def _sha512(content: bytes) -> bytes:
    return hashlib.sha512(content).digest()


def _repeat(content: bytes, length: int) -> bytes:
    return (content * (length // len(content) + 1))[:length]


def _encode(digest: bytes) -> str:
    """Write the digest in the scheme's base 64, which takes every third byte of its three parts."""
    text = []
    a, b, c = 0, 21, 42
    for _ in range(21):
        value = digest[a] << 16 | digest[b] << 8 | digest[c]
        text.append(_letters(value, 4))
        a, b, c = b + 1, c + 1, a + 1
    text.append(_letters(digest[_SIZE - 1], 2))
    return "".join(text)


def _letters(value: int, count: int) -> str:
    letters = []
    for _ in range(count):
        letters.append(_ALPHABET[value & 63])
        value >>= 6
    return "".join(letters)
