"""The `config.php` VMoodle writes into a code tree: the hook's short way, and where the rest is.

The common request is answered in this file itself; including the hook would cost it 11 µs.
"""

from __future__ import annotations

from pathlib import Path

from vmoodle.moodle.code.config_php import VMOODLE_MARKER

FORMAT = 2
_TEMPLATE = Path(__file__).parent / "php" / "config.template.php"


def render_config_php(hook: Path, map_directory: Path, codebase: str) -> str:
    """Return the text of a code tree's config.php.

    It is right in both layouts: up to Moodle 5.0 `lib/` stands beside config.php, and from 5.1 on
    `lib/setup.php` there is Moodle's own shim to `public/lib/setup.php`.
    """
    text = _TEMPLATE.read_text(encoding="utf-8")
    values = {"HOOK": str(hook), "MAP": str(map_directory), "CODEBASE": codebase}
    for name, value in values.items():
        text = text.replace(f"'@{name}@'", _quote(value))
    return text.replace("@MARKER@", VMOODLE_MARKER).replace("@FORMAT@", str(FORMAT))


def _quote(text: str) -> str:
    """Return a PHP single-quoted string."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
