"""Addresses in text: each way of writing them is found, and nothing that only looks alike."""

from __future__ import annotations

import base64
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmoodle.errors import InvalidInput
from vmoodle.moodle.database import address_text
from vmoodle.moodle.database.address_text import AddressText, base64_fragments
from vmoodle.moodle.database.wwwroot import Wwwroot

OLD, NEW = "http://old.example", "https://new.example.org/school1"
TO_PATH = AddressText(OLD, NEW)
FROM_PATH = AddressText("https://h.example/school1", "https://solo.example")
PORTS = AddressText("http://old.example:8080", "https://new.example:8443/s")
AT_ROOT = AddressText(
    "https://h.example", "https://new.example", ["https://h.example/s2", "https://x.example/s3"]
)
INTO_PATH = AddressText("https://h.example", "https://h.example/school1")
INTERNATIONAL = AddressText("https://xn--mnchen-3ya.example", "https://new.example")


def php(text: str) -> str:
    return f's:{len(text.encode())}:"{text}";'


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


CHANGED = [
    # plain, and what may follow
    ("http://old.example", "https://new.example.org/school1"),
    ("http://old.example/", "https://new.example.org/school1/"),
    ("https://old.example/a?b=1#c", "https://new.example.org/school1/a?b=1#c"),
    ("HTTP://Old.Example/A", "https://new.example.org/school1/A"),
    ("See http://old.example.", "See https://new.example.org/school1."),
    ("(http://old.example), http://old.example: yes", f"({NEW}), {NEW}: yes"),
    ("http://old.example?x=1", "https://new.example.org/school1?x=1"),
    ("http://old.example#x", "https://new.example.org/school1#x"),
    ("http://old.example./x", "https://new.example.org/school1/x"),
    ("http://old.example:80/x", "https://new.example.org/school1/x"),
    ("https://old.example:443", "https://new.example.org/school1"),
    ("http://old.example\u9875\u9762", f"{NEW}\u9875\u9762"),
    ("_http://old.example_ *http://old.example*", f"_{NEW}_ *{NEW}*"),
    ("<a href='http://old.example'>http://old.example</a>", f"<a href='{NEW}'>{NEW}</a>"),
    ("http://old.example&amp;x http://old.example&quot;", f"{NEW}&amp;x {NEW}&quot;"),
    ("http://joe:pw@old.example/x", "https://joe:pw@new.example.org/school1/x"),
    ("http://old.example\u00b9joe@old.example", f"{NEW}\u00b9joe@old.example"),
    ("webcal://old.example/calendar", "webcal://new.example.org/school1/calendar"),
    # without a scheme
    ("//old.example/x", "//new.example.org/school1/x"),
    ('src="//old.example/x"', 'src="//new.example.org/school1/x"'),
    ("url(//old.example/x)", "url(//new.example.org/school1/x)"),
    ("a %22%2F%2Fold.example%2Fx%22", "a %22%2F%2Fnew.example.org%2Fschool1%2Fx%22"),
    # encoded
    ("http:\\/\\/old.example\\/x", "https:\\/\\/new.example.org\\/school1\\/x"),
    ('"\\nhttp:\\/\\/old.example\\n"', '"\\nhttps:\\/\\/new.example.org\\/school1\\n"'),
    ("http:\\\\\\/\\\\\\/old.example", "https:\\\\\\/\\\\\\/new.example.org\\\\\\/school1"),
    ("u=http%3A%2F%2Fold.example%2Fx", "u=https%3A%2F%2Fnew.example.org%2Fschool1%2Fx"),
    ("u=http%3a%2f%2fold.example%26v", "u=https%3a%2f%2fnew.example.org%2fschool1%26v"),
    ("u%3Dhttp%3A%2F%2Fold.example+a", "u%3Dhttps%3A%2F%2Fnew.example.org%2Fschool1+a"),
    ("http%253A%252F%252Fold.example", "https%253A%252F%252Fnew.example.org%252Fschool1"),
    ("http:&#x2F;&#x2F;old.example", "https:&#x2F;&#x2F;new.example.org&#x2F;school1"),
    ("http&#58;&#47;&#47;old.example", "https&#58;&#47;&#47;new.example.org&#47;school1"),
    ("http:\\u002F\\u002Fold.example", "https:\\u002F\\u002Fnew.example.org\\u002Fschool1"),
    # at another host
    ("https://other.example/?u=http://old.example/x", f"https://other.example/?u={NEW}/x"),
    (
        "https://other.example/?u=http%3A%2F%2Fold.example",
        "https://other.example/?u=https%3A%2F%2Fnew.example.org%2Fschool1",
    ),
    ("https://web.archive.example/2020/http://old.example/", f"https://web.archive.example/2020/{NEW}/"),
    ("ftp://old.example http://old.example", f"ftp://old.example {NEW}"),
    (f"{'http://old.example/ ' * 300}", f"{NEW + '/ '}" * 300),
    # packed
    (f"a:1:{{i:0;{php('é http://old.example/x')}}}", f"a:1:{{i:0;{php(f'é {NEW}/x')}}}"),
    (b64(php("http://old.example/")), b64(php(f"{NEW}/"))),
    (php(b64(php(php("http://old.example")))), php(b64(php(php(NEW))))),
    (b64("see http://old.example/x"), b64(f"see {NEW}/x")),
    (f"a:1:{{{php('http://old.example')}N;}}", f"a:1:{{{php(NEW)}N;}}"),
]  # fmt: skip

