"""A real Moodle whose caches are in Redis: what SQL changes shows once its keys are dropped."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests import servers
from tests.moodle.running_site import RunningSite, running_site
from tests.trees import on_real_trees

from vmoodle.moodle.caches.invalidation import Change, invalidate
from vmoodle.moodle.config.names import parse_setting
from vmoodle.moodle.config.settings import set_settings
from vmoodle.moodle.php.binary import PhpBinary, find_php

SETTING = parse_setting("supportname")
USE_REDIS = """
$writer = cache_config_writer::instance();
$writer->add_store_instance('fast', 'redis', ['server' => '127.0.0.1:%d', 'prefix' => 'p_']);
$writer->set_mode_mappings([cache_store::MODE_APPLICATION => ['fast'],
    cache_store::MODE_SESSION => ['default_session'],
    cache_store::MODE_REQUEST => ['default_request']]);
"""


@pytest.fixture
def redis_port() -> Iterator[int]:
    pytest.importorskip("redis")
    program = shutil.which("redis-server")
    if program is None or "redis" not in PhpBinary(find_php(None)).facts().extensions:
        pytest.skip("no redis-server, or no redis extension of PHP")
    port, directory = servers.free_port(), tempfile.mkdtemp(prefix="vmoodle-redis-")
    process = subprocess.Popen(
        [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", directory],
        stdout=subprocess.DEVNULL,
    )
    yield port
    process.terminate()
    process.wait()
    shutil.rmtree(directory, ignore_errors=True)


def shown(site: RunningSite) -> str:
    return site.run(f"echo get_config('core', '{SETTING.name}');")


@on_real_trees
def test_a_setting_shows_once_its_key_is_dropped(
    real_tree: Path, redis_port: int, database_urls: dict[str, str]
) -> None:
    with running_site(real_tree, database_urls["maria"]) as site:
        site.run(USE_REDIS % redis_port)
        with site.inside() as connection:
            set_settings(connection, {SETTING: "Before"}, create=True)
        invalidate(site.place, [Change.SETTINGS])
        assert shown(site) == "Before"
        with site.inside() as connection:
            set_settings(connection, {SETTING: "After"})
        assert shown(site) == "Before"
        assert invalidate(site.place, [Change.SETTINGS]).stale == ()
        assert shown(site) == "After"
