"""How long Moodle's upgrade is at each component is heard from what it prints."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pytest
from tests.trees import make_tree

from vmoodle.errors import Failed
from vmoodle.moodle.code.tree import MoodleTree
from vmoodle.moodle.php.binary import PhpBinary, find_php
from vmoodle.moodle.scripts import upgrade
from vmoodle.moodle.scripts.upgrade import AFTERWARDS, Parts


def heard(*lines: str) -> Parts:
    parts = Parts()
    for line in lines:
        parts.hear(line)
    parts.end()
    return parts


def test_what_comes_behind_the_last_component_is_not_that_components() -> None:
    parts = heard(
        "-->System",
        "++ Success (0.45 seconds) ++",
        "-->mod_forum",
        "++ 2024100700.01: Success (0.12 seconds) ++",
        "++ Succ\u00e8s (0.45 secondes) ++",
        "anything",
    )
    assert [name for name, _taken in parts.milliseconds()] == ["System", "mod_forum", AFTERWARDS]
    assert all(taken >= 0 for _name, taken in parts.milliseconds())
    assert parts.last == AFTERWARDS


def test_the_component_that_broke_off_is_the_last() -> None:
    parts = heard(
        "-->System",
        "++ Success (0.45 seconds) ++",
        "-->local_own",
        "++ lib/x.php: Success (1.00 seconds) ++",
        "!!! it broke !!!",
    )
    assert parts.last == "local_own"
    assert [name for name, _taken in parts.milliseconds()] == ["System", "local_own"]


def test_a_script_that_names_nothing_has_no_parts() -> None:
    parts = heard("++ Success (0.45 seconds) ++", "no upgrade is needed")
    assert parts.last == ""
    assert parts.milliseconds() == []


FAILS = """<?php
echo "-->local_own\\n!!! Coding error detected: it is\\nplanted !!!\\n!! Stack trace: ";
foreach (range(1, 20) as $line) { echo "* line $line of upgrade.php\\n"; }
echo " !!\\n";
exit(1);
"""


def test_what_broke_is_named_before_a_long_call_stack() -> None:
    directory = Path(tempfile.mkdtemp(prefix="vmoodle-test-"))
    directory.chmod(0o755)
    tree = MoodleTree.open(make_tree(directory / "tree", files={upgrade.SCRIPT: FAILS}))
    php = PhpBinary(find_php(), "www-data" if os.geteuid() == 0 else None)
    parts = Parts()
    try:
        with pytest.raises(Failed) as failed:
            upgrade.upgrade_site(tree, php, site="one", timeout=60, parts=parts)
    finally:
        shutil.rmtree(directory)
    assert failed.value.code == "upgrade.failed"
    assert "detected: it is planted !!! / " in failed.value.message
    assert "* line 20" in failed.value.message
    assert parts.last == "local_own"
