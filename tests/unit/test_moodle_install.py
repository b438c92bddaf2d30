"""Moodle's installer: what is told of it while it runs."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.trees import make_tree

from vmoodle.moodle.code.tree import MoodleTree
from vmoodle.moodle.php.binary import PhpBinary, find_php
from vmoodle.moodle.scripts import install
from vmoodle.secret import Secret

PASSWORD = "planted_in_a_name"
INSTALLER = """<?php
echo "-->System\\n++ Success (1.20 seconds) ++\\n-->mod_quiz\\n";
foreach ($argv as $word) { echo "-->", str_replace('--adminpass=', '', $word), "\\n"; }
echo "Password: $argv[6]\\n-->tool_log\\n";
"""


@pytest.fixture
def tree() -> Iterator[MoodleTree]:
    directory = Path(tempfile.mkdtemp(prefix="vmoodle-test-"))
    directory.chmod(0o755)
    yield MoodleTree.open(make_tree(directory / "tree", files={install.SCRIPT: INSTALLER}))
    shutil.rmtree(directory)


def told(tree: MoodleTree) -> list[str]:
    said: list[str] = []
    install.install_site(
        tree,
        PhpBinary(find_php(), "www-data" if os.geteuid() == 0 else None),
        site="one", name="One", shortname="one", language="en",
        admin_user="admin", admin_email="a@example.org", admin_password=Secret(PASSWORD),
        timeout=30, tell=said.append,
    )  # fmt: skip
    return said


def test_the_components_it_is_at_are_told_and_nothing_else(
    tree: MoodleTree, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(install, "_TELL_EVERY_SECONDS", 0.0)
    assert told(tree) == [
        f"Moodle's installer is at {name}, its component {number}"
        for number, name in enumerate(("System", "mod_quiz", "tool_log"), 1)
    ]


def test_a_short_installation_is_not_told_of(tree: MoodleTree) -> None:
    assert told(tree) == []