SAME = [
    "http://old.example.org/x",
    "http://old.example-x/",
    "http://old.examples",
    "http://old.example_x/",
    "http://old.example.\u4e2d\u56fd/",
    "http://my.old.example/",
    "http://myold.example/",
    "http://old.example:8080/",
    "http://old.example:801/",
    "http%3A%2F%2Fold.example%3A8080%2F",
    "http%3A%2F%2Fold.example%2Eorg%2F",
    "http://old.example@evil.example/",
    "http://old.example:pw@evil.example/",
    "http://old.example:pw@old.example/",
    "ftp://old.example/pub",
    "ftp%3A%2F%2Fold.example%2Fpub",
    "mailto:joe@old.example",
    "joe@old.example, //joe@old.example",
    "old.example and www.old.example",
    "https://other.example//old.example/x",
    "https://other.example/?a=b%2F%2Fold.example",
    "https://other.example/old.example",
    "/course/view.php?id=1, @@PLUGINFILE@@/x.png, $@COURSEVIEWBYID*2@$",
    "mdl_user and x9_user stay",
    "a:1:{i:0;i:1;}",
    "vKHg0R2BQnIDwfJvQH4FtqROK1QMWEAfold.example",
]

OTHERS = [
    (FROM_PATH, "https://h.example/school1/x", "https://solo.example/x"),
    (FROM_PATH, "http://h.example/school1", "https://solo.example"),
    (FROM_PATH, "u=https%3A%2F%2Fh.example%2Fschool1%2Fx", "u=https%3A%2F%2Fsolo.example%2Fx"),
    (FROM_PATH, "https://h.example/school1. And", "https://solo.example. And"),
    (FROM_PATH, "https:\\/\\/h.example\\/school1\\n", "https:\\/\\/solo.example\\n"),
    (FROM_PATH, "https://h.example/school1%20", "https://solo.example%20"),
    *(
        (FROM_PATH, same, same)
        for same in (
            "https://h.example/school10",
            "https://h.example/school1-b/",
            "https://h.example/school1_/",
            "https://h.example/school1.php",
            "https://h.example/SCHOOL1/",
            "https://h.example/a/school1/",
            "https://h.example/school1%C3%A9",
            "https://h.example/",
        )
    ),
    (PORTS, "http://old.example:8080/x", "https://new.example:8443/s/x"),
    (PORTS, "http%3A%2F%2Fold.example%3A8080", "https%3A%2F%2Fnew.example%3A8443%2Fs"),
    (PORTS, "%253A%252F%252F http%253A%252F%252Fold.example%253A8080", "%253A%252F%252F https%253A%252F%252Fnew.example%253A8443%252Fs"),  # noqa: E501
    (PORTS, "http:\\/\\/old.example:8080\\/x", "https:\\/\\/new.example:8443\\/s\\/x"),
    (PORTS, "http://old.example/x", "http://old.example/x"),
    (PORTS, "http://old.example:80800/x", "http://old.example:80800/x"),
    (AT_ROOT, "https://h.example/s2/x", "https://h.example/s2/x"),
    (AT_ROOT, "https:\\/\\/h.example\\/s2", "https:\\/\\/h.example\\/s2"),
    (AT_ROOT, "https://h.example/s22/x", "https://new.example/s22/x"),
    (AT_ROOT, "https://h.example/s3/x", "https://new.example/s3/x"),
    (INTO_PATH, "http://h.example/x", "https://h.example/school1/x"),
    (INTO_PATH, "https://h.example/school1/x", "https://h.example/school1/x"),
    (INTO_PATH, "https://h.example/school10", "https://h.example/school1/school10"),
    (INTERNATIONAL, "https://m\u00fcnchen.example/x", "https://new.example/x"),
    (INTERNATIONAL, "https://xn--mnchen-3ya.example", "https://new.example"),
    (INTERNATIONAL, "https:\\/\\/m\\u00fcnchen.example\\/", "https:\\/\\/new.example\\/"),
    (INTERNATIONAL, "https://m%c3%bcnchen.example/", "https://new.example/"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), CHANGED)
def test_every_way_to_write_an_address_is_rewritten_once(text: str, expected: str) -> None:
    result = TO_PATH.rewrite(text)
    assert result.value == expected
    assert result.left == frozenset()
    assert TO_PATH.holds(text)
    assert result.replaced == len(re.findall(r"new\.example|bmV3LmV4|5ldy5leG|uZXcuZX", expected))
    assert not TO_PATH.holds(expected)
    assert TO_PATH.rewrite(expected).value == expected


@pytest.mark.parametrize("text", SAME)
def test_what_only_looks_like_an_address_stays(text: str) -> None:
    result = TO_PATH.rewrite(text)
    assert (result.value, result.replaced, result.left) == (text, 0, frozenset())
    assert not TO_PATH.holds(text)


