"""The hashes of a tree's versions, beside what Moodle's own class makes of the same files."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.trees import make_tree, on_real_trees

from vmoodle.errors import InvalidInput
from vmoodle.moodle.code.components import plugins
from vmoodle.moodle.code.tree import MoodleTree
from vmoodle.moodle.code.version import read_plugin_version
from vmoodle.moodle.code.versions import all_components_hash, all_versions_hash
from vmoodle.moodle.php.binary import PhpBinary, find_php
from vmoodle.sandbox import copy_tree

_ASK = """
define('CLI_SCRIPT', true);
define('ABORT_AFTER_CONFIG', true);
define('CACHE_DISABLE_ALL', true);
define('IGNORE_COMPONENT_CACHE', true);
ini_set('error_log', '/dev/null');
ini_set('display_errors', '0');
global $CFG;
$CFG = new stdClass();
$CFG->wwwroot = 'http://localhost';
$CFG->dataroot = $argv[2];
$CFG->admin = 'admin';
$CFG->directorypermissions = 0700;
require $argv[1];
$class = class_exists('core\\\\component') ? 'core\\\\component' : 'core_component';
echo '>', $class::get_all_versions_hash(), ' ', $class::get_all_component_hash();
"""
MANY_WAYS = {
    "local/plain/version.php": "<?php $plugin->version = 2024010100;",
    "local/silent/lib.php": "<?php",
    "local/text/version.php": "<?php $plugin->version = '2024010100';",
    "local/decimal/version.php": "<?php $plugin->version = 2024010100.50;",
    "local/whole/version.php": "<?php $plugin->version = 2024010100.00;",
    "local/huge/version.php": "<?php $plugin->version = 20240101000000000000;",
    "local/negative/version.php": "<?php $plugin->version = -3;",
    "local/nothing/version.php": "<?php $plugin->version = null;",
    "local/twice/version.php": "<?php $plugin->version = 1; $plugin->version = 2;",
    "local/older/version.php": "<?php $module->version = 2012010100;",
    "local/ownobject/version.php": "<?php $plugin = new stdClass(); $plugin->version = 7;",
    "local/otherobject/version.php": "<?php $module = new stdClass(); $module->version = 8;",
    "local/renamed/version.php": "<?php $module = new stdClass; $plugin = $module; "
    "$module->version = 9;",
    "local/guarded/version.php": "<?php if (!defined('MOODLE_INTERNAL')) { die('No.'); }\n"
    "$plugin->version = 10; // $plugin->version = 11;",
    "local/crlf/version.php": "<?php\r\n$plugin->version = 12;\r\n",
    "local/with__two/version.php": "<?php $plugin->version = 1;",
    "local/Upper/version.php": "<?php $plugin->version = 1;",
    "local/x/version.php": "<?php $plugin->version = 1;",
    "local/tests/version.php": "<?php $plugin->version = 1;",
    "mod/debug/version.php": "<?php $plugin->version = 13;",  # a subsystem without a directory
    "mod/course/version.php": "<?php $plugin->version = 1;",  # one with a directory
    "mod/under_score/version.php": "<?php $plugin->version = 1;",
    "theme/own/version.php": "<?php $plugin->version = 14;",
    "admin/tool/own/version.php": "<?php $plugin->version = 15;",
    "local/parent/version.php": "<?php $plugin->version = 16;",
    "local/parent/db/subplugins.json": json.dumps(
        {
            "plugintypes": {
                "parentone": "local/parent/one", "debug": "local/parent/debug",
                "gone": "local/parent/gone", "mod": "local/parent/one", "Bad": "local/parent/one",
            },
            "subplugintypes": {
                "parentone": "one", "debug": "debug", "gone": "gone", "mod": "one", "Bad": "one",
            },
        }
    ),
    "local/parent/one/child/version.php": "<?php $plugin->version = 17;",
    "local/parent/one/child/db/install.xml": "<XMLDB/>",
    "local/parent/debug/child/version.php": "<?php $plugin->version = 18;",
    "local/elder/version.php": "<?php $plugin->version = 19;",
    "local/elder/db/subplugins.json": '{"plugintypes": {"elder": "local/elder/sub"}}',
    "local/elder/sub/child/version.php": "<?php $plugin->version = 20;",
    "local/broken/version.php": "<?php $plugin->version = 21;",
    "local/broken/db/subplugins.json": '{"plugintypes": {"broken": "local/broken/sub"',
    "local/broken/sub/child/version.php": "<?php $plugin->version = 22;",
}  # fmt: skip


@pytest.fixture
def own_tree(real_tree: Path, tmp_path: Path) -> Iterator[MoodleTree]:
    """A copy of a real tree, with plugins that say their versions in every way there is."""
    copy = tmp_path / "tree"
    shutil.copytree(real_tree, copy, copy_function=_link, symlinks=True)
    tree = MoodleTree.open(copy)
    for name, text in MANY_WAYS.items():
        path = tree.webroot / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    yield tree
    shutil.rmtree(copy)


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _as_moodle_says(tree: MoodleTree, scratch: Path) -> list[str]:
    scratch.mkdir(mode=0o777, exist_ok=True)
    setup = str(tree.webroot / "lib" / "setup.php")
    said = PhpBinary(find_php(None)).ask(_ASK, args=[setup, str(scratch)]).decode()
    return said.rpartition(">")[2].split()


@on_real_trees
def test_both_hashes_are_those_of_moodles_own_class(real_tree: Path, tmp_path: Path) -> None:
    tree = MoodleTree.open(real_tree)

    assert [all_versions_hash(tree), all_components_hash(tree)] == _as_moodle_says(
        tree, tmp_path / "scratch"
    )


@on_real_trees
def test_every_way_to_say_a_version_counts_as_in_moodle(
    own_tree: MoodleTree, real_tree: Path, tmp_path: Path
) -> None:
    assert all_versions_hash(own_tree) != all_versions_hash(MoodleTree.open(real_tree))
    assert [all_versions_hash(own_tree), all_components_hash(own_tree)] == _as_moodle_says(
        own_tree, tmp_path / "scratch"
    )
    assert "mod_debug" in {plugin.component for plugin in plugins(own_tree)}


@on_real_trees
def test_until_4_5_subplugins_are_told_by_php_too(
    own_tree: MoodleTree, real_tree: Path, tmp_path: Path
) -> None:
    if own_tree.layout == "public":
        pytest.skip("Moodle 5 refuses such a plugin")
    file = own_tree.webroot / "local" / "plain" / "db" / "subplugins.php"
    file.parent.mkdir()
    file.write_text("<?php $subplugins = array('plainkind' => 'local/plain/kind');")
    child = own_tree.webroot / "local" / "plain" / "kind" / "child" / "version.php"
    child.parent.mkdir(parents=True)
    child.write_text("<?php $plugin->version = 23;")

    assert all_versions_hash(own_tree) == _as_moodle_says(own_tree, tmp_path / "scratch")[0]


@pytest.mark.parametrize("release", ["4.5", "5.0", "5.1"])
def test_the_sandbox_counts_them_as_moodle_does(tmp_path: Path, release: str) -> None:
    tree = MoodleTree.open(copy_tree(tmp_path / "tree", release=release))
    for name, text in MANY_WAYS.items():
        path = tree.webroot / name.replace("mod/debug", "mod/access").replace(
            "mod/course", "mod/admin"
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    code = (
        "define('CACHE_DISABLE_ALL', true); define('MOODLE_INTERNAL', true);"
        " define('MATURITY_STABLE', 200);"
        " $CFG = (object)['dirroot' => $argv[1], 'root' => $argv[2]];"
        " $CFG->libdir = $CFG->dirroot . '/lib';"
        " require $argv[1] . '/lib/componentlib.php';"
        " echo component_versions_hash(), ' ', component_directories_hash();"
    )
    args = [str(tree.webroot), str(tree.root)]
    said = PhpBinary(find_php(None)).ask(code, args=args).decode().split()

    assert [all_versions_hash(tree), all_components_hash(tree)] == said
    assert "mod_access" in {plugin.component for plugin in plugins(tree)}


@pytest.mark.parametrize(
    "source",
    [
        "$plugin->version = 2024 * 1000000;",
        "$plugin->version = VERSION;",
        "$plugin->version = true;",
        "$plugin->version = 2024_01_01_00;",
        "if (PHP_VERSION_ID > 80000) { $plugin->version = 2; } else { $plugin->version = 1; }",
        "if (PHP_VERSION_ID > 80000) $plugin->version = 2;",
        "require __DIR__ . '/numbers.php';",
        "$plugin->version = 1; return; $plugin->version = 2;",
        "$plugin = make(); $plugin->version = 1;",
        "$plugin->version = 1; $plugin->version += 1;",
    ],
)
def test_a_version_that_only_php_can_tell_is_never_guessed(tmp_path: Path, source: str) -> None:
    root = make_tree(
        tmp_path / "tree",
        files={
            "lib/components.json": json.dumps({"plugintypes": {"local": "local"}}),
            "local/clever/version.php": f"<?php {source}",
        },
    )

    assert read_plugin_version(root / "local/clever/version.php").computed
    with pytest.raises(InvalidInput, match=r"clever/version\.php") as caught:
        all_versions_hash(MoodleTree.open(root))

    assert caught.value.code == "codebase.version.computed"
