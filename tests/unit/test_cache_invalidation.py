"""After a change by SQL, exactly the caches that hold it are dropped from a site's stores."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from vmoodle.errors import Refused
from vmoodle.moodle.caches.file_store import drop_from_files
from vmoodle.moodle.caches.invalidation import CACHES, Change, caches_of, invalidate
from vmoodle.moodle.caches.muc import SharedStore, shared_stores
from vmoodle.moodle.caches.redis_store import keys
from vmoodle.moodle.caches.stores import CachePlace, CacheStore, stores_of

# As Moodle 4.5 writes it (cache/classes/config_writer.php), with a negative number.
MUC = """<?php defined('MOODLE_INTERNAL') || die();
 $configuration = array (
  'siteidentifier' => 'abc',
  'stores' =>
  array (
    'default_application' => array (
      'name' => 'default_application', 'plugin' => 'file', 'configuration' => array (),
      'features' => 30, 'modes' => 3, 'default' => true, 'class' => 'cachestore_file',
    ),
    'fast' => array (
      'name' => 'fast', 'plugin' => 'redis',
      'configuration' => array ('server' => '10.0.0.9:6380', 'prefix' => 's1_', 'password' => 'pw'),
    ),
    'near' => array ('name' => 'near', 'plugin' => 'apcu', 'configuration' => array ()),
    'big disk' => array (
      'name' => 'big disk', 'plugin' => 'file', 'configuration' => array ('path' => '%s'),
    ),
  ),
  'modemappings' =>
  array (
    0 => array ('mode' => 1, 'store' => 'default_application', 'sort' => -1),
    1 => array ('mode' => 2, 'store' => 'default_session', 'sort' => -1),
  ),
  'definitionmappings' =>
  array (
    0 => array ('store' => 'near', 'definition' => 'core/roledefs', 'sort' => 1),
    1 => array ('store' => 'big disk', 'definition' => 'core/roledefs', 'sort' => 2),
    2 => array ('store' => 'gone', 'definition' => 'core/config', 'sort' => 1),
  ),
);
"""


@pytest.fixture
def place(tmp_path: Path) -> CachePlace:
    for cache in ("core_config", "core_roledefs", "core_string"):
        held = tmp_path / "cache" / "cachestore_file" / "default_application" / cache / "1-cache"
        held.mkdir(parents=True)
        (held / "1.cache").write_text("old")
    return CachePlace(tmp_path)


def held(place: CachePlace, store: str = "default_application") -> set[str]:
    return {path.name for path in (place.dataroot / "cache" / "cachestore_file" / store).iterdir()}


def configure(place: CachePlace, path: Path | str = "/nowhere") -> None:
    (place.dataroot / "muc").mkdir()
    place.configuration_file.write_text(MUC % path)


def test_a_change_of_a_setting_drops_the_cache_of_settings_and_no_other(place: CachePlace) -> None:
    assert invalidate(place, [Change.SETTINGS]).stale == ()
    assert held(place) == {"core_roledefs", "core_string"}


def test_several_changes_drop_each_cache_once(place: CachePlace) -> None:
    both = [Change.ROLE_ASSIGNMENTS, Change.ROLES]
    done = invalidate(place, [*both, Change.ROLE_PERMISSIONS, Change.SETTINGS])
    assert done.caches == ("core/config", "core/coursecontacts", "core/roledefs")
    assert held(place) == {"core_string"}


def test_what_moodle_reads_from_the_database_each_time_drops_nothing(place: CachePlace) -> None:
    assert invalidate(place, [Change.ROLE_ALLOWS, Change.ROLE_CONTEXT_LEVELS]).caches == ()
    assert len(held(place)) == 3


def test_every_change_has_its_caches_declared() -> None:
    assert set(CACHES) == set(Change)
    assert caches_of([]) == ()


def test_a_site_without_caches_has_nothing_to_drop(tmp_path: Path) -> None:
    assert invalidate(CachePlace(tmp_path), [Change.SETTINGS]).stale == ()
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_call_left_goes_with_the_next(place: CachePlace) -> None:
    store = place.dataroot / "cache" / "cachestore_file" / "default_application"
    (store / "core_string").rename(store / ".vmoodle-dropped-0123")
    invalidate(place, [Change.SETTINGS])
    assert held(place) == {"core_roledefs"}


def test_a_cache_directory_elsewhere_is_used_where_config_php_says_so(place: CachePlace) -> None:
    elsewhere = place.dataroot / "elsewhere"
    (place.dataroot / "cache").rename(elsewhere)
    invalidate(CachePlace(place.dataroot, cachedir=elsewhere), [Change.SETTINGS])
    names = {path.name for path in (elsewhere / "cachestore_file/default_application").iterdir()}
    assert names == {"core_roledefs", "core_string"}


def test_no_symbolic_link_leads_out_of_the_site(place: CachePlace, tmp_path: Path) -> None:
    other = tmp_path / "other"
    (other / "core_config").mkdir(parents=True)
    store = tmp_path / "cache" / "cachestore_file" / "default_application"
    store.rename(tmp_path / "aside")
    store.symlink_to(other)
    (stale,) = invalidate(place, [Change.SETTINGS]).stale
    assert stale.error.code == "cache.link"
    assert (other / "core_config").is_dir()


def test_a_link_in_the_place_of_a_cache_is_removed_and_not_followed(
    place: CachePlace, tmp_path: Path
) -> None:
    (tmp_path / "other" / "kept").mkdir(parents=True)
    store = tmp_path / "cache" / "cachestore_file" / "default_application"
    (store / "core_config").rename(tmp_path / "aside")
    (store / "core_config").symlink_to(tmp_path / "other")
    assert invalidate(place, [Change.SETTINGS]).stale == ()
    assert (tmp_path / "other" / "kept").is_dir()
    assert held(place) == {"core_roledefs", "core_string"}


def test_a_mapped_cache_is_dropped_where_it_is_mapped_and_what_is_out_of_reach_is_told(
    place: CachePlace, tmp_path: Path
) -> None:
    (tmp_path / "big" / "core_roledefs").mkdir(parents=True)
    configure(place, tmp_path / "big")
    done = invalidate(place, [Change.ROLE_PERMISSIONS, Change.SETTINGS])
    assert not (tmp_path / "big" / "core_roledefs").exists()
    assert held(place) == {"core_roledefs", "core_string"}
    (stale,) = done.stale
    assert (stale.store, stale.plugin, stale.caches) == ("near", "apcu", ("core/roledefs",))
    assert stale.error.code == "cache.store.unreached"
    assert "PHP-FPM" in stale.error.hint


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give a directory away")
def test_a_store_in_another_accounts_directory_is_left_alone(
    place: CachePlace, tmp_path: Path
) -> None:
    (tmp_path / "big" / "core_roledefs").mkdir(parents=True)
    os.chown(tmp_path / "big", 65534, 65534)
    store = CacheStore("big disk", "file", {"path": str(tmp_path / "big")})
    with pytest.raises(Refused) as refused:
        drop_from_files(place, store, ["core/roledefs"])
    assert refused.value.code == "cache.owner"
    assert (tmp_path / "big" / "core_roledefs").is_dir()


def test_the_configuration_may_be_elsewhere(place: CachePlace, tmp_path: Path) -> None:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "cacheconfig.php").write_text(MUC % "/x")
    elsewhere = CachePlace(tmp_path, configuration=tmp_path / "conf")
    stores = stores_of(elsewhere, ["core/roledefs", "core/config"])
    assert {store.name: caches for store, caches in stores.items()} == {
        "near": ["core/roledefs"],
        "big disk": ["core/roledefs"],
        "default_application": ["core/config"],
    }


def test_a_configuration_that_cannot_be_read_is_told(place: CachePlace) -> None:
    place.configuration_file.mkdir(parents=True)
    (stale,) = invalidate(place, [Change.SETTINGS]).stale
    assert stale.error.code == "cache.configuration"


def test_stores_of_a_real_file_are_found_and_show_no_password(place: CachePlace) -> None:
    configure(place)
    assert shared_stores(place.dataroot, "mdl_") == [
        SharedStore("redis", "10.0.0.9:6380", "s1_"),
        SharedStore("apcu", "", "mdl_"),
    ]
    (store,) = stores_of(CachePlace(place.dataroot), ["core/x"])
    assert "pw" not in repr(CacheStore("fast", "redis", {"password": "pw"}))
    assert store.name == "default_application"


def test_a_redis_key_is_what_moodle_computes() -> None:
    # md5("1 core config"), with the store's prefix.
    assert keys("s1_", ["core/config"]) == [
        "s1_1b088c226629b3fa247ff7ef67dad266",
        "s1_1b088c226629b3fa247ff7ef67dad266_ttl",
    ]
