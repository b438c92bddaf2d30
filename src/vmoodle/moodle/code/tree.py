"""A Moodle code tree on disk: its layout, its version, and the scripts in it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from vmoodle.errors import InvalidInput
from vmoodle.moodle.code.version import MoodleVersion, read_version

Layout = Literal["classic", "public"]
PUBLIC = "public"

# What every tree VMoodle can run has, by layout, relative to its root. Moodle 5.1 moved the web
# root to public/ and left config.php, admin/cli and lib/components.json above it.
_NEEDED: dict[Layout, tuple[str, ...]] = {
    "classic": ("version.php", "index.php", "lib/setup.php", "admin/cli"),
    "public": ("public/version.php", "public/index.php", "public/lib/setup.php", "admin/cli"),
}


@dataclass(frozen=True)
class MoodleTree:
    """One code tree, by its real path; `webroot` is what a web server serves."""

    root: Path
    webroot: Path
    layout: Layout
    version: MoodleVersion

    @classmethod
    def open(cls, path: Path | str) -> MoodleTree:
        """Return the tree at a path, symbolic links resolved as PHP's `__DIR__` resolves them.

        Raise InvalidInput: `codebase.notmoodle` naming what is missing, `codebase.version`.
        """
        root = _resolve(path)
        layout: Layout = "public" if (root / "public" / "version.php").is_file() else "classic"
        missing = [name for name in _NEEDED[layout] if not _exists(root / name)]
        if missing:
            raise InvalidInput(
                "codebase.notmoodle",
                f"{root} is not a Moodle code tree: {', '.join(missing)} "
                f"{'is' if len(missing) == 1 else 'are'} missing.",
                _hint(root),
            )
        webroot = root / PUBLIC if layout == "public" else root
        return cls(root, webroot, layout, read_version(webroot / "version.php"))

    @property
    def config_path(self) -> Path:
        """Where this layout's config.php stands; it need not exist."""
        return self.root / "config.php"

    @property
    def environment_xml(self) -> Path:
        """The requirements of this and later versions (admin/environment.xml)."""
        return self.webroot / "admin" / "environment.xml"

    @property
    def components_json(self) -> Path:
        """The list of plugin types and subsystems; above the web root from 5.1 on."""
        return self.root / "lib" / "components.json"

    def segments(self) -> set[str]:
        """Return the names at the top of the web root: no sub-path site may be called like one."""
        return {entry.name for entry in self.webroot.iterdir()}

    def script(self, name: str) -> Path:
        """Return the path of a script named relative to the tree, or by its path in it.

        The root is looked at before the web root (`admin/cli/cron.php` in both layouts, plugins'
        scripts under public/). Raise InvalidInput `exec.script` for what is no .php file of this
        tree: another tree's, one behind `..` or behind a symbolic link that leads out.
        """
        parts = PurePosixPath(name).parts
        if not name or "\0" in name or ".." in parts or not name.endswith(".php"):
            raise _no_script(name, "is not the name of a PHP script in the code tree")
        if Path(name).is_absolute() and not Path(name).is_relative_to(self.root):
            raise _no_script(name, f"is outside the code tree {self.root}")
        for base in dict.fromkeys((self.root, self.webroot)):
            candidate = base / name
            if not _exists(candidate):
                continue
            real = candidate.resolve()
            if not real.is_relative_to(self.root):
                raise _no_script(name, f"leads out of the code tree {self.root}")
            if real.is_file():
                return real
        raise _no_script(name, f"is not a script of the code tree {self.root}")


def _resolve(path: Path | str) -> Path:
    try:
        root = Path(path).expanduser().resolve(strict=True)
        if root.is_dir():
            return root
        reason = "is not a directory"
    except (OSError, RuntimeError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "is not a usable path"
    raise InvalidInput(
        "codebase.notmoodle",
        f"{str(path)!r} is not a Moodle code tree: {reason}.",
        "Give the directory of a Moodle code tree, as an absolute path.",
    )


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def _hint(root: Path) -> str:
    if root.name == PUBLIC and _exists(root / "version.php"):
        return f"From Moodle 5.1 on the tree is the directory above public/: {root.parent}"
    return "Give the directory that has Moodle's version.php, or public/version.php from 5.1 on."


def _no_script(name: str, reason: str) -> InvalidInput:
    return InvalidInput(
        "exec.script",
        f"{name!r} {reason}.",
        "Name it from the top of the tree, such as admin/cli/cron.php.",
    )
