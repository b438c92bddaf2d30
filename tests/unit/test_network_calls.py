"""A call from Moodle to Moodle: what is taken, what is refused on either side, by which code."""

from __future__ import annotations

import base64
import ipaddress
import re
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.network_peers import (
    AWAY,
    ECHO,
    HOME,
    NOW,
    OTHER,
    Book,
    Wire,
    book,
    client,
    identity,
    in_clear,
    pair,
    peer,
    server,
)
from tests.servers import wait_until

from vmoodle.errors import VMoodleError
from vmoodle.network import key_refresh
from vmoodle.network.certificate import Certificate
from vmoodle.network.client import ServiceOffer
from vmoodle.network.envelope import SealedMessage, SignedMessage, read_message, write_signed
from vmoodle.network.faults import Fault, FaultAnswer, FaultCode, PeerFault
from vmoodle.network.keys import KeyPair, OwnKeys
from vmoodle.network.protocol import Identity, Peer, seal_to, sign
from vmoodle.network.server import Grants
from vmoodle.network.xml_rpc import read_answer, write_answer, write_call


def refusal(act: Callable[[], object]) -> VMoodleError:
    with pytest.raises(VMoodleError) as raised:
        act()
    return raised.value


def fault_of(answer: bytes) -> int:
    """Return the number of a fault in clear."""
    found = read_answer(answer)
    assert isinstance(found, Fault)
    return found.number


@pytest.fixture
def wire() -> Wire:
    return Wire({AWAY: server(identity(AWAY), book(peer(HOME)))})


def test_a_call_is_answered_sealed_and_signed(wire: Wire) -> None:
    values: list[Any] = ["é <&>", 1, True, 1.5, ["a", {"b": "c"}], b"\x00", ""]
    reply = client(identity(HOME), wire).call(peer(AWAY), ECHO, values)
    assert (reply.value, reply.peer) == (values, peer(AWAY))
    for document in (wire.asked[0], wire.answered[0]):
        assert isinstance(read_message(document), SealedMessage)
        assert b"methodCall" not in document
        assert b"methodResponse" not in document


def test_the_document_is_moodles_to_the_byte() -> None:
    written = write_signed(b"payload", b"signature", "https://a.example.test", 1234)
    assert written == (
        b'<?xml version="1.0" encoding="iso-8859-1"?>\n    <signedMessage>\n'
        b'        <Signature Id="MoodleSignature" xmlns="http://www.w3.org/2000/09/xmldsig#">\n'
        b"            <SignedInfo>\n"
        b'                <CanonicalizationMethod Algorithm="http://www.w3.org/TR/2001/REC-xml-c14n'
        b'-20010315"/>\n'
        b'                <SignatureMethod Algorithm="http://www.w3.org/2000/09/xmldsig#rsa-sha1"/>'
        b'\n                <Reference URI="#XMLRPC-MSG">\n'
        b'                    <DigestMethod Algorithm="http://www.w3.org/2000/09/xmldsig#sha1"/>\n'
        b"                    <DigestValue>f07e5a815613c5abeddc4b682247a4c42d8a95df</DigestValue>\n"
        b"                </Reference>\n            </SignedInfo>\n"
        b"            <SignatureValue>c2lnbmF0dXJl</SignatureValue>\n            <KeyInfo>\n"
        b'                <RetrievalMethod URI="https://a.example.test/mnet/publickey.php"/>\n'
        b"            </KeyInfo>\n        </Signature>\n"
        b'        <object ID="XMLRPC-MSG">cGF5bG9hZA==</object>\n'
        b"        <wwwroot>https://a.example.test</wwwroot>\n"
        b"        <timestamp>1234</timestamp>\n    </signedMessage>"
    )


def test_peers_tell_their_services_and_methods(wire: Wire) -> None:
    own = client(identity(HOME), wire)
    wire.servers[AWAY].peers.granted = Grants(frozenset({"echo"}), frozenset({"hidden"}))  # type: ignore[attr-defined]
    assert own.list_services(peer(AWAY)).value == [
        ServiceOffer("echo", 1, publishes=True, subscribes=False),
        ServiceOffer("hidden", 1, publishes=False, subscribes=True),
    ]
    assert own.list_methods(peer(AWAY)).value == [ECHO]
    assert own.list_methods(peer(AWAY), "echo").value == [ECHO]
    assert own.list_methods(peer(AWAY), "hidden").value == []


