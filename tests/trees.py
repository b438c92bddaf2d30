"""The real Moodle code trees this machine has, and small ones made up for a test."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vmoodle.demo.trees import real_trees

__all__ = ["make_tree", "on_real_trees", "real_trees"]

VERSION_PHP = """<?php
defined('MOODLE_INTERNAL') || die();
$version  = 2024100705.01;   // a comment; $version = 1;
$release  = '4.5.5+ (Build: 20250613)';
$branch   = '405';
$maturity = MATURITY_STABLE;
"""


def on_real_trees(test: Callable[..., Any]) -> Callable[..., Any]:
    """Run a test once per real tree (its parameter `real_tree`), or skip it and say why."""
    trees = real_trees()
    parameters = [pytest.param(path, id=path.name) for path in trees] or [
        pytest.param(
            None, id="none", marks=pytest.mark.skip("no real Moodle tree (VMOODLE_MOODLE_TREES)")
        )
    ]
    marked: Callable[..., Any] = pytest.mark.moodle(
        pytest.mark.parametrize("real_tree", parameters)(test)
    )
    return marked


def make_tree(root: Path, *, public: bool = False, files: dict[str, str] | None = None) -> Path:
    """Make a tree with as little as MoodleTree takes for one; `files` are added to its root."""
    web = "public/" if public else ""
    content = {
        f"{web}version.php": VERSION_PHP,
        f"{web}index.php": "<?php echo 'front page';\n",
        f"{web}lib/setup.php": "<?php\n",
        "admin/cli/cron.php": "<?php echo 'cron';\n",
        **(files or {}),
    }
    for name, text in content.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return root
