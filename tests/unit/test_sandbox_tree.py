"""The sandbox tree: copied in its layouts, switched to other versions, and plain PHP."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from vmoodle import sandbox
from vmoodle.errors import VMoodleError

pytestmark = pytest.mark.skipif(shutil.which("php") is None, reason="PHP is not installed")


def test_every_php_file_parses() -> None:
    files = sorted(Path(sandbox.__file__).parent.rglob("*.php"))
    assert len(files) > 40
    for file in files:
        ended = subprocess.run(
            ["php", "-l", str(file)], capture_output=True, text=True, check=False
        )
        assert ended.returncode == 0, ended.stdout


def test_the_classic_layout_has_its_web_root_at_the_top(tmp_path: Path) -> None:
    tree = sandbox.copy_tree(tmp_path / "tree", release="4.5")
    for name in (
        "version.php",
        "index.php",
        "lib/setup.php",
        "admin/cli/cron.php",
        "lib/plugins.json",
    ):
        assert (tree / name).is_file()
    assert not (tree / "config.php").exists()
    assert not (tree / "public").exists()


def test_the_public_layout_keeps_scripts_above_the_web_root(tmp_path: Path) -> None:
    tree = sandbox.copy_tree(tmp_path / "tree", release="5.1")
    for name in (
        "lib/setup.php",
        "public/lib/setup.php",
        "public/version.php",
        "admin/cli/cron.php",
    ):
        assert (tree / name).is_file()
    assert not (tree / "public" / "admin" / "cli").exists()
    assert not (tree / "version.php").exists()
    types = json.loads((tree / "lib" / "components.json").read_text())["plugintypes"]
    assert all((tree / path).is_dir() for name, path in types.items() if name != "local")


@pytest.mark.parametrize("layout", ["classic", "public"])
def test_a_version_is_switched_whole(tmp_path: Path, layout: sandbox.Layout) -> None:
    tree = sandbox.copy_tree(tmp_path / "tree", layout, "4.5.0")
    file = tree / ("public/version.php" if layout == "public" else "version.php")
    assert "2024100700.00" in file.read_text()
    sandbox.switch_version(tree, "4.5.1")
    assert "2024100701.00" in file.read_text()
    assert [path.name for path in file.parent.glob("version.php*")] == ["version.php"]


def test_what_cannot_be_copied_or_switched_is_refused(tmp_path: Path) -> None:
    with pytest.raises(VMoodleError, match="no release") as unknown:
        sandbox.copy_tree(tmp_path / "tree", release="3.9")
    assert unknown.value.code == "sandbox.release.unknown"
    assert not (tmp_path / "tree").exists()
    (tmp_path / "mine").write_text("kept")
    with pytest.raises(VMoodleError) as exists:
        sandbox.copy_tree(tmp_path)
    assert exists.value.code == "sandbox.target.exists"
    with pytest.raises(VMoodleError) as missing:
        sandbox.switch_version(tmp_path, "4.5.1")
    assert missing.value.code == "sandbox.tree.missing"