@pytest.mark.parametrize(
    ("method", "number", "code"),
    [
        ("nothing", 713, "method"), ("system.keyswap", 713, "method"), ("/a/b", 713, "method"),
        ("a/../../b\n", 713, "method"), ("auth/mnet/auth.php/nothing", 7012, "method"),
        ("local/echo/lib.php/hidden", 707, "unpublished"), ("system/nothing", 7018, "method"),
        ("system/retrieveFile", 7019, "method"),
    ],
)  # fmt: skip
def test_what_is_not_granted_is_refused_with_moodles_number(
    wire: Wire, method: str, number: int, code: str
) -> None:
    error = refusal(lambda: client(identity(HOME), wire).call(peer(AWAY), method))
    assert isinstance(error, PeerFault)
    assert (error.number, error.code, error.authenticated) == (
        number,
        f"network.fault.{code}",
        True,
    )


def test_a_method_answers_with_a_fault_of_its_own_and_no_error_of_ours_leaks(wire: Wire) -> None:
    def own_fault(_peer: Peer, _params: tuple[Any, ...]) -> None:
        raise FaultAnswer(5011, "no user")

    def broken(_peer: Peer, _params: tuple[Any, ...]) -> None:
        raise VMoodleError("some.code", "a private word", "and a hint")

    methods = {
        "a/method_b": own_fault,
        "a/method_c": broken,
        "a/method_d": lambda _peer, _params: object(),
    }
    wire.servers[AWAY] = server(identity(AWAY), book(peer(HOME)), methods)
    own = client(identity(HOME), wire)
    first = refusal(lambda: own.call(peer(AWAY), "a/method_b"))
    assert (first.code, "no user" in first.message) == ("network.fault.service", True)
    for method in ("a/method_c", "a/method_d"):
        error = refusal(lambda method=method: own.call(peer(AWAY), method))
        assert (error.code, "private" in error.message) == ("network.fault.peer", False)


def test_every_number_has_a_code_of_its_own_and_no_text_of_a_peer_fills_the_screen() -> None:
    for number in [*FaultCode, 1, 5011, -7, 2**31 - 1]:
        error = PeerFault(Fault(number, "a\r\n\tb " * 1000), AWAY, authenticated=True)
        assert error.code.startswith("network.fault.")
        assert error.exit_status in (3, 4, 5, 6)
        assert error.as_problem()["status"] == error.http_status
        assert len(error.message) < 400
        assert error.message.isprintable()


def test_one_that_is_no_peer_is_told_in_clear(wire: Wire) -> None:
    error = refusal(lambda: client(identity(OTHER), wire).call(peer(AWAY), ECHO))
    assert isinstance(error, PeerFault)
    assert (error.code, error.authenticated) == ("network.fault.stranger", False)


def test_what_is_sealed_to_a_key_we_never_had_is_not_opened(wire: Wire) -> None:
    stale = Peer(AWAY, pair(AWAY, 7).certificate)
    error = refusal(lambda: client(identity(HOME), wire).call(stale, ECHO))
    assert error.code == "network.fault.unopened"


def test_what_a_stranger_signed_in_a_peers_name_is_refused(wire: Wire) -> None:
    thief = Identity(HOME, OwnKeys(pair(HOME, 9)))
    # The answer is sealed to the real peer: the thief learns not even the fault.
    error = refusal(lambda: client(thief, wire).call(peer(AWAY), ECHO, ["x"]))
    assert error.code == "network.message.key"
    own = client(identity(HOME), Wire({AWAY: replay(wire.answered[0])}))
    assert refusal(lambda: own.call(peer(AWAY), ECHO)).code == "network.fault.signature"


def replay(answer: bytes) -> Any:
    class Recorded:
        def answer(self, _body: bytes, _sender: str) -> bytes:
            return answer

    return Recorded()


# Keys that change.


def test_a_peers_new_key_is_learned_under_its_old_one_and_the_call_repeated_once() -> None:
    wire = Wire({AWAY: server(identity(AWAY, 1), book(peer(HOME)))})
    reply = client(identity(HOME), wire).call(peer(AWAY), ECHO, ["x"])
    assert (reply.value, reply.peer) == (["x"], peer(AWAY, 1))
    assert len(wire.asked) == 2


def test_a_key_that_was_made_a_moment_ahead_of_our_clock_is_taken_on_both_sides() -> None:
    ahead = NOW + timedelta(seconds=20)
    home = Identity(HOME, OwnKeys(pair(HOME, 1, ahead)))
    away = Identity(AWAY, OwnKeys(pair(AWAY, 1, ahead), (pair(AWAY),)))
    known = book(Peer(HOME, home.keys.current.certificate))
    wire = Wire({AWAY: server(away, known)})
    reply = client(home, wire).call(peer(AWAY), ECHO, ["x"])
    assert reply.peer.certificate == away.keys.current.certificate


