"""Cache stores are read from Moodle's own file, without running it."""

from __future__ import annotations

from pathlib import Path

from vmoodle.moodle.caches.muc import SharedStore, shared_stores

MUC = """<?php defined('MOODLE_INTERNAL') || die();
 $configuration = array (
  'siteidentifier' => 'abc',
  'stores' =>
  array (
    'default_application' =>
    array (
      'name' => 'default_application',
      'plugin' => 'file',
      'configuration' =>
      array (
      ),
    ),
    'fast' =>
    array (
      'name' => 'fast',
      'plugin' => 'redis',
      'configuration' =>
      array (
        'server' => '127.0.0.1:6379',
        'prefix' => '%s',
        'serializer' => 1,
      ),
      'default' => false,
    ),
    'near' =>
    array (
      'plugin' => 'apcu',
      'configuration' => array (),
    ),
  ),
);
"""


def write(tmp_path: Path, text: str) -> Path:
    (tmp_path / "muc").mkdir()
    (tmp_path / "muc" / "config.php").write_text(text)
    return tmp_path


def test_stores_in_shared_memory_are_found_with_their_prefix(tmp_path: Path) -> None:
    assert shared_stores(write(tmp_path, MUC % "s1_"), "mdl_") == [
        SharedStore("redis", "127.0.0.1:6379", "s1_"),
        SharedStore("apcu", "", "mdl_"),
    ]


def test_a_store_without_prefix_has_moodles_default(tmp_path: Path) -> None:
    assert shared_stores(write(tmp_path, MUC % ""), "mdl_")[0].prefix == ""


def test_a_site_whose_moodle_wrote_no_file_yet_has_none(tmp_path: Path) -> None:
    assert shared_stores(tmp_path, "mdl_") == []


def test_a_file_that_is_no_configuration_has_none(tmp_path: Path) -> None:
    assert shared_stores(write(tmp_path, "<?php echo 1;"), "mdl_") == []
