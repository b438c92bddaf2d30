"""A private copy of a code tree stays as it was when the tree is edited, and the other way."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.disk import sharing_disk
from tests.trees import make_tree

from vmoodle.installation import Installation
from vmoodle.lifecycle import codebase_copy
from vmoodle.lifecycle.codebase_copy import copy_code_tree
from vmoodle.progress import tell_nobody
from vmoodle.store.durable import reflink

__all__ = ["sharing_disk"]

INDEX = "<?php echo 'front page';\n"


def edit_in_place(file: Path, text: str) -> None:
    """As an editor does that keeps the file: `sed -i` and most others make a new one."""
    with file.open("r+") as opened:
        opened.write(text)
        opened.truncate()


def a_tree(place: Path) -> Path:
    tree = make_tree(place, files={"config.php": "<?php // theirs\n", ".git/HEAD": "main\n"})
    (tree / "lib" / "link.php").symlink_to("setup.php")
    (tree / "admin" / "cli" / "cron.php").chmod(0o750)
    os.utime(tree / "index.php", (1_600_000_000, 1_600_000_000))
    return tree


def test_an_edit_of_the_tree_in_place_does_not_reach_the_copy(
    installation: Installation, tmp_path: Path
) -> None:
    tree, copy = a_tree(tmp_path / "tree"), tmp_path / "copy"
    copy_code_tree(installation, str(tree), copy, tell_nobody)
    edit_in_place(tree / "index.php", "<?php // being edited")
    assert (copy / "index.php").read_text() == INDEX
    edit_in_place(copy / "lib" / "setup.php", "<?php // only here")
    assert (tree / "lib" / "setup.php").read_text() == "<?php\n"


def test_a_copy_has_modes_owners_times_and_links_and_neither_git_nor_config_php(
    installation: Installation, tmp_path: Path
) -> None:
    tree, copy = a_tree(tmp_path / "tree"), tmp_path / "copy"
    if os.geteuid() == 0:
        os.chown(tree / "index.php", 0, 33)
    copy_code_tree(installation, str(tree), copy, tell_nobody)
    for name in ("index.php", "admin/cli/cron.php"):
        theirs, ours = (tree / name).stat(), (copy / name).stat()
        assert (ours.st_mode, ours.st_uid, ours.st_gid, ours.st_mtime_ns) == (
            theirs.st_mode, theirs.st_uid, theirs.st_gid, theirs.st_mtime_ns,
        )  # fmt: skip
        assert not (copy / name).samefile(tree / name)
    assert str((copy / "lib" / "link.php").readlink()) == "setup.php"
    assert not (copy / "config.php").exists()
    assert not (copy / ".git").exists()


def test_bytes_are_shared_where_the_file_system_can(
    installation: Installation, sharing_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = []

    def counted(source: Path, target: Path) -> bool:
        shared.append(reflink(source, target))
        return shared[-1]

    monkeypatch.setattr(codebase_copy, "reflink", counted)
    tree, copy = a_tree(sharing_disk / "tree"), sharing_disk / "copy"
    copy_code_tree(installation, str(tree), copy, tell_nobody)
    assert shared
    assert all(shared)
    edit_in_place(tree / "index.php", "<?php // being edited")
    assert (copy / "index.php").read_text() == INDEX