@pytest.mark.parametrize(("generation", "learned"), [(3, True), (4, False)])
def test_a_new_key_is_learned_as_long_as_the_old_one_is_kept(
    generation: int, learned: bool
) -> None:
    wire = Wire({AWAY: server(identity(AWAY, generation), book(peer(HOME)))})
    own = client(identity(HOME), wire)
    if learned:
        assert own.refresh(peer(AWAY)) == peer(AWAY, generation)
    else:
        assert refusal(lambda: own.refresh(peer(AWAY))).code == "network.fault.unopened"


def test_the_callers_new_key_is_fetched_by_the_one_it_calls() -> None:
    wire = Wire({})
    home, away = identity(HOME, 1), identity(AWAY)
    known = book(peer(HOME))
    wire.servers[HOME] = server(home, book(peer(AWAY)))
    wire.servers[AWAY] = server(away, known)
    wire.servers[AWAY].refresh = client(away, wire).refresh
    assert client(home, wire).call(peer(AWAY), ECHO, ["x"]).value == ["x"]
    assert known.find(HOME) == peer(HOME, 1)


def test_two_that_both_have_new_keys_learn_each_others() -> None:
    wire = Wire({})
    home, away = identity(HOME, 1), identity(AWAY, 1)
    known = book(peer(HOME))
    wire.servers[HOME] = server(home, book(peer(AWAY)))
    wire.servers[AWAY] = server(away, known)
    wire.servers[AWAY].refresh = client(away, wire).refresh
    reply = client(home, wire).call(peer(AWAY), ECHO, ["x"])
    assert (reply.value, reply.peer, known.find(HOME)) == (["x"], peer(AWAY, 1), peer(HOME, 1))


