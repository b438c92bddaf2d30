"""20,000 spoiled messages: none crashes a reader, none gets done what was not signed."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.network_peers import AWAY, ECHO, HOME, NOW, OTHER, book, identity, pair, peer, server

from vmoodle.errors import VMoodleError
from vmoodle.network.envelope import SignedMessage, read_message
from vmoodle.network.protocol import is_signed_by, seal_to, sign
from vmoodle.network.xml_rpc import read_answer, read_call, write_call

CALL = write_call(ECHO, ["the one that was signed"])
SIGNED = sign(CALL, HOME, pair(HOME), NOW)
STRANGERS = sign(CALL, HOME, pair(OTHER), NOW)
SEALED = seal_to(SIGNED, HOME, pair(AWAY).certificate)
PIECES = [
    b"<!DOCTYPE a [<!ENTITY e 'x'>]>", b"<!DOCTYPE a SYSTEM 'file:///etc/passwd'>", b"&e;",
    b"&amp;", b"&#10;", b"&#0;", b"<![CDATA[", b"]]>", b"<!--", b"-->", b"<?pi?>", b"<", b">",
    b"\x00", b"\xff", b"<wwwroot>", b"</wwwroot>", b"https://other.example.test", b"<CipherValue>",
    b"</CipherValue>", b"<EncryptedKey>", b"<object>", b"</object>", b"<signedMessage>", b"=", b"A",
    b"xmlenc#aes128-cbc", b"<methodName>", b"<value><string>forged</string></value>", b" ", b"\n",
    b'<?xml version="1.0" encoding="utf-16"?>', b"UTF-7", b"'", b'"',
]  # fmt: skip
EDIT = st.tuples(
    st.sampled_from(["cut", "put", "swap", "again", "flip"]),
    st.floats(0, 1),
    st.floats(0, 1),
    st.sampled_from(PIECES) | st.binary(min_size=1, max_size=8),
)


def spoil(document: bytes, edits: list[tuple[str, float, float, bytes]]) -> bytes:
    for kind, first, second, piece in edits:
        begin, end = sorted((int(first * len(document)), int(second * len(document))))
        before, between, after = document[:begin], document[begin:end], document[end:]
        match kind:
            case "cut":
                document = before + after
            case "put":
                document = before + piece + between + after
            case "swap":
                document = before + after + between
            case "again":
                document = before + between * 2 + after
            case "flip" if after:
                document = before + between + bytes([after[0] ^ (piece[0] or 1)]) + after[1:]
    return document


ALL = list(HealthCheck)
Edits = list[tuple[str, float, float, bytes]]


@pytest.mark.slow
@settings(max_examples=20_000, deadline=None, suppress_health_check=ALL, database=None)
@given(st.sampled_from([SIGNED, SEALED, STRANGERS, CALL]), st.lists(EDIT, min_size=1, max_size=4))
def test_no_spoiled_message_crashes_the_reader_or_proves_what_was_not_signed(
    document: bytes, edits: Edits
) -> None:
    spoiled = spoil(document, edits)
    try:
        message = read_message(spoiled)
    except VMoodleError as error:
        assert error.code in ("network.message.form", "network.message.large")
        return
    if isinstance(message, SignedMessage) and is_signed_by(message, pair(HOME).certificate):
        assert message.payload == CALL


@pytest.mark.slow
@settings(max_examples=4_000, deadline=None, suppress_health_check=ALL, database=None)
@given(
    st.sampled_from(["sealed", "inside", "signed", "stranger", "clear", "noise"]),
    st.lists(EDIT, min_size=1, max_size=3),
    st.binary(max_size=300),
)
def test_no_spoiled_request_makes_the_server_do_anything_but_what_was_signed(
    kind: str, edits: Edits, noise: bytes
) -> None:
    done: list[tuple[str, Any]] = []

    def note(caller: Any, params: Any) -> bool:
        done.append((caller.wwwroot, params))
        return True

    away = server(identity(AWAY, 1), book(peer(HOME)), {ECHO: note})
    away.trusted = [ipaddress.ip_network("192.0.2.0/24")]
    current = pair(AWAY, 1).certificate
    body = {
        "sealed": lambda: spoil(seal_to(SIGNED, HOME, current), edits),
        "inside": lambda: seal_to(spoil(SIGNED, edits), HOME, current),
        "signed": lambda: spoil(SIGNED, edits),
        "stranger": lambda: seal_to(spoil(STRANGERS, edits), HOME, current),
        "clear": lambda: spoil(CALL, edits),
        "noise": lambda: noise,
    }[kind]()
    answer = away.answer(body, "192.0.2.7")
    read_message(answer)
    assert all(one == (HOME, ("the one that was signed",)) for one in done)
    assert not (done and kind in ("stranger", "clear", "noise"))


@settings(max_examples=2_000, deadline=None, suppress_health_check=ALL, database=None)
@given(st.lists(EDIT, min_size=1, max_size=4))
def test_no_spoiled_call_crashes_the_reader_of_calls(edits: Edits) -> None:
    spoiled = spoil(CALL, edits)
    for read in (read_call, read_answer):
        try:
            read(spoiled)
        except VMoodleError as error:
            assert error.code.startswith("network.message.")
