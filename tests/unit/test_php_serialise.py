"""PHP's serialize format: strings change, nothing else does, as real PHP itself judges."""

from __future__ import annotations

import base64
import json
import shutil
import struct
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vmoodle.errors import InvalidInput
from vmoodle.moodle.php.serialise import looks_serialised, rewrite_strings

# One PHP for all examples: each line is a call, each answer a line.
DRIVER = r"""
enum Suit: string { case Hearts = 'H'; }
class Point { public $x; protected $y; private $z; static function of($a) {
    $p = new Point; $p->x = $a; $p->y = $a; $p->z = 1.5; return $p; } }
class Own extends ArrayObject {}
class Old implements Serializable { public $d; function serialize() { return $this->d; }
    function unserialize($d) { $this->d = $d; } }
function build($v) {
    if (!is_array($v)) { return $v; }
    [$kind, $a] = $v;
    switch ($kind) {
        case 'b': return base64_decode($a);
        case 'f': return unpack('d', base64_decode($a))[1];
        case 'l': return array_map('build', $a);
        case 'm': $r = [];
            foreach ($a as [$k, $w]) { $r[base64_decode($k)] = build($w); }
            return $r;
        case 'o': $r = new stdClass;
            foreach ($a as [$k, $w]) { $k = base64_decode($k);
                if ($k !== '' && $k[0] !== "\0") { $r->$k = build($w); } }
            return $r;
        case 'p': return Point::of(build($a));
        case 'c': return Suit::Hearts;
        case 's': $x = new stdClass; $x->v = build($a); return [$x, $x, $x->v];
        case 'r': $x = build($a); return [&$x, &$x];
    }
}
while (($line = fgets(STDIN)) !== false) {
    [$verb, $a] = json_decode($line, true, 512);
    if ($verb === 'serialise') { $out = base64_encode(serialize(build($a))); }
    else {
        $a = base64_decode($a);
        $value = @unserialize($a);
        $out = $value === false && $a !== 'b:0;' ? '' : base64_encode(serialize($value));
    }
    echo json_encode($out), "\n";
}
"""


class PHP:
    """Ask one running PHP to serialise and to read."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            ["php", "-n", "-d", "error_reporting=0", "-d", "serialize_precision=-1", "-r", DRIVER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def _ask(self, verb: str, argument: object) -> bytes:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps([verb, argument]).encode() + b"\n")
        self.process.stdin.flush()
        return base64.b64decode(json.loads(self.process.stdout.readline()))

    def serialise(self, described: object) -> bytes:
        return self._ask("serialise", described)

    def again(self, data: bytes) -> bytes:
        """Return PHP's serialize(unserialize(data)), empty when PHP does not read it."""
        return self._ask("same", base64.b64encode(data).decode())


@pytest.fixture(scope="module")
def php() -> Iterator[PHP]:
    if not shutil.which("php"):
        pytest.skip("not installed: php")
    php = PHP()
    yield php
    assert php.process.stdin is not None
    php.process.stdin.close()
    assert php.process.wait(10) == 0


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


OLD, NEW = b"http://old.test", b"https://a.much.longer.example/school1"
_bytes = st.one_of(
    st.binary(max_size=20),
    st.text(max_size=20).map(str.encode),
    st.binary(max_size=9).map(lambda rest: OLD + rest),
    st.sampled_from([b'";}i:0;', b'a:1:{i:0;s:3:"x";}', b"12", "É—日本".encode()]),
)
_scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(width=64).map(lambda value: ["f", b64(struct.pack("d", value))]),
    _bytes.map(lambda value: ["b", b64(value)]),
    st.just(["c", None]),
)


def _nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    pairs = st.lists(st.tuples(_bytes.map(b64), inner).map(list), max_size=4)
    return st.one_of(
        st.lists(inner, max_size=4).map(lambda value: ["l", value]),
        pairs.map(lambda value: ["m", value]),
        pairs.map(lambda value: ["o", value]),
        *(inner.map(lambda value, kind=kind: [kind, value]) for kind in "psr"),
    )