def test_a_peer_is_not_asked_for_its_key_at_each_wrong_signature(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[Peer] = []

    def refresh(known: Peer) -> Peer:
        asked.append(known)
        return known

    wire = Wire({AWAY: server(identity(AWAY), book(peer(HOME)))})
    wire.servers[AWAY].refresh = refresh
    thief = client(Identity(HOME, OwnKeys(pair(HOME, 9))), wire)
    for _try in range(3):
        refusal(lambda: thief.call(peer(AWAY), ECHO))
    assert len(asked) == 1
    monkeypatch.setattr(key_refresh, "PAUSE_SECONDS", 0.0)
    refusal(lambda: thief.call(peer(AWAY), ECHO))
    assert len(asked) == 2


def test_calls_that_come_together_after_a_change_of_key_all_succeed() -> None:
    wire = Wire({})
    home, away = identity(HOME, 1), identity(AWAY)
    wire.servers[HOME] = server(home, book(peer(AWAY)))
    wire.servers[AWAY] = server(away, book(peer(HOME)))
    refresh, asked, all_are_here = client(away, wire).refresh, [], threading.Event()

    def slowly(known: Peer) -> Peer:
        asked.append(known)
        assert all_are_here.wait(10)
        return refresh(known)

    wire.servers[AWAY].refresh = slowly
    with ThreadPoolExecutor(6) as pool:
        calls = [
            pool.submit(client(home, wire).call, peer(AWAY), ECHO, [number]) for number in range(6)
        ]
        wait_until(lambda: len(wire.asked) == 6, "six calls")
        all_are_here.set()
        assert [one.result().value for one in calls] == [[number] for number in range(6)]
    assert len(asked) == 1


def forged_new_key(certificate: Certificate, signer: KeyPair, to: KeyPair) -> bytes:
    """Return a fault 7025 with a certificate, signed by anybody."""
    from vmoodle.network.xml_rpc import write_fault

    text = sign(write_fault(Fault(7025, certificate.pem)), AWAY, signer, NOW)
    return seal_to(text, AWAY, to.certificate)


def test_a_new_key_is_taken_only_under_the_old_ones_signature() -> None:
    forged = forged_new_key(pair(AWAY, 5).certificate, pair(AWAY, 5), pair(HOME))
    own = client(identity(HOME), Wire({AWAY: replay(forged)}))
    assert refusal(lambda: own.call(peer(AWAY), ECHO)).code == "network.message.signature"


def test_a_new_key_of_another_moodle_or_time_is_not_taken() -> None:
    for certificate, code in (
        (pair(OTHER).certificate, "network.certificate.host"),
        (pair(AWAY, 2, NOW - timedelta(days=90)).certificate, "network.certificate.expired"),
        (pair(AWAY, 3, NOW + timedelta(days=9)).certificate, "network.certificate.future"),
    ):
        answer = forged_new_key(certificate, pair(AWAY), pair(HOME))
        own = client(identity(HOME), Wire({AWAY: replay(answer)}))
        assert refusal(lambda own=own: own.call(peer(AWAY), ECHO)).code == code


def test_a_peer_that_has_a_new_key_at_each_call_is_given_up() -> None:
    again = forged_new_key(pair(AWAY).certificate, pair(AWAY), pair(HOME))
    wire = Wire({AWAY: replay(again)})
    error = refusal(lambda: client(identity(HOME), wire).call(peer(AWAY), ECHO))
    assert (error.code, len(wire.asked)) == ("network.fault.key", 2)


def test_a_lapsed_key_of_an_idle_peer_still_leads_to_its_new_one() -> None:
    lapsed = pair(AWAY, 0, NOW - timedelta(days=60))
    known = Peer(AWAY, lapsed.certificate)
    idle = Identity(AWAY, OwnKeys(pair(AWAY, 1), (lapsed,)))
    wire = Wire({AWAY: server(idle, book(peer(HOME)))})
    assert client(identity(HOME), wire).refresh(known) == peer(AWAY, 1)


def test_an_answer_under_a_lapsed_key_is_not_taken() -> None:
    lapsed = pair(AWAY, 0, NOW - timedelta(days=60))
    wire = Wire({AWAY: server(Identity(AWAY, OwnKeys(lapsed)), book(peer(HOME)))})
    own = client(identity(HOME), wire)
    error = refusal(lambda: own.call(Peer(AWAY, lapsed.certificate), ECHO))
    assert error.code == "network.certificate.expired"


def test_a_call_under_a_lapsed_key_is_refused() -> None:
    lapsed = pair(HOME, 0, NOW - timedelta(days=60))
    called: list[object] = []
    methods = {ECHO: lambda *given: called.append(given)}
    known = book(Peer(HOME, lapsed.certificate))
    wire = Wire({AWAY: server(identity(AWAY), known, methods)})
    own = client(Identity(HOME, OwnKeys(lapsed)), wire)
    assert refusal(lambda: own.call(peer(AWAY), ECHO)).code == "network.fault.signature"
    assert called == []


# Answers that are not what they should be.


def spoiled(wire: Wire, change: Callable[[bytes], bytes]) -> str:
    wire.spoil = change
    return refusal(lambda: client(identity(HOME), wire).call(peer(AWAY), ECHO, ["x"])).code


def test_an_answer_that_is_less_protected_than_the_question_is_refused(wire: Wire) -> None:
    assert spoiled(wire, lambda _answer: write_answer(["x"])) == "network.message.plain"
    signed = sign(write_answer(["x"]), AWAY, pair(AWAY), NOW)
    assert spoiled(wire, lambda _answer: signed) == "network.message.plain"


def test_an_answer_in_another_moodles_name_is_refused(wire: Wire) -> None:
    text = sign(write_answer(["x"]), OTHER, pair(OTHER), NOW)
    answer = seal_to(text, OTHER, pair(HOME).certificate)
    assert spoiled(wire, lambda _answer: answer) == "network.message.sender"
    answer = seal_to(text, AWAY, pair(HOME).certificate)
    assert spoiled(wire, lambda _answer: answer) == "network.message.sender"


def test_a_copy_that_speaks_for_the_original_is_noticed(wire: Wire) -> None:
    # Its row of itself is the original's, and `$CFG->wwwroot`, the place of the key, its own.
    text = sign(write_answer(["x"]), AWAY, pair(AWAY), NOW).replace(
        f"{AWAY}/mnet".encode(), b"https://copy.example.test/mnet"
    )
    answer = seal_to(text, AWAY, pair(HOME).certificate)
    assert spoiled(wire, lambda _answer: answer) == "network.message.sender"


def test_a_call_that_is_shown_back_is_no_answer(wire: Wire) -> None:
    text = sign(write_call(ECHO, ["x"]), AWAY, pair(AWAY), NOW)
    answer = seal_to(text, AWAY, pair(HOME).certificate)
    assert spoiled(wire, lambda _answer: answer) == "network.message.form"


@pytest.mark.parametrize(("ahead", "taken"), [(-86_400, True), (14, True), (16, False)])
def test_a_clock_that_is_ahead_is_told_and_age_is_not_judged(
    wire: Wire, ahead: int, taken: bool
) -> None:
    wire.servers[AWAY].clock = lambda: NOW + timedelta(seconds=ahead)
    known = pair(HOME, 0, NOW - timedelta(days=2))
    wire.servers[AWAY].peers.rekeyed(Peer(HOME, known.certificate))
    own = client(Identity(HOME, OwnKeys(known)), wire)
    if taken:
        assert own.call(peer(AWAY), ECHO, []).value == []
    else:
        assert refusal(lambda: own.call(peer(AWAY), ECHO)).code == "network.message.clock"


def test_pages_and_noise_are_no_answers(wire: Wire) -> None:
    for page in (b"", b"<html><p>Log in<br></html>", b"<html/>", b"\xff\xfe", b"<a>" * 1_000_000):
        assert spoiled(wire, lambda _answer, page=page: page) == "network.message.form"
    assert spoiled(wire, lambda _answer: b"\x00" * 8_000_001) == "network.message.large"


SEALED_TWICE = (
    b"</EncryptedData>",
    b"</EncryptedData><EncryptedData><CipherData><CipherValue>eA==</CipherValue></CipherData>"
    b"</EncryptedData>",
)
SECOND_KEY = (
    b"</CipherValue>\n            </CipherData>\n            <Ref",
    b"</CipherValue><CipherValue>eA==</CipherValue>\n            </CipherData>\n            <Ref",
)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        SEALED_TWICE, SECOND_KEY, (b"xmlenc#arcfour", b"xmlenc#aes128-cbc"),
        (b"xmlenc#rsa-1_5", b"xmlenc#rsa-oaep"), (b"<wwwroot>", b"<wwwroot>x</wwwroot><wwwroot>"),
        (b"<CarriedKeyName>XMLENC</CarriedKeyName>", b""), (b"#ED", b"#EK"),
        (b"<encryptedMessage>", b'<!DOCTYPE a [<!ENTITY e "x">]><encryptedMessage>'),
        (b"iso-8859-1", b"utf-16"), (b"<CipherValue>", b"<CipherValue>*"),
        (b"<CipherValue>", b"<CipherValue>&e;"), (b"EncryptedKey>", b"EncryptedLock>"),
    ],
)  # fmt: skip
def test_an_envelope_with_anything_else_inside_is_refused_on_both_sides(
    wire: Wire, old: bytes, new: bytes
) -> None:
    assert spoiled(wire, lambda answer: answer.replace(old, new)) == "network.message.form"
    changed = wire.asked[0].replace(old, new)
    assert changed != wire.asked[0]
    assert fault_of(wire.servers[AWAY].answer(changed)) == 7000


