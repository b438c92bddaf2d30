"""Keys and certificates of Moodle Network: made, read, swapped, lapsed, damaged."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from tests.network_peers import AWAY, HOME, NOW, OTHER, identity, pair

from vmoodle.errors import VMoodleError
from vmoodle.network.certificate import Certificate
from vmoodle.network.keys import KeyPair, OwnKeys, Subject
from vmoodle.network.protocol import Identity, Peer
from vmoodle.secret import Secret

# Made by `mnet_generate_keypair` of Moodle 4.5.5 on PHP 8.2: serial number 0, names in UTF-8.
MOODLES_OWN = Path(__file__).parent / "network_moodle_certificate.pem"


def code_of(act: object, *args: object) -> str:
    with pytest.raises(VMoodleError) as raised:
        act(*args)  # type: ignore[operator]
    return raised.value.code


def test_a_certificate_that_moodle_made_is_read_without_a_warning(
    recwarn: pytest.WarningsRecorder,
) -> None:
    read = Certificate.read(MOODLES_OWN.read_text())
    assert read.wwwroot == "http://mnet.example.test"
    assert read.common_name == "http://mnet.example.test"
    assert (read.ends - read.begins).days == 28
    assert not recwarn.list


def test_a_key_is_made_with_the_subject_in_moodles_order(tmp_path: Path) -> None:
    subject = Subject(AWAY, "École " * 20, "a@example.test", country="FR", city="Saint-Étienne")
    made = KeyPair.make(subject, now=NOW)
    (tmp_path / "made.pem").write_text(made.certificate.pem)
    said = subprocess.run(
        ["openssl", "x509", "-in", tmp_path / "made.pem", "-noout", "-subject", "-enddate",
         "-nameopt", "utf8,sep_comma_plus,lname"],
        capture_output=True, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    names = [part.split("=")[0] for part in said[0].removeprefix("subject=").split(",")]
    assert names[:6] == [
        "countryName", "stateOrProvinceName", "localityName", "organizationName",
        "organizationalUnitName", "commonName",
    ]  # fmt: skip
    # OpenSSL knows it as the name of an extension.
    assert names[6] == "X509v3 Subject Alternative Name"
    assert names[7] == "emailAddress"
    assert said[1] == "notAfter=May 29 12:00:00 2026 GMT"
    made.certificate.require_of(AWAY)


def test_a_long_wwwroot_stands_whole_in_the_certificate_and_cut_in_its_common_name() -> None:
    long = "https://a-very-long-name-of-a-host.example.test/and/a/path/that/is/long/too"
    certificate = pair(long).certificate
    certificate.require_of(long)
    assert (certificate.wwwroot, certificate.common_name) == (long, long[:64])
    assert code_of(certificate.require_of, long[:64]) == "network.certificate.host"


@pytest.mark.parametrize("country", ["", "N", "NZL", "日本"])
def test_a_country_of_moodles_profile_makes_a_certificate_or_a_clear_error(country: str) -> None:
    subject = Subject(HOME, "x", "a@example.test", country=country)
    if country in ("", "NZL"):
        KeyPair.make(subject, now=NOW)
    else:
        with pytest.raises(VMoodleError) as raised:
            KeyPair.make(subject, now=NOW)
        assert raised.value.code == "network.key.subject"


@pytest.mark.parametrize("days", [0, -1, 4000])
def test_a_key_lives_for_some_days(days: int) -> None:
    subject = Subject(HOME, "x", "a@example.test")
    assert code_of(lambda: KeyPair.make(subject, now=NOW, days=days)) == "network.key.lifetime"


@pytest.mark.parametrize("email", ["é@example.test", "noreply@école.test"])
def test_a_mail_address_that_no_certificate_can_have_is_told(email: str) -> None:
    assert code_of(Subject(HOME, "x", email).name) == "network.key.subject"


def test_long_texts_of_a_subject_are_cut_as_moodle_cuts_them() -> None:
    made = KeyPair.make(Subject(HOME, "é" * 300, "y" * 200, city="z" * 200), now=NOW)
    assert made.certificate.wwwroot == HOME


def test_a_pair_comes_back_from_where_moodle_stores_it() -> None:
    own = pair(HOME)
    again = KeyPair.from_stored(own.stored())
    assert again == own
    assert again.private_key.private_numbers() == own.private_key.private_numbers()


def test_no_representation_and_no_error_shows_a_private_key() -> None:
    own, other = pair(HOME), pair(AWAY)
    secret = own.private_pem().reveal()
    shown = [repr(own), repr(identity(HOME, 2)), str(own.stored()), f"{own.private_pem()}"]
    for damaged in (secret[:-100], secret.replace("A", "B"), "nothing", f"{secret}é"):
        with pytest.raises(VMoodleError) as raised:
            KeyPair.read(other.certificate.pem, Secret(damaged))
        shown += [repr(raised.value), str(raised.value.__cause__), raised.value.message]
        shown.append(str(raised.value.__context__ if not raised.value.__suppress_context__ else ""))
    lines = [line for line in secret.splitlines() if not line.startswith("-")]
    assert not [one for one in shown for line in lines if line[:20] in one]


def test_a_key_that_is_another_certificates_is_refused() -> None:
    act = KeyPair.read
    assert code_of(act, pair(HOME).certificate.pem, pair(AWAY).private_pem()) == (
        "network.key.mismatch"
    )


def test_a_key_that_is_no_rsa_is_refused() -> None:
    curve = ec.generate_private_key(ec.SECP256R1())
    pem = curve.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    assert code_of(KeyPair.read, pair(HOME).certificate.pem, Secret(pem)) == (
        "network.key.unreadable"
    )


def test_what_is_stored_without_its_separator_is_refused() -> None:
    assert code_of(KeyPair.from_stored, Secret(pair(HOME).certificate.pem)) == (
        "network.key.unreadable"
    )


def damaged(pem: str) -> list[str]:
    lines = pem.splitlines(keepends=True)
    return [
        "", "x", pem[:-40], pem[40:], "".join(lines[:3] + lines[4:]), pem * 2,
        pem.replace("BEGIN CERT", "BEGIN PUBLIC"), "".join([lines[0], lines[-1]]),
        pem.replace("M", "*"), pem + "x" * 30_000, pem.replace("CERTIFICATE", "PRIVATE KEY"),
    ]  # fmt: skip


@pytest.mark.parametrize("text", damaged(pair(HOME).certificate.pem))
def test_a_damaged_certificate_is_no_certificate(text: str) -> None:
    assert code_of(Certificate.read, text) == "network.certificate.unreadable"


def test_every_truncation_and_every_changed_byte_is_read_or_refused() -> None:
    import base64
    import textwrap

    pem = pair(HOME).certificate.pem
    der = base64.b64decode("".join(pem.splitlines()[1:-1]))

    def as_pem(data: bytes) -> str:
        body = "\n".join(textwrap.wrap(base64.b64encode(data).decode(), 64))
        return f"-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n"

    for end in range(len(der)):
        assert code_of(Certificate.read, as_pem(der[:end])).startswith("network.certificate.")
    for at in range(len(der)):
        changed = as_pem(der[:at] + bytes([der[at] ^ 0x55]) + der[at + 1 :])
        try:
            Certificate.read(changed)
        except VMoodleError as error:
            assert error.code.startswith("network.certificate.")


def test_a_short_key_is_refused() -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes

    short = rsa.generate_private_key(65537, 1024)  # noqa: S505
    name = Subject(HOME, "x", "a@example.test").name()
    made = (
        x509.CertificateBuilder(name, name, short.public_key(), 1)
        .not_valid_before(NOW)
        .not_valid_after(NOW + timedelta(days=1))
        .sign(short, hashes.SHA256())
    )
    pem = made.public_bytes(Encoding.PEM).decode()
    assert code_of(Certificate.read, pem) == "network.certificate.key"


def test_the_time_of_a_certificate_is_judged_to_the_second() -> None:
    certificate = pair(HOME).certificate
    certificate.require_valid(NOW)
    certificate.require_valid(certificate.ends - timedelta(seconds=1))
    assert code_of(certificate.require_valid, certificate.ends) == "network.certificate.expired"
    # It begins when it is made, and the clock of its maker may be a little ahead.
    certificate.require_valid(NOW - timedelta(minutes=5))
    assert code_of(certificate.require_valid, NOW - timedelta(minutes=5, seconds=1)) == (
        "network.certificate.future"
    )


def test_keys_that_are_rotated_stay_for_three_generations() -> None:
    keys = identity(HOME, 5).keys
    assert [one.certificate for one in keys] == [
        pair(HOME, generation).certificate for generation in (5, 4, 3, 2)
    ]


def test_nobody_speaks_with_the_key_of_another() -> None:
    keys = OwnKeys(pair(HOME))
    assert code_of(Identity, OTHER, keys) == "network.certificate.host"
    assert code_of(Peer, OTHER, pair(HOME).certificate) == "network.certificate.host"
    # The same Moodle under another scheme is another peer.
    assert code_of(Peer, HOME.replace("https", "http"), pair(HOME).certificate) == (
        "network.certificate.host"
    )


@pytest.mark.parametrize(
    "text",
    ["", "x", "home.example.test", "https://", "ftp://a", "https://a/", "https://a b", "https://a/?x",
     "https://a/#x", "https://u@a", "https://a:0", "https://a:99999", "https://a\n", "http://a/<b>",
     "https://-a", f"https://a/{'x' * 300}", "https://a//b", 'https://a"', "https://ä.test"],
)  # fmt: skip
def test_what_is_no_wwwroot_is_refused(text: str) -> None:
    assert code_of(Identity, text, OwnKeys(pair(HOME))) == "network.wwwroot"


@pytest.mark.parametrize("endpoint", ["", "x", "//evil", "/a?b", "/a b", "/a/", "/a\r\nX: y"])
def test_what_is_no_endpoint_is_refused(endpoint: str) -> None:
    known = Peer(HOME, pair(HOME).certificate)
    assert code_of(lambda: replace(known, endpoint=endpoint)) == "network.endpoint"