described = st.recursive(_scalars, _nested, max_leaves=12)
checked = settings(
    deadline=None,
    max_examples=150,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def replaced(described: Any) -> Any:
    """Return the description with the old address replaced by the new in every string."""
    if isinstance(described, list):
        if described[0] == "b":
            return ["b", b64(base64.b64decode(described[1]).replace(OLD, NEW))]
        if described[0] in "mo":
            return [
                described[0],
                [
                    [b64(base64.b64decode(key).replace(OLD, NEW)), replaced(value)]
                    for key, value in described[1]
                ],
            ]
        if described[0] == "l":
            return ["l", [replaced(value) for value in described[1]]]
        if described[0] != "f":
            return [described[0], replaced(described[1])]
    return described


@checked
@given(value=described)
def test_what_php_writes_is_read_and_kept_byte_for_byte(php: PHP, value: Any) -> None:
    data = php.serialise(value)
    assert looks_serialised(data) == (data[:1] in b"saOE")
    assert rewrite_strings(data, lambda content: content) == data


@checked
@given(value=described)
def test_a_rewritten_value_is_what_php_writes_for_the_changed_value(php: PHP, value: Any) -> None:
    data = rewrite_strings(php.serialise(value), lambda content: content.replace(OLD, NEW))
    assert data == php.serialise(replaced(value))
    assert php.again(data) == data


@checked
@given(value=described, at=st.integers(0, 400), byte=st.binary(max_size=2))
def test_what_php_does_not_read_is_an_error_and_never_a_crash(
    php: PHP, value: Any, at: int, byte: bytes
) -> None:
    data = php.serialise(value)
    broken = data[: at % len(data)] + byte + data[at % len(data) + 1 :]
    try:
        rewrite_strings(broken, lambda content: content)
    except InvalidInput as error:
        assert error.code == "moodle.serialise"
    else:
        # References may point nowhere and classes may be gone: both are for PHP to judge.
        if not any(mark in broken for mark in (b"r:", b"R:", b"C:", b"E:", b"O:")):
            assert php.again(broken) != b""


@given(data=st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        assert rewrite_strings(data, lambda content: content) == data
    except InvalidInput as error:
        assert error.code == "moodle.serialise"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"a",
        b"a:1:{i:0;}",
        b"a:2:{i:0;i:1;}",
        b"a:1:{i:0;i:1;i:2;}",
        b"a:1:{b:1;i:1;}",
        b's:4:"abc";',
        b's:2:"abc";',
        b's:-1:"";',
        b's:99999999999999999999:"";',
        b's:3:"abc"',
        b's:3:"abc";x',
        b"i:1.5;",
        b"b:2;",
        b"d:1e;",
        b"N",
        b'O:8:"stdClass":1:{N;N;}',
        b'O:3:"a b":0:{}',
        b'S:1:"\\41";',
        b"a:1:{i:0;a:1:{i:0;N;}",
        b'a:2:{s:1:"a";N;s:1:"a";N;}',
        b'C:1:"x":9:{abc}',
    ],
)
def test_broken_data_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidInput, match="PHP-serialised data is broken at byte"):
        rewrite_strings(data, lambda content: content)


def test_what_a_class_serialised_itself_is_given_whole(php: PHP) -> None:
    data = b'C:3:"Old":23:{go to http://old.test/x}'
    assert rewrite_strings(data, lambda content: content + b"!") == data
    changed = rewrite_strings(data, bytes, opaque=lambda content: content.replace(OLD, NEW))
    assert php.again(changed) == changed


def test_lengths_count_bytes_and_floats_keep_their_digits() -> None:
    data = 'a:3:{s:3:"Né";d:0.10000000000000001;i:0;d:1.0E+25;s:1:"n";s:2:"É";}'.encode()
    assert (
        rewrite_strings(data, lambda content: content.replace(b"n", "日".encode()))
        == 'a:3:{s:3:"Né";d:0.10000000000000001;i:0;d:1.0E+25;s:3:"日";s:2:"É";}'.encode()
    )


def test_two_keys_that_become_one_are_refused() -> None:
    with pytest.raises(InvalidInput, match="two entries have one key"):
        rewrite_strings(b'a:2:{s:1:"a";N;s:1:"b";N;}', lambda content: content[:0])


def test_deep_nesting_does_not_exhaust_the_stack() -> None:
    data = b"a:1:{i:0;" * 50_000 + b's:1:"x";' + b"}" * 50_000
    assert rewrite_strings(data, lambda content: content) == data