def test_what_is_signed_is_taken_from_the_signed_content_and_nowhere_else(wire: Wire) -> None:
    signed = sign(write_answer(["x"]), AWAY, pair(AWAY), NOW)
    other = base64.b64encode(write_answer(["forged"])).decode()
    for pattern, new in (
        (r"(<object[^>]*>)[^<]*", rf"\g<1>{other}"),
        (r"(<object)", rf"<object>{other}</object>\1"),
        (r"(<DigestValue>)", r"\1x"),
        (r"<timestamp>\d+", "<timestamp>-1"),
        (r"<timestamp>\d+", "<timestamp>" + "9" * 40),
        ("rsa-sha1", "rsa-sha256"),
        (r"<Signature[^V].*</Signature>", ""),
    ):
        text = re.sub(pattern, new, signed.decode(), count=1, flags=re.DOTALL).encode()
        assert text != signed
        answer = seal_to(text, AWAY, pair(HOME).certificate)
        assert spoiled(wire, lambda _answer, answer=answer: answer) in (
            "network.message.form",
            "network.message.key",
        )


def test_a_signature_is_not_moved_to_other_content(wire: Wire) -> None:
    signed = read_message(sign(write_answer(["x"]), AWAY, pair(AWAY), NOW))
    assert isinstance(signed, SignedMessage)
    moved = write_signed(write_answer(["forged"]), signed.signature, AWAY, signed.timestamp)
    answer = seal_to(moved, AWAY, pair(HOME).certificate)
    assert spoiled(wire, lambda _answer: answer) == "network.message.signature"


# Signed only.


