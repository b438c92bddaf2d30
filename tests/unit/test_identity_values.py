"""New values are as Moodle makes them."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from vmoodle.errors import InvalidInput
from vmoodle.moodle.identity.sha512_crypt import sha512_crypt
from vmoodle.moodle.identity.values import (
    MAKERS,
    Fresh,
    NewIdentity,
    keys_of,
    new_keys,
    password_hash,
)
from vmoodle.secret import Secret

IDENTITY = NewIdentity(
    "https://new.example.test:8443/sub", "New site", "new", "/srv/moodledata/new/"
)
FRESH = Fresh(IDENTITY, "http://old.example.test", "hash", [])


def make(kind: str, old: str = "") -> str | None:
    return MAKERS[kind](FRESH, old)


# The vectors of the specification (https://www.akkadia.org/drepper/SHA-crypt.txt).
@pytest.mark.parametrize(
    ("password", "salt", "rounds", "expected"),
    [
        (
            "Hello world!", "saltstringsaltst", 10000,
            "OW1/O6BYHV6BcXZu8QVeXbDWra3Oeqh0sbHbbMCVNSnCM/UrjmM0Dp8vOuZeHBy/YTBmSK6H9qs/y3RnOaw5v.",
        ),
        (
            "This is just a test", "toolongsaltstrin", 5000,
            "lQ8jolhgVRVhY4b5pZKaysCLi0QBxGoNeKQzQ3glMhwllF7oGDZxUhx1yxdYcz/e1JSbq3y6JMxxl8audkUEm0",
        ),
        (
            "a very much longer text to encrypt.  This one even stretches over morethan one line.",
            "anotherlongsalts", 1400,
            "POfYwTEok97VWcjxIiSOjiykti.o/pQs.wPvMxQ6Fm7I6IoYN3CmLs66x9t0oSwbtEW7o7UmJEiDwGqd8p4ur1",
        ),
        (
            "we have a short salt string but not a short password", "short", 77777,
            "WuQyW2YR.hBNpjjRhpYD/ifIw05xdfeEyQoMxIXbkvr0gge1a1x3yRULJ5CCaUeOxFmtlcGZelFl5CxtgfiAc0",
        ),
    ],
)  # fmt: skip
def test_a_hash_is_what_the_specification_says(
    password: str, salt: str, rounds: int, expected: str
) -> None:
    assert sha512_crypt(password, salt, rounds) == f"$6$rounds={rounds}${salt}${expected}"


def test_two_hashes_of_a_password_differ() -> None:
    first, second = password_hash(Secret("Pässword 1!")), password_hash(Secret("Pässword 1!"))
    assert first != second
    assert re.fullmatch(r"\$6\$rounds=10000\$[./0-9A-Za-z]{16}\$[./0-9A-Za-z]{86}", first)


@pytest.mark.parametrize("password", ["", "two\nlines", "nul\0"])
def test_an_unusable_password_is_refused(password: str) -> None:
    with pytest.raises(InvalidInput):
        password_hash(Secret(password))


def test_keys_are_rsa_of_2048_bits_and_differ() -> None:
    first, second = new_keys()
    key = load_pem_private_key(first.reveal().encode(), None)
    assert isinstance(key, RSAPrivateKey)
    assert key.key_size == 2048
    assert first.reveal().startswith("-----BEGIN PRIVATE KEY-----\n")
    assert first != second
    ready = replace(IDENTITY, lti_keys=(first, second))
    assert keys_of(ready) == (first, second)
    assert len(keys_of(replace(IDENTITY, lti_keys=(first,)))) == 2


def test_the_identifier_is_random_and_ends_with_the_host() -> None:
    first, second = make("siteidentifier"), make("siteidentifier")
    assert first != second
    assert re.fullmatch(r"[A-Za-z0-9]{32}new\.example\.test", first or "")


def test_salts_and_key_names_have_moodles_length() -> None:
    assert re.fullmatch(r"[A-Za-z0-9]{60}", make("salt") or "")
    assert re.fullmatch(r"[0-9a-f]{20}", make("kid") or "")


@pytest.mark.parametrize("old", ["", "noreply@old.example.test", "x@OLD.example.test"])
def test_an_address_of_the_originals_host_becomes_ours(old: str) -> None:
    assert make("noreply", old) == "noreply@new.example.test"


def test_an_address_that_was_chosen_stays() -> None:
    assert make("noreply", "noreply@university.example") is None


def test_a_path_in_moodledata_moves_with_its_name() -> None:
    moved = make("geoip2file", "/srv/moodledata/old/geoip/GeoLite2-City.mmdb")
    assert moved == "/srv/moodledata/new/geoip/GeoLite2-City.mmdb"
    assert make("geoip2file") == "/srv/moodledata/new/geoip/GeoIP-City.mmdb"


def test_the_shibboleth_text_is_rewritten_but_not_replaced() -> None:
    text = make("shibboleth", 'Own <a href="http://old.example.test/x">words</a>')
    assert text == f'Own <a href="{IDENTITY.wwwroot}/x">words</a>'
    assert make("shibboleth", "Own words") is None
    assert f'"{IDENTITY.wwwroot}/auth/shibboleth/index.php"' in (make("shibboleth") or "")
