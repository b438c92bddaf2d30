"""A site whose caches are in Redis: only its own, and only what has changed, is dropped there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from servers import free_port, wait_until
from vmoodle.moodle.caches.invalidation import Change, invalidate
from vmoodle.moodle.caches.redis_store import keys
from vmoodle.moodle.caches.stores import CachePlace

MUC = """<?php $configuration = array(
  'stores' => array('fast' => array('name' => 'fast', 'plugin' => 'redis', 'configuration' =>
    array('server' => '%s', 'prefix' => 's1_', 'password' => 'a Secret 1'))),
  'modemappings' => array(0 => array('mode' => 1, 'store' => 'fast', 'sort' => -1)),
);
"""


def place(directory: Path, server: str) -> CachePlace:
    (directory / "muc").mkdir()
    (directory / "muc" / "config.php").write_text(MUC % server)
    return CachePlace(directory)


@pytest.fixture
def redis_port() -> Iterator[int]:
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("no redis-server on this machine")
    port, directory = free_port(), tempfile.mkdtemp(prefix="vmoodle-redis-")
    options = {"port": port, "bind": "127.0.0.1", "save": "", "dir": directory}
    process = subprocess.Popen(
        [program, *(word for key, value in options.items() for word in (f"--{key}", str(value))),
         "--requirepass", "a Secret 1"],
        stdout=subprocess.DEVNULL,
        env=os.environ,
    )  # fmt: skip
    yield port
    process.terminate()
    process.wait()
    shutil.rmtree(directory, ignore_errors=True)


def test_what_has_changed_is_dropped_and_nothing_else(redis_port: int, tmp_path: Path) -> None:
    redis: Any = pytest.importorskip("redis")
    client = redis.Redis(port=redis_port, password="a Secret 1")

    def answers() -> bool:
        try:
            return bool(client.ping())
        except redis.ConnectionError:
            return False

    wait_until(answers, "Redis answers")
    config, _ttl = keys("s1_", ["core/config"])
    for key in (config, *keys("s1_", ["core/roledefs"]), *keys("s2_", ["core/config"])):
        client.hset(key, "core", "cached")
    assert invalidate(place(tmp_path, f"127.0.0.1:{redis_port}"), [Change.SETTINGS]).stale == ()
    left = {key.decode() for key in client.keys("*")}
    assert config not in left
    assert left == {*keys("s1_", ["core/roledefs"]), *keys("s2_", ["core/config"])}


def test_a_redis_that_does_not_answer_is_told_without_its_password(tmp_path: Path) -> None:
    pytest.importorskip("redis")
    done = invalidate(place(tmp_path, f"127.0.0.1:{free_port()}"), [Change.SETTINGS])
    assert [(stale.error.code, stale.caches) for stale in done.stale] == [
        ("cache.redis", done.caches)
    ]
    assert "Secret" not in repr(done)


def test_without_the_library_the_store_is_told_as_stale_and_what_to_do(tmp_path: Path) -> None:
    if "redis" in sys.modules or _installed():
        pytest.skip("the redis library is installed")
    (stale,) = invalidate(place(tmp_path, "127.0.0.1"), [Change.SETTINGS]).stale
    assert stale.error.code == "cache.redis.library"
    assert "vmoodle[redis]" in stale.error.hint


def _installed() -> bool:
    from importlib.util import find_spec

    return find_spec("redis") is not None
