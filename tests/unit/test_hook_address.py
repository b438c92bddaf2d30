"""The address of a site: one normal form, and a refusal for everything that has none."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vmoodle.errors import InvalidInput
from vmoodle.hook.address import HOST_LENGTH, parse_host, parse_wwwroot

NORMAL_FORMS = {
    "https://school1.example.org": "https://school1.example.org",
    "HTTPS://School1.Example.ORG": "https://school1.example.org",
    "https://school1.example.org/": "https://school1.example.org",
    "https://school1.example.org//": "https://school1.example.org",
    "https://school1.example.org.": "https://school1.example.org",
    "https://school1.example.org.:443/": "https://school1.example.org",
    "https://school1.example.org:443": "https://school1.example.org",
    "http://school1.example.org:80": "http://school1.example.org",
    "http://school1.example.org:0080": "http://school1.example.org",
    "https://school1.example.org:80": "https://school1.example.org:80",
    "http://school1.example.org:8080/": "http://school1.example.org:8080",
    "http://localhost:8000": "http://localhost:8000",
    "http://127.0.0.1": "http://127.0.0.1",
    "https://example.org/school1": "https://example.org/school1",
    "https://example.org/school_1-b/": "https://example.org/school_1-b",
    "https://münchen.example": "https://xn--mnchen-3ya.example",
    "https://MÜNCHEN.example": "https://xn--mnchen-3ya.example",
    "https://XN--MNCHEN-3YA.example": "https://xn--mnchen-3ya.example",
    "https://学校.example/a": "https://xn--48s290a.example/a",
}
REFUSED = (
    "",
    "school1",
    "school1.example.org",
    "//school1.example.org",
    "ftp://school1.example.org",
    "javascript:alert(1)",
    "https://",
    "https:///path",
    "https://.",
    "https://..",
    "https://a..b",
    "https://.a",
    "https://-a.example",
    "https://a-.example",
    "https://a_b.example",
    "https://a b.example",
    "https://a.example/ b",
    "https://a.example\n",
    "https://a.example\x00",
    "https://a.example\\b",
    "https://user@a.example",
    "https://user:word@a.example",
    "https://a.example:0",
    "https://a.example:",
    "https://a.example:65536",
    "https://a.example:99999999",
    "https://a.example:eighty",
    "https://a.example:-1",
    "https://[::1]",
    "https://[::1",
    "https://[fe80::1%25eth0]:80",
    "https://999.1.1.1",
    "https://1.2.3",
    "https://1.2.3.04",
    "https://1",
    "https://a.example?",
    "https://a.example#",
    "https://a.example/?x=1",
    "https://a.example/school1/more",
    "https://a.example//school1",
    "https://a.example/School1",
    "https://a.example/..",
    "https://a.example/%2e%2e",
    "https://a.example/_school",
    "https://a.example/school1;drop",
    "https://a.example/" + "s" * 64,
    "https://" + "a" * 64 + ".example",
    "https://" + ".".join(["a" * 49] * 5),
    "https://x' OR 1=1 -- -",
    "https://a%2eb.example",
    "https://☃☃\u200d.example\u202e",
    "https://\ud800.example",
    "https://" + "a" * 10_000,
)


@pytest.mark.parametrize(("written", "normal"), NORMAL_FORMS.items())
def test_an_address_has_one_normal_form(written: str, normal: str) -> None:
    assert parse_wwwroot(written).wwwroot == normal
    assert parse_wwwroot(normal).wwwroot == normal


@pytest.mark.parametrize("url", REFUSED, ids=lambda url: repr(url)[:40])
def test_what_is_no_address_is_refused_with_a_code_and_a_hint(url: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_wwwroot(url)
    assert caught.value.code.startswith("site.url.")
    assert caught.value.hint


def test_a_refusal_does_not_repeat_a_password_of_the_url() -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_wwwroot("https://admin:planted-word@a.example")
    assert "planted-word" not in str(caught.value.as_problem())


@pytest.mark.parametrize(
    "other",
    ["http://a.example/s", "https://a.example:8443/s", "https://A.example./s/"],
)
def test_scheme_port_case_and_dots_do_not_make_another_address(other: str) -> None:
    assert parse_wwwroot(other).key == parse_wwwroot("https://a.example/s").key


def test_the_segment_makes_another_address() -> None:
    keys = {parse_wwwroot(f"https://a.example{path}").key for path in ("", "/s", "/t")}
    assert keys == {"a.example", "a.example/s", "a.example/t"}


def test_the_host_header_holds_the_port_only_when_it_is_not_the_default() -> None:
    assert parse_wwwroot("https://a.example:443").host_header == "a.example"
    assert parse_wwwroot("https://a.example:8443").host_header == "a.example:8443"
    assert parse_wwwroot("https://a.example").connect_port == 443
    assert parse_wwwroot("http://a.example:8080").connect_port == 8080


_PIECES = st.sampled_from(
    ["http://", "https://", "HTTP:", "//", "/", ".", "..", ":", "@", "[", "]", "%", "-", "a",
     "xn--", "1", "9", "ü", "ß", "。", "\u200d", "\ud800", "\x00", " ", "?", "#", "\\", "80", "443"]
)  # fmt: skip
_URLS = st.one_of(
    st.text(max_size=80),
    st.text(max_size=80).map("https://".__add__),
    st.lists(_PIECES, max_size=14).map("".join),
    st.lists(_PIECES, max_size=12).map(lambda pieces: "http://" + "".join(pieces)),
    st.from_regex(
        r"https?://[a-zA-Z0-9.-]{1,9}(:[0-9]{1,6})?(/[a-z0-9_-]{0,5})?/?", fullmatch=True
    ),
)


@settings(max_examples=1_200, deadline=None)
@given(_URLS)
def test_any_text_is_a_fixed_normal_form_or_invalid_input(url: str) -> None:
    with contextlib.suppress(InvalidInput):
        address = parse_wwwroot(url)
        assert parse_wwwroot(address.wwwroot) == address
        assert parse_host(address.host) == address.host
        assert address.wwwroot.isascii()
        assert address.wwwroot == address.wwwroot.lower()
        assert len(address.host) <= HOST_LENGTH
        assert ".." not in address.key


@settings(max_examples=500, deadline=None)
@given(st.one_of(st.text(max_size=60), st.lists(_PIECES, max_size=12).map("".join)))
def test_any_text_is_a_fixed_host_or_invalid_input(text: str) -> None:
    with contextlib.suppress(InvalidInput):
        host = parse_host(text)
        assert parse_host(host) == host
        assert parse_host(f"{host.upper()}.") == host