def test_signed_calls_are_taken_in_clear_from_trusted_addresses_only(wire: Wire) -> None:
    own = client(identity(HOME), wire)
    error = refusal(lambda: own.call(in_clear(peer(AWAY)), ECHO))
    assert error.code == "network.fault.plaintext"
    wire.servers[AWAY].trusted = [ipaddress.ip_network("192.0.2.0/28")]
    assert own.call(in_clear(peer(AWAY)), ECHO, ["x"]).value == ["x"]
    assert isinstance(read_message(wire.answered[-1]), SignedMessage)
    for sender in ("192.0.2.16", "", "no address", "::ffff:192.0.2.99"):
        wire.sender = sender
        error = refusal(lambda: own.call(in_clear(peer(AWAY)), ECHO))
        assert error.code == "network.fault.plaintext"
    wire.sender = "::ffff:192.0.2.7"
    assert own.call(in_clear(peer(AWAY)), ECHO, ["x"]).value == ["x"]


def test_calls_that_nobody_signed_are_refused(wire: Wire) -> None:
    away = wire.servers[AWAY]
    away.trusted = [ipaddress.ip_network("192.0.2.0/28")]
    call = write_call(ECHO, ["x"])
    assert fault_of(away.answer(call, "203.0.113.1")) == 7021
    assert fault_of(away.answer(call, "192.0.2.7")) == 711


# Keyswap.


def test_keyswap_gives_our_certificate_and_takes_no_note(wire: Wire) -> None:
    assert client(identity(HOME), wire).keyswap(AWAY) == pair(AWAY).certificate
    away = wire.servers[AWAY]
    assert read_answer(away.answer(write_call("system/keyswap", []))).value == (  # type: ignore[union-attr]
        pair(AWAY).certificate.pem
    )
    assert isinstance(away.peers, Book)
    assert away.peers.peers == {HOME: peer(HOME)}


def test_a_policy_hears_of_those_whose_certificate_is_theirs() -> None:
    heard: list[tuple[str, str]] = []

    class Hear:
        def introduced(self, wwwroot: str, certificate: Certificate, application: str) -> None:
            assert certificate.wwwroot == wwwroot
            heard.append((wwwroot, application))

    wire = Wire({AWAY: replace(server(identity(AWAY), book()), keyswap=Hear())})
    client(identity(OTHER), wire).keyswap(AWAY)
    lapsed = pair(HOME, 0, NOW - timedelta(days=60)).certificate
    for params in (
        (HOME, pair(OTHER).certificate.pem, "moodle"), ("x", pair(OTHER).certificate.pem, "moodle"),
        (HOME, "x", "moodle"), (HOME,), (1, 2, 3), (HOME, lapsed.pem, "moodle"),
    ):  # fmt: skip
        answer = wire.servers[AWAY].answer(write_call("system/keyswap", params))
        assert read_answer(answer).value == pair(AWAY).certificate.pem  # type: ignore[union-attr]
    assert heard == [(OTHER, "moodle")]


def test_the_certificate_of_another_moodle_is_not_taken_from_keyswap() -> None:
    for text, code in (
        (pair(OTHER).certificate.pem, "network.certificate.host"),
        ("", "network.certificate.unreadable"),
    ):
        own = client(identity(HOME), Wire({AWAY: replay(write_answer(text))}))
        assert refusal(lambda own=own: own.keyswap(AWAY)).code == code
    own = client(identity(HOME), Wire({AWAY: replay(write_answer([]))}))
    assert refusal(lambda: own.keyswap(AWAY)).code == "network.message.form"


# What the protocol does not protect, so that nobody builds on it.


def test_a_message_that_is_sent_again_is_taken_again(wire: Wire) -> None:
    called: list[object] = []
    methods = {ECHO: lambda *given: called.append(given) or True}
    wire.servers[AWAY] = server(identity(AWAY), book(peer(HOME)), methods)
    client(identity(HOME), wire).call(peer(AWAY), ECHO)
    wire.servers[AWAY].answer(wire.asked[0])
    assert len(called) == 2


def test_a_call_is_signed_for_everybody(wire: Wire) -> None:
    own = identity(HOME)
    wire.servers[OTHER] = server(identity(OTHER), book(peer(HOME)))
    signed = sign(write_call(ECHO, ["x"]), HOME, own.keys.current, NOW)
    # What AWAY was sent it can seal anew and send to OTHER.
    passed_on = seal_to(signed, HOME, pair(OTHER).certificate)
    assert isinstance(read_message(wire.servers[OTHER].answer(passed_on)), SealedMessage)
