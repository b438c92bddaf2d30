"""Hostile hosts and addresses: they reach no file outside the map and no site but their own."""

from __future__ import annotations

import base64
import json
import random
import re
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.hook_tree import STALE_SETTINGS, HookTree, ask, hook_tree, served, site

DRIVER = Path(__file__).parent / "hook_driver.php"
SEED = 20_240_229
LOCATED = 24_000
REQUESTED = 1_500
BATCH = 500

SITES = {
    "one": "https://one.test",
    "two": "https://two.test",
    "port": "http://port.test:8080",
    "root": "https://shared.test",
    "a": "https://shared.test/a",
    "b": "https://shared.test/b-2_c",
    "only": "https://paths.test/only",
    "muc": "https://münchen.test",
    "ip": "http://127.0.0.9",
}
ALIAS, SUSPENDED, DELETED = "alias.test", "suspended.test", "deleted.test"


def publish_fleet(tree: HookTree) -> None:
    """Publish sites of every kind."""
    fleet = [site(name, url) for name, url in SITES.items()]
    fleet[0] = replace(fleet[0], aliases=(ALIAS,))
    fleet.append(replace(site("asleep", f"https://{SUSPENDED}"), state="suspended"))
    tree.host_map.publish_all(fleet, tombstones=[DELETED])


# Every address that is in the map, written down here by hand: host -> segment -> the site's name.
ADDRESSES: dict[bytes, dict[bytes, str]] = {
    b"one.test": {b"": "one"},
    b"two.test": {b"": "two"},
    b"port.test": {b"": "port"},
    b"shared.test": {b"": "root", b"a": "a", b"b-2_c": "b"},
    b"paths.test": {b"only": "only"},
    b"xn--mnchen-3ya.test": {b"": "muc"},
    b"127.0.0.9": {b"": "ip"},
    b"alias.test": {b"": "alias"},
    b"suspended.test": {b"": "asleep"},
    b"deleted.test": {b"": "deleted"},
}


def oracle(host: bytes, uri: bytes) -> tuple[bytes, bytes] | None:
    """Return the host and segment that a request means, None when it may have no answer."""
    lowered = bytes(byte + 32 if 65 <= byte <= 90 else byte for byte in host)
    name, colon, port = lowered.partition(b":")
    if colon and not (re.fullmatch(rb"[0-9]{1,5}", port) and 0 < int(port) < 65536):
        return None
    segments = ADDRESSES.get(name.removesuffix(b"."))
    if segments is None or not uri.startswith(b"/"):
        return None
    first = unquote_to_bytes(re.split(rb"[/?#]", uri.lstrip(b"/"), maxsplit=1)[0])
    segment = first if first in segments else b""
    return (name.removesuffix(b"."), segment) if segment in segments else None