@pytest.mark.parametrize(("rules", "text", "expected"), OTHERS)
def test_paths_ports_neighbours_and_international_names(
    rules: AddressText, text: str, expected: str
) -> None:
    assert rules.rewrite(text).value == expected
    assert rules.rewrite(expected) == rules.rewrite(rules.rewrite(text).value)
    assert rules.rewrite(expected).replaced == 0


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('a:1:{i:0;s:9:"http://old.example/";}', address_text.BROKEN),
        ("O:8:\"stdClass\":1:{s:3:\"http://old.example", address_text.BROKEN),
        (
            'a:2:{s:18:"http://old.example";N;s:19:"https://old.example";N;}',
            address_text.BROKEN,
        ),
        ('C:3:"Old":18:{http://old.example}', address_text.OWN_FORMAT),
        (json.dumps({"d": php("http://old.example")}), address_text.EMBEDDED),
        (f"session|{'{'}{php('http://old.example')}", address_text.EMBEDDED),
        (f"data:text/html;base64,{b64('<p>http://old.example</p>')}", address_text.INSIDE_BASE64),
        (
            base64.b64encode(b"\x00\x01\xff http://old.example/ \xfe").decode(),
            address_text.BINARY,
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_rewritten_safely_is_left_and_said(text: str, reason: str) -> None:
    result = TO_PATH.rewrite(text)
    assert (result.value, result.left) == (text, frozenset({reason}))
    assert TO_PATH.holds(text)


def test_too_many_layers_are_left_and_said() -> None:
    text = "http://old.example"
    for _ in range(2000):
        text = php(text)
    assert TO_PATH.rewrite(text).left == {address_text.TOO_DEEP}


def test_bytes_that_are_no_text_survive_beside_an_address() -> None:
    packed = b'a:2:{i:0;s:2:"\xff\xfe";i:1;s:18:"http://old.example";}'
    result = TO_PATH.rewrite(base64.b64encode(packed).decode())
    assert base64.b64decode(result.value) == (
        b'a:2:{i:0;s:2:"\xff\xfe";i:1;s:31:"https://new.example.org/school1";}'
    )


_parts = st.lists(
    st.one_of(
        st.text(max_size=12),
        st.sampled_from(
            [
                *(text for text, _ in CHANGED[:33]),
                *SAME,
                "%",
                "\\",
                '"',
                "&amp;",
                "http:",
                "//",
                ":",
            ]
        ),
    ),
    max_size=6,
)


@given(parts=_parts)
def test_a_second_rewriting_changes_nothing(parts: list[str]) -> None:
    once = TO_PATH.rewrite("".join(parts))
    again = TO_PATH.rewrite(once.value)
    assert (again.value, again.replaced, again.left) == (once.value, 0, once.left)


@given(parts=_parts)
def test_the_way_there_and_back_gives_the_text(parts: list[str]) -> None:
    text = " ".join(parts).replace("HTTP", "http").replace("Old.E", "old.e")
    text = re.sub("https(?=[:%&]+)", "http", text, flags=re.IGNORECASE)
    text = re.sub(r"old\.example(\.(?=/)|:80(?=/)|:443)", "old.example", text)
    back = AddressText(NEW, OLD)
    if not back.holds(text) and not TO_PATH.rewrite(text).left:
        assert back.rewrite(TO_PATH.rewrite(text).value).value == text


@given(before=st.text(max_size=30), after=st.text(max_size=30))
def test_json_stays_json_and_means_the_same(before: str, after: str) -> None:
    value = {"a": [f"{before} http://old.example/x {after}", before], "b": after}
    for text in (json.dumps(value), json.dumps(value).replace("/", "\\/")):
        changed = json.loads(TO_PATH.rewrite(text).value)
        assert changed == {"a": [value["a"][0].replace(OLD, NEW), before], "b": after}


@given(before=st.binary(max_size=9), after=st.binary(max_size=9))
def test_base64_of_whatever_holds_the_data_has_one_of_its_fragments(
    before: bytes, after: bytes
) -> None:
    encoded = base64.b64encode(before + b"old.example" + after).decode()
    assert any(fragment in encoded for fragment in base64_fragments(b"old.example"))


@given(text=st.text(alphabet='htps:/.old%2Fexam3A\\&#x;@-_ "s{}0123456789', max_size=80))
def test_any_text_is_taken(text: str) -> None:
    result = TO_PATH.rewrite(text)
    assert (result.value == text) == (result.replaced == 0)


@pytest.mark.parametrize(
    "url",
    ["", "old.example", "ftp://old.example", "http://", "http://a b", "http://a@b", "http://a?b",
     "http://a:x", "http://a/%2F", "http://[", "http://a\\b"],
)  # fmt: skip
def test_what_is_no_wwwroot_is_refused(url: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        Wwwroot.parse(url)
    assert caught.value.code == "moodle.wwwroot"


def test_a_wwwroot_comes_apart() -> None:
    assert Wwwroot.parse("https://H.Example:443/a/b/") == Wwwroot("https", "h.example", "", "/a/b")
    assert Wwwroot.parse("http://h.example:8080").port == "8080"
