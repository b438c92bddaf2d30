"""Code trees: versions read without PHP, layouts, scripts, and the hash of all versions."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
from pathlib import Path

import pytest
from tests.trees import make_tree, on_real_trees

from vmoodle.errors import InvalidInput
from vmoodle.moodle.code.components import plugins
from vmoodle.moodle.code.tree import MoodleTree
from vmoodle.moodle.code.version import read_plugin_version, read_version
from vmoodle.moodle.code.versions import all_versions_hash
from vmoodle.moodle.php.binary import find_php
from vmoodle.moodle.php.source import Number, assignments

# config.allversionshash of fresh installs of these versions (core version: hash).
INSTALLED_HASHES = {
    "2024100705.01": "481d8e708922d828a2b220c801491a30a3dc30dc",
    "2025100600.02": "1f9ac26fb81dea98ecac5249c631797c5e83d1a7",
}


@pytest.mark.parametrize(
    ("written", "version", "series"),
    [
        ("$version = 2024100705.01; $release = '4.5.5+ (Build: 1)';", "2024100705.01", "4.5"),
        ("$version=2024100700.00;$release=\"4.5\";$branch='405';", "2024100700", "4.5"),
        ("$version = 2021051709.10; $release = '3.11.9';", "2021051709.1", "3.11"),
        ("$version = 2019052000; $release='x'; $branch = '37';", "2019052000", "3.7"),
        ("# $version = 1;\n$version = /* 2; */ 3.50; $release = '5.1dev';", "3.5", "5.1"),
        ("$release = '4.1 // no comment; $version = 9;'; $version = 7;", "7", "4.1"),
    ],
)
def test_a_version_is_read_as_moodle_stores_it(
    tmp_path: Path, written: str, version: str, series: str
) -> None:
    file = tmp_path / "version.php"
    file.write_text(f"<?php\n{written}\n", encoding="utf-8")

    found = read_version(file)

    assert (found.version, found.series) == (version, series)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "<?php // $version = 1; $release = '4.5';",
        "$version = 1; $release = '4.5';",
        "<?php $version = '1.0'; $release = '4.5';",
        "<?php $version = 1 + 1; $release = '4.5';",
        "<?php $version = 2024100705;",
        "<?php $version = 2024100705; $release = 'WordPress';",
        "\0\xff" * 100,
    ],
)
def test_a_version_php_that_is_not_moodles_is_refused(tmp_path: Path, content: str) -> None:
    file = tmp_path / "version.php"
    file.write_text(content, encoding="utf-8")

    with pytest.raises(InvalidInput) as caught:
        read_version(file)

    assert caught.value.code == "codebase.version"


def test_a_plugins_version_php_tells_what_it_needs(tmp_path: Path) -> None:
    file = tmp_path / "version.php"
    file.write_text(
        """<?php
        $plugin->version   = 2024100700;
        $plugin->component = 'mod_example';
        $plugin->requires  = 2024100100.05;
        $plugin->supported = [404, 405];
        $plugin->maturity  = MATURITY_BETA;
        $plugin->dependencies = array('mod_forum' => 2024100700, 'mod_x' => ANY_VERSION,);
        """,
        encoding="utf-8",
    )

    plugin = read_plugin_version(file)

    assert plugin.version == Number("2024100700")
    assert plugin.component == "mod_example"
    assert plugin.requires == "2024100100.05"
    assert plugin.supported == ("404", "405")
    assert plugin.maturity == "beta"
    assert plugin.dependencies == {"mod_forum": "2024100700", "mod_x": "ANY_VERSION"}


def test_chained_assignments_and_the_older_name_are_understood() -> None:
    values = assignments("<?php $plugin->version = $module->version = 2012;")

    assert values == {"$plugin->version": Number("2012"), "$module->version": Number("2012")}


@pytest.mark.parametrize("public", [False, True])
def test_both_layouts_are_recognised(tmp_path: Path, public: bool) -> None:
    root = make_tree(tmp_path / "tree", public=public)

    tree = MoodleTree.open(root)

    assert tree.layout == ("public" if public else "classic")
    assert tree.webroot == (root / "public" if public else root)
    assert tree.config_path == root / "config.php"
    assert tree.segments() >= {"index.php", "lib", "version.php"}


def test_a_symbolic_link_to_a_tree_is_the_tree_itself(tmp_path: Path) -> None:
    root = make_tree(tmp_path / "tree")
    (tmp_path / "current").symlink_to(root)

    assert MoodleTree.open(tmp_path / "current").root == root


def test_a_tree_that_is_no_moodle_is_refused_and_told_what_is_missing(tmp_path: Path) -> None:
    root = make_tree(tmp_path / "tree")
    (root / "lib" / "setup.php").unlink()
    (root / "index.php").unlink()

    with pytest.raises(InvalidInput, match=r"index\.php, lib/setup\.php are missing") as caught:
        MoodleTree.open(root)

    assert caught.value.code == "codebase.notmoodle"


def test_the_public_directory_alone_is_refused_with_the_right_one_named(tmp_path: Path) -> None:
    root = make_tree(tmp_path / "tree", public=True)

    with pytest.raises(InvalidInput) as caught:
        MoodleTree.open(root / "public")

    assert str(root) in caught.value.hint


@pytest.mark.parametrize("path", ["/nowhere/at/all", "", "a\0b", "/etc/hostname", "x" * 5000])
def test_a_path_that_is_no_directory_is_refused(path: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        MoodleTree.open(path)

    assert caught.value.code == "codebase.notmoodle"


@pytest.mark.parametrize("public", [False, True])
def test_scripts_are_found_from_the_top_and_in_the_web_root(tmp_path: Path, public: bool) -> None:
    web = "public/" if public else ""
    root = make_tree(
        tmp_path / "tree", public=public, files={f"{web}local/x/cli/do.php": "<?php\n"}
    )
    tree = MoodleTree.open(root)

    assert tree.script("admin/cli/cron.php") == root / "admin/cli/cron.php"
    assert tree.script(str(root / "admin/cli/cron.php")) == root / "admin/cli/cron.php"
    assert tree.script("local/x/cli/do.php") == root / web / "local/x/cli/do.php"


@pytest.mark.parametrize(
    "name",
    [
        "../outside.php",
        "admin/cli/../../../outside.php",
        "OUTSIDE",
        "link.php",
        "linked/outside.php",
        "admin/cli",
        "admin/cli/none.php",
        "readme.txt",
        "",
        "admin/cli/cron.php\0.txt",
        "x" * 5000 + ".php",
        "-r.php",
    ],
)
def test_a_script_that_is_not_in_the_tree_is_refused(tmp_path: Path, name: str) -> None:
    outside = tmp_path / "outside" / "outside.php"
    outside.parent.mkdir()
    outside.write_text("<?php\n", encoding="utf-8")
    root = make_tree(tmp_path / "tree", files={"readme.txt": "text"})
    (root / "link.php").symlink_to(outside)
    (root / "linked").symlink_to(outside.parent)

    with pytest.raises(InvalidInput) as caught:
        MoodleTree.open(root).script(name.replace("OUTSIDE", str(outside)))

    assert caught.value.code == "exec.script"


def test_the_hash_of_all_versions_is_that_of_phps_serialize(tmp_path: Path) -> None:
    components = {
        "plugintypes": {"mod": "mod", "auth": "auth", "tool": "admin/tool", "local": "local"},
        "subsystems": {"grades": "grade", "access": None},
    }
    root = make_tree(
        tmp_path / "tree",
        files={
            "lib/components.json": json.dumps(components),
            "version.php": "<?php $version = 2024100700.00; $release = '4.5';",
            "mod/quiz/version.php": "<?php $plugin->version = 2024100700;",
            "mod/quiz/db/subplugins.json": '{"plugintypes": {"quizaccess": "mod/quiz/rule"}}',
            "mod/quiz/rule/timelimit/version.php": "<?php $plugin->version = 2024100701.50;",
            "mod/with_underscore/version.php": "<?php $plugin->version = 1;",
            "mod/grades/version.php": "<?php $plugin->version = 1;",
            "auth/db/version.php": "<?php $plugin->version = 3;",
            "auth/tests/version.php": "<?php $plugin->version = 1;",
            "local/silent/lib.php": "<?php\n",
        },
    )
    tree = MoodleTree.open(root)
    php = (
        "ini_set('serialize_precision', -1); echo sha1(serialize(['core' => 2024100700.00,"
        " 'mod_quiz' => 2024100700, 'auth_db' => 3, 'local_silent' => null,"
        " 'quizaccess_timelimit' => 2024100701.50]));"
    )
    expected = subprocess.run(
        [find_php(), "-r", php], capture_output=True, text=True, check=True
    ).stdout

    assert [plugin.component for plugin in plugins(tree)] == [
        "mod_quiz",
        "auth_db",
        "local_silent",
        "quizaccess_timelimit",
    ]
    assert all_versions_hash(tree) == expected
    assert len(expected) == hashlib.sha1(usedforsecurity=False).digest_size * 2


def test_a_tree_without_its_list_of_components_is_refused(tmp_path: Path) -> None:
    tree = MoodleTree.open(make_tree(tmp_path / "tree"))

    with pytest.raises(InvalidInput) as caught:
        all_versions_hash(tree)

    assert caught.value.code == "codebase.components"


@on_real_trees
def test_a_real_tree_is_read_whole(real_tree: Path) -> None:
    tree = MoodleTree.open(real_tree)

    assert re.fullmatch(r"\d{10}(\.\d+)?", tree.version.version)
    assert tree.version.release.startswith(tree.version.series)
    assert tree.script("admin/cli/cron.php").is_file()
    assert len(list(plugins(tree))) > 300
    assert all(plugin.read().version is not None for plugin in plugins(tree))


@on_real_trees
def test_the_hash_of_a_real_tree_is_the_one_its_installer_stored(real_tree: Path) -> None:
    tree = MoodleTree.open(real_tree)
    if tree.version.version not in INSTALLED_HASHES:
        pytest.skip(f"no install of {tree.version.version} was recorded")

    assert all_versions_hash(tree) == INSTALLED_HASHES[tree.version.version]