HOSTS = [*ADDRESSES, b"ONE.test", b"Two.Test", b"unknown.test", b"localhost", b"xn--"]
BAD_HOSTS = [
    b"x' OR 1=1 -- -",
    b"one.test' OR '1'='1",
    b"' UNION SELECT dbname, dbpass FROM mdl_config -- ",
    b"one.test'; DROP TABLE vmoodle; --",
    b"../one.test",
    b"..",
    b".",
    b"...",
    b"one.test/..",
    b"one.test/../two.test",
    b"..\\one.test",
    b"%2e%2e%2fone.test",
    b"one%2etest",
    b"../../../../../../etc/passwd",
    b"/etc/passwd",
    b"one.test\x00",
    b"\x00one.test",
    b"one.test\x00.evil.test",
    b"one.test.json",
    b"shared.test+a",
    b"shared.test/a",
    b"../cli/one",
    b"http://one.test/",
    b"https://one.test",
    b"//one.test",
    b"user@one.test",
    b"user:word@one.test",
    b"[::1]",
    b"[::1]:80",
    b"[one.test]",
    b"fe80::1",
    b"::",
    b"one.test:0",
    b"one.test:00000",
    b"one.test:65536",
    b"one.test:99999999",
    b"one.test:80:80",
    b"one.test:",
    b"one.test:-1",
    b"one.test:8o",
    b"one.test..",
    b"one.test.:80.",
    b".one.test",
    b"one..test",
    b"one.test ",
    b" one.test",
    b"one.test\t",
    b"one .test",
    b"one.test, two.test",
    b"one.test,two.test",
    b"one.test;two.test",
    b"one.test\\",
    b"-one.test",
    b"one-.test",
    b"one_test",
    b"m\xc3\xbcnchen.test",
    b"m\xfcnchen.test",
    "\uff4f\uff4e\uff45.test".encode(),
    "one。test".encode(),
    "ONE.te\u017ft".encode(),
    b"php://filter/resource=one.test",
    b"data:,one",
    b"file:///etc/passwd",
    b"phar://one.test",
    b"${HOST}",
    b"<script>alert(1)</script>",
    b"one.test<!--",
    b"(),{}",
    b"*",
    b"a" * 10_000,
    b"one.test" + b"." * 10_000,
    b"one.test:" + b"0" * 10_000 + b"80",
    b"a." * 5_000 + b"test",
    b"../" * 3_000,
    b"a" * 64 + b".test",
]
JUNK = [
    b"", b"'", b'"', b"--", b";", b"/", b"\\", b"..", b"../", b"%2e%2e/", b"%2f", b"%00", b"\x00",
    b" ", b"\t", b"\x01", b"\x7f", b"\x80", b"\xff", "é".encode(), b":", b":80", b":0", b":65536",
    b"@", b"#", b"?", b"+", b"+a", b".json", b".", b"-", b"_", b"[", b"]", b"%", b"*", b"A", b"0",
    b" OR 1=1", b" UNION SELECT 1", b"web/", b"cli/", b"test", b"one",
]  # fmt: skip
URIS = [
    b"/", b"", b"/a", b"/a/", b"/A", b"/only/x", b"/b-2_c/login/index.php?x=1", b"/?/a", b"/#/a",
    b"//a", b"///only", b"//evil.test/a", b"/\\a", b"/%61", b"/%61/", b"/%2561", b"/a%00", b"/a%2f",
    b"/%2e%2e/a", b"/../a", b"/./a", b"/a/../b-2_c", b"/..%2fweb%2fone.test", b"/a.json",
    b"/..", b"/%2e%2e%2fcli%2fone", b"/a\x00", b"/a%0a", b"/a ", b"a", b"*", b"http://two.test/",
    b"https://two.test/a", b"/a;b", b"/a'--", b"/only%3f", b"/" + b"a" * 10_000, b"/%",
    b"/%zz", b"/a%", b"/%c0%ae%c0%ae/a", b"/?a=/only", b"/only?x", b"/only#x", b"/a+b", b"/%2ba",
]  # fmt: skip


def hostile_host(dice: random.Random) -> bytes:
    """Return a host: a bad one, a good one spoiled, or noise."""
    kind = dice.random()
    if kind < 0.3:
        return dice.choice(BAD_HOSTS)
    if kind < 0.5:
        return dice.choice(HOSTS) + dice.choice([b"", b".", b":80", b".:8080", b":65535", b":1"])
    if kind < 0.85:
        host = dice.choice(HOSTS)
        for _time in range(dice.randint(1, 3)):
            place = dice.randint(0, len(host))
            host = host[:place] + dice.choice(JUNK) + host[place + dice.randint(0, 1) :]
        return host
    return dice.randbytes(dice.randint(0, 40))


def hostile_uri(dice: random.Random) -> bytes:
    """Return the target of a request, good or bad."""
    kind = dice.random()
    if kind < 0.7:
        return dice.choice(URIS)
    if kind < 0.9:
        return b"/" + b"".join(dice.choice(JUNK) for _time in range(dice.randint(1, 5)))
    return b"/" + dice.randbytes(dice.randint(0, 30))


_LABEL = rb"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?"
PLAIN_HOST = re.compile(rb"(?=.{1,63}\Z)" + _LABEL + rb"(?:\." + _LABEL + rb")*")


class Driver:
    """One PHP process that tells what the hook and the short way of config.php locate."""

    def __init__(self, tree: HookTree) -> None:
        self.short = 0
        hook = tree.map_directory.parent / "hook" / "hook.php"
        self._process = subprocess.Popen(
            ["php", str(DRIVER), str(hook), str(tree.map_directory),
             str(tree.directory / "config.php")],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="ascii",
        )  # fmt: skip

    def locate(self, asked: list[tuple[bytes, bytes]]) -> list[str | None]:
        """Return the file for each host and URI; the short way must mean the same or stand back."""
        assert self._process.stdin
        assert self._process.stdout
        answers: list[str | None] = []
        for host, uri in asked:
            pair = {"host": base64.b64encode(host).decode(), "uri": base64.b64encode(uri).decode()}
            self._process.stdin.write(json.dumps(pair) + "\n")
            self._process.stdin.flush()
            file, short = json.loads(self._process.stdout.readline())
            if short is not None and short != file:
                # A host that is plain, and not in the map: the long way says 404.
                assert file is None, (host[:80], uri[:80], short)
                assert PLAIN_HOST.fullmatch(host), (host[:80], short)
                assert not Path(short).exists(), (host[:80], uri[:80], short)
            self.short += short is not None and short == file
            answers.append(file)
        return answers

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin
        self._process.stdin.close()
        assert self._process.wait(timeout=30) == 0


