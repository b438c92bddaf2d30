"""The sandbox: a miniature code tree that stands in for Moodle in the demo and the tests."""

from __future__ import annotations

import json
import secrets
import shutil
from pathlib import Path
from typing import Literal

from vmoodle.errors import Conflict, InvalidInput, NotFound

Layout = Literal["classic", "public"]
"""Where the web root is: the tree itself (up to 5.0), or `public/` in it (from 5.1 on)."""

_HERE = Path(__file__).parent
_TREE = _HERE / "tree"
_PUBLIC_LAYOUT = _HERE / "public_layout"
_VERSIONS = _HERE / "versions"

RELEASES: tuple[str, ...] = tuple(sorted(path.stem for path in _VERSIONS.glob("*.php")))
"""Releases a sandbox tree can be of, oldest first."""

_ABOVE_THE_WEB_ROOT = ("admin/cli", "lib/components.json", "lib/plugins.json")


def copy_tree(target: Path, layout: Layout | None = None, release: str = "4.5") -> Path:
    """Make a private copy of the sandbox tree, without config.php, and return its path.

    `release` is one of `RELEASES`, or its first two numbers for the oldest of them (`4.5`).
    Without a `layout` the copy has the one its release has in Moodle. Raise InvalidInput
    (`sandbox.release.unknown`) or Conflict (`sandbox.target.exists`) before anything is written.
    """
    version = _version_file(release)
    target = target.absolute()
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise Conflict(
            "sandbox.target.exists",
            f"{target} is there already.",
            "Name a directory that does not exist or is empty.",
        )
    if (layout or _layout_of(version.stem)) == "public":
        _copy(_TREE, target / "public")
        _move_above_the_web_root(target)
        _copy(_PUBLIC_LAYOUT, target)
    else:
        _copy(_TREE, target)
    switch_version(target, version.stem)
    return target


def switch_version(target: Path, release: str) -> None:
    """Give the tree another release's version.php, whole or not at all; its layout stays.

    Raise InvalidInput (`sandbox.release.unknown`) or NotFound (`sandbox.tree.missing`).
    """
    version = _version_file(release)
    web_root = target / "public" if (target / "public").is_dir() else target
    if not (web_root / "lib" / "setup.php").is_file():
        raise NotFound(
            "sandbox.tree.missing",
            f"{target} holds no sandbox tree.",
            "Make one first: vmoodle codebase add NAME sandbox.",
        )
    beside = web_root / f"version.php.{secrets.token_hex(6)}"
    shutil.copyfile(version, beside)
    beside.chmod(0o644)
    beside.replace(web_root / "version.php")


def _version_file(release: str) -> Path:
    for known in RELEASES:
        if release in (known, known.rpartition(".")[0]):
            return _VERSIONS / f"{known}.php"
    raise InvalidInput(
        "sandbox.release.unknown",
        f"The sandbox has no release {release!r}.",
        f"Choose one of {', '.join(RELEASES)}.",
    )


def _layout_of(release: str) -> Layout:
    major, minor, _ = (int(part) for part in release.split("."))
    return "public" if (major, minor) >= (5, 1) else "classic"


def _copy(source: Path, target: Path) -> None:
    """Copy a tree so that every account may read it, whatever the package's own modes are."""
    target.mkdir(mode=0o755, parents=True, exist_ok=True)
    for entry in sorted(source.rglob("*")):
        copy = target / entry.relative_to(source)
        if entry.is_dir():
            copy.mkdir(exist_ok=True)
            copy.chmod(0o755)
        else:
            shutil.copyfile(entry, copy)
            copy.chmod(0o644)


def _move_above_the_web_root(root: Path) -> None:
    for name in _ABOVE_THE_WEB_ROOT:
        above = root / name
        above.parent.mkdir(mode=0o755, exist_ok=True)
        shutil.move(root / "public" / name, above)
    components = root / "lib" / "components.json"
    content = json.loads(components.read_text())
    for section in content.values():
        section.update(
            {name: f"public/{path}" for name, path in section.items() if path is not None}
        )
    components.write_text(json.dumps(content, indent=4) + "\n")
