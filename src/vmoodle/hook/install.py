"""Install the hook's PHP into the home, where every code tree's config.php requires it."""

from __future__ import annotations

from pathlib import Path

from vmoodle.errors import Unavailable
from vmoodle.files import write_atomically

SOURCE = Path(__file__).parent / "php" / "hook.php"


def install_hook(directory: Path) -> Path:
    """Put this release's hook into the directory, atomically; return its path.

    It holds no secret: every account may read it. Raise Unavailable when it cannot be written.
    """
    target = directory / SOURCE.name
    try:
        if installed_hook_is_current(directory):
            return target
        if not directory.is_dir():
            directory.mkdir(parents=True)
            directory.chmod(0o755)
        write_atomically(target, SOURCE.read_bytes(), mode=0o644)
    except OSError as error:
        raise Unavailable(
            "hook.unwritable",
            f"The hook cannot be installed in {directory}: {error.strerror}.",
            "Free space, or run VMoodle as the account that owns its home.",
        ) from error
    return target


def installed_hook_is_current(directory: Path) -> bool:
    """Tell whether the installed hook is this release's."""
    target = directory / SOURCE.name
    return target.is_file() and target.read_bytes() == SOURCE.read_bytes()
