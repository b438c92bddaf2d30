"""XML-RPC as Moodle and its library write it, and what only looks like it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmoodle.errors import VMoodleError
from vmoodle.network.faults import Fault
from vmoodle.network.xml_rpc import (
    Answer,
    Call,
    read_answer,
    read_call,
    write_answer,
    write_call,
    write_fault,
)

TEXT = st.text(st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="￾￿"))
VALUES = st.recursive(
    st.one_of(
        TEXT, st.booleans(), st.integers(-(2**31), 2**31 - 1), st.binary(),
        st.floats(allow_nan=False, allow_infinity=False),
    ),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@given(st.lists(VALUES, max_size=4))
def test_what_is_written_is_read_again(params: list[Any]) -> None:
    assert read_call(write_call("a/b.php/c", params)) == Call("a/b.php/c", tuple(params))
    assert read_answer(write_answer(params)) == Answer(params)


def test_line_ends_and_tabs_stay_as_they_are() -> None:
    text = "one\r\ntwo\rthree\n\tfour <&>\"' ]]>"
    assert read_answer(write_answer(text)) == Answer(text)


@pytest.mark.parametrize(
    "value",
    [None, "\x00", "a\x1fb", "\ud800", "￿", 2**31, -(2**31) - 1, float("nan"), float("inf"),
     object(), {1: "x"}, {"\x01": "x"}, [[None]], {"a": [float("-inf")]}],
)  # fmt: skip
def test_what_has_no_form_is_refused_before_anything_is_sent(value: object) -> None:
    with pytest.raises(VMoodleError) as raised:
        write_call("a/b", [value])
    assert raised.value.code == "network.value"


def test_a_fault_tells_also_what_cannot_be_written() -> None:
    assert read_answer(write_fault(Fault(7000, "a\x00b <é>"))) == Fault(7000, "ab <é>")


def test_the_fault_that_moodle_writes_by_hand_is_read() -> None:
    document = b"""<?xml version="1.0"?>
<methodResponse>
   <fault>
      <value>
         <struct>
            <member>
               <name>faultCode</name>
               <value><int>7025</int></value>
            </member>
            <member>
               <name>faultString</name>
               <value><string>-----BEGIN &lt;&apos;&gt;
x</string></value>
            </member>
         </struct>
      </value>
   </fault>
</methodResponse>"""
    assert read_answer(document) == Fault(7025, "-----BEGIN <'>\nx")


def test_values_of_phps_libraries_are_read() -> None:
    document = b"""<?xml version="1.0" encoding="iso-8859-1"?><methodResponse><params><param>
    <value><array><data><value>bare \xe9</value><value><i8>9007199254740993</i8></value>
    <value><nil/></value>
    <value><dateTime.iso8601>20260501T12:00:00</dateTime.iso8601></value><value/>
    <value><struct/></value></data></array></value></param></params></methodResponse>"""
    moment = datetime(2026, 5, 1, 12, 0)
    assert read_answer(document) == Answer(["bare é", 9007199254740993, None, moment, "", {}])


STRING = b"<value><string>x</string></value>"
PARAM = b"<param>" + STRING + b"</param>"
NOT_ANSWERS = [
    b"", b"x", b"<html/>", b"<methodResponse/>", b"<methodResponse><params/></methodResponse>",
    b"<methodResponse><params>" + PARAM * 2 + b"</params></methodResponse>",
    b"<methodResponse><params>" + PARAM + b"</params><fault>" + STRING + b"</fault>"
    b"</methodResponse>",
    b"<methodResponse><fault>" + STRING + b"</fault></methodResponse>",
    b"<methodCall><methodName>a/b</methodName></methodCall>",
    b"<methodResponse><x><params>" + PARAM + b"</params></x></methodResponse>",
    b"<methodResponse><params><param><value><int>x</int></value></param></params></methodResponse>",
    b"<methodResponse><params><param><value><int></int></value></param></params></methodResponse>",
    b"<methodResponse><params><param><value><boolean>2</boolean></value></param></params>"
    b"</methodResponse>",
    b"<methodResponse><params><param><value><base64>*</base64></value></param></params>"
    b"</methodResponse>"[:-1],
    b"<methodResponse><params><param>" + STRING * 2 + b"</param></params></methodResponse>",
    b"<methodResponse><params><param><value><struct><member><name>a</name></member></struct></value>"
    b"</param></params></methodResponse>",
    b"<methodResponse><params><param><value><struct><member>" + STRING + b"<name>a</name></member>"
    b"</struct></value></param></params></methodResponse>",
    b"<methodResponse><params><param><value><int>" + b"9" * 10_000 + b"</int></value></param>"
    b"</params></methodResponse>",
    b'<?xml version="1.0" encoding="utf-16"?><methodResponse><params>' + PARAM + b"</params>"
    b"</methodResponse>",
    b'<?xml version="1.0" encoding="utf-7"?><methodResponse><params>' + PARAM + b"</params>"
    b"</methodResponse>",
    b"<methodResponse><params><param>" + b"<value><array><data>" * 100 + b"</data></array></value>"
    * 100 + b"</param></params></methodResponse>",
]  # fmt: skip


@pytest.mark.parametrize("document", NOT_ANSWERS, ids=range(len(NOT_ANSWERS)))
def test_what_is_no_answer_is_refused(document: bytes) -> None:
    with pytest.raises(VMoodleError) as raised:
        read_answer(document)
    assert raised.value.code == "network.message.form"


ENTITIES = [
    b'<!DOCTYPE a [<!ENTITY b "c">]>',
    b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]>',
    b'<!DOCTYPE a SYSTEM "http://192.0.2.1/a.dtd">',
    b"<!DOCTYPE methodResponse>",
]


@pytest.mark.parametrize("declaration", ENTITIES)
def test_a_document_type_is_refused_whatever_it_declares(declaration: bytes) -> None:
    with pytest.raises(VMoodleError) as raised:
        read_answer(declaration + write_answer("x").partition(b"?>")[2].strip())
    assert (raised.value.code, "document type" in raised.value.message) == (
        "network.message.form",
        True,
    )


def test_a_document_that_is_too_large_is_not_even_looked_at() -> None:
    with pytest.raises(VMoodleError) as raised:
        read_answer(b"\x00" * 8_000_001)
    assert raised.value.code == "network.message.large"


def test_a_million_tiny_elements_are_refused_early() -> None:
    many = b"<value/>" * 900_000
    with pytest.raises(VMoodleError) as raised:
        read_answer(
            b"<methodResponse><params><param><value><array><data>" + many + b"</data></array>"
            b"</value></param></params></methodResponse>"
        )
    assert raised.value.code == "network.message.form"


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_noise_is_refused(noise: bytes) -> None:
    for read in (read_answer, read_call):
        with pytest.raises(VMoodleError):
            read(noise)