@pytest.fixture(scope="module")
def tree() -> Iterator[HookTree]:
    with hook_tree() as made:
        publish_fleet(made)
        yield made


@pytest.fixture(scope="module")
def driver(tree: HookTree) -> Iterator[Driver]:
    made = Driver(tree)
    yield made
    made.close()


def expected_file(tree: HookTree, host: bytes, uri: bytes) -> str | None:
    means = oracle(host, uri)
    if means is None:
        return None
    name = b"+".join(part for part in means if part).decode()
    return str(tree.web / f"{name}.json")


def test_thousands_of_hostile_hosts_find_the_file_of_their_own_address_or_none(
    tree: HookTree, driver: Driver
) -> None:
    dice = random.Random(SEED)  # noqa: S311
    present = {str(path) for path in tree.web.iterdir()}
    found: set[str] = set()
    for _batch in range(LOCATED // BATCH):
        asked = [(hostile_host(dice), hostile_uri(dice)) for _time in range(BATCH)]
        for (host, uri), file in zip(asked, driver.locate(asked), strict=True):
            assert file == expected_file(tree, host, uri), (host[:80], uri[:80])
            found |= {file} if file else set()
    assert found == present
    assert driver.short > 100


@pytest.mark.parametrize("host", BAD_HOSTS, ids=lambda host: repr(host)[:40])
def test_a_bad_host_finds_no_file_whatever_the_uri(driver: Driver, host: bytes) -> None:
    assert driver.locate([(host, uri) for uri in URIS]) == [None] * len(URIS)


_NOISE = st.one_of(
    st.binary(max_size=60),
    st.text(max_size=40).map(str.encode),
    st.lists(st.sampled_from(HOSTS + JUNK), max_size=6).map(b"".join),
)


@settings(
    max_examples=2_000, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(host=_NOISE, uri=_NOISE.map(b"/".__add__))
def test_any_host_and_uri_find_the_file_of_their_own_address_or_none(
    tree: HookTree, driver: Driver, host: bytes, uri: bytes
) -> None:
    assert driver.locate([(host, uri)]) == [expected_file(tree, host, uri)]


def carried(host: bytes, uri: bytes) -> bool:
    """Tell whether a request line and a header can carry these bytes as they are."""
    line = re.compile(rb"[\x00\r\n]")
    return (
        not line.search(host)
        and not re.search(rb"[\x00-\x20\x7f-\xff#]", uri)
        and host == host.strip(b" \t")
    )


def test_hostile_requests_over_http_get_no_200_no_other_site_and_no_path(tree: HookTree) -> None:
    dice = random.Random(SEED + 1)  # noqa: S311
    secret = [str(tree.map_directory), str(tree.directory), "password-of", "hook.php", "Warning"]
    served_hosts = 0
    with served(tree, STALE_SETTINGS, workers=4) as server:
        for _time in range(REQUESTED):
            host, uri = hostile_host(dice), hostile_uri(dice)
            answer = ask(server, host, uri)
            if answer is None:
                continue
            said = (host[:80], uri[:80], answer.status)
            for word in secret:
                assert word not in answer.body, said
                assert word not in str(answer.headers), said
            if answer.status == 200:
                name = json.loads(answer.body)["dbname"].removeprefix("database_of_")
                # What HTTP cannot carry as it is may arrive shortened: of that host all the same.
                assert name in ADDRESSES.get(_name(host), {}).values(), said
                if carried(host, uri):
                    means = oracle(host, uri)
                    assert means is not None, said
                    assert name == ADDRESSES[means[0]][means[1]], said
                served_hosts += 1
            else:
                assert "database_of" not in answer.body, said
                for url in SITES.values():
                    assert url not in answer.body, said
                location = answer.headers.get("location", "https://one.test/")
                assert location.startswith("https://one.test/"), said
    assert served_hosts > 100


def _name(host: bytes) -> bytes:
    return host.strip(b" \t").split(b"\x00")[0].lower().partition(b":")[0].removesuffix(b".")
