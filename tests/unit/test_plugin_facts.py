"""Plugins on disk without PHP, and the order of plugins, without a database."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.trees import on_real_trees

from vmoodle.errors import InvalidInput
from vmoodle.fleet.commands.plugins import Source, States
from vmoodle.fleet.parameters import given, schema
from vmoodle.moodle.code.tree import MoodleTree
from vmoodle.moodle.plugins.code import read_plugin_code
from vmoodle.moodle.plugins.order import arranged
from vmoodle.moodle.plugins.rules import PluginState
from vmoodle.sandbox import copy_tree


@pytest.mark.parametrize("release", ["4.5", "5.1"])
def test_plugins_on_disk_are_read_in_both_layouts(release: str, tmp_path: Path) -> None:
    root = copy_tree(tmp_path / "tree", release=release)
    web = root / "public" if release == "5.1" else root
    for name, content in (
        ("mod/own/version.php", "<?php $plugin->version = 2026010100.50;"),
        ("mod/broken/version.php", "<?php $plugin->version = now();"),
        ("mod/nothing/lib.php", "<?php"),
    ):
        (web / name).parent.mkdir()
        (web / name).write_text(content)
    code = read_plugin_code(MoodleTree.open(root))
    assert code.versions["mod_own"] == "2026010100.5"
    assert code.versions["mod_broken"] == ""
    assert "mod_nothing" not in code.versions
    assert code.paths["mod_own"] == web / "mod" / "own"
    assert {"mod_page", "theme_boost", "logstore_standard"} <= code.standard
    assert not {"mod_own", "mod_broken"} & code.standard
    assert code.core.startswith("20")


def test_older_releases_name_their_own_plugins_in_php(tmp_path: Path) -> None:
    root = copy_tree(tmp_path / "tree")
    (root / "lib" / "plugins.json").unlink()
    with pytest.raises(InvalidInput) as error:
        read_plugin_code(MoodleTree.open(root))
    assert error.value.code == "codebase.components"
    file = root / "lib" / "classes" / "plugin_manager.php"
    file.parent.mkdir(exist_ok=True)
    file.write_text(
        "<?php class core_plugin_manager { public static function standard_plugins_list($type) {"
        " $standard_plugins = array('mod' => array('page', 'quiz'), 'auth' => array('manual'));"
        " } }"
    )
    standard = read_plugin_code(MoodleTree.open(root)).standard
    assert standard == {"mod_page", "mod_quiz", "auth_manual"}


@on_real_trees
def test_every_plugin_of_a_real_tree_is_found_and_its_version_told(real_tree: Path) -> None:
    code = read_plugin_code(MoodleTree.open(real_tree))
    # This machine's 5.1.0 comes without it.
    assert code.standard - set(code.versions) <= {"mlbackend_php"}
    assert all(code.versions.values())


def test_an_order_keeps_the_places_of_plugins_it_does_not_name() -> None:
    assert arranged("xbya", "ab") == ("x", "a", "y", "b")
    assert arranged("ba", "cab", more="c") == ("a", "b", "c")
    assert arranged("ba", "cab") == ("a", "b")


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["mod_forum"], "plugin.word"),
        (["forum=enabled"], "plugin.word"),
        (["mod_forum=on"], "plugin.word"),
        (["mod_forum=enabled", "mod_forum=disabled"], "plugin.word"),
        (["mod_forum=available"], "plugin.state"),
        (["theme_boost=disabled"], "plugin.state"),
        (["auth_manual=disabled"], "plugin.state.fixed"),
        (["auth_nologin=disabled"], "plugin.state.fixed"),
        ([], "command.parameter"),
    ],
)
def test_what_no_site_can_do_is_refused_before_any_is_asked(words: list[str], code: str) -> None:
    with pytest.raises(Exception) as error:
        given(States, {"plugin": words})
    assert getattr(error.value, "code", "") == code


def test_states_of_each_kind_are_taken() -> None:
    words = ["filter_tex=available", "repository_upload=hidden", "auth_manual=enabled"]
    found = given(States, {"plugin": words})
    assert isinstance(found, States)
    assert list(found.states.values()) == [
        PluginState.AVAILABLE, PluginState.HIDDEN, PluginState.ENABLED
    ]  # fmt: skip


def test_nobody_gives_what_is_read_of_the_source() -> None:
    with pytest.raises(InvalidInput):
        given(Source, {"source": "a", "states": {"mod_forum": "disabled"}})
    assert set(schema(Source)["properties"]) == {"source", "type", "keep_order"}
    with pytest.raises(InvalidInput) as error:
        given(Source, {"source": "a", "type": ["theme"]})
    assert error.value.code == "plugin.state"
