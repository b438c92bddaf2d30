"""Build the component cache file that all sites on an immutable code tree share."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from pathlib import Path

from vmoodle.errors import InvalidInput, Unavailable
from vmoodle.files import write_atomically
from vmoodle.moodle.code.tree import MoodleTree
from vmoodle.moodle.php import account
from vmoodle.moodle.php.binary import PhpBinary

# As admin/cli/alternative_component_cache.php does it (4.5, 5.1), but with settings of its own in
# place of a config.php, so that no site need exist. ABORT_AFTER_CONFIG ends the bootstrap before
# any library or database; the class is core_component before 4.5's \\core\\component.
_BUILD = """
define('CLI_SCRIPT', true);
define('ABORT_AFTER_CONFIG', true);
define('CACHE_DISABLE_ALL', true);
define('IGNORE_COMPONENT_CACHE', true);
[, $vmoodle_setup, $vmoodle_scratch] = $argv;
global $CFG;
$CFG = new stdClass();
$CFG->wwwroot = 'http://localhost';
$CFG->dataroot = $vmoodle_scratch;
$CFG->admin = 'admin';
$CFG->directorypermissions = 0700;
require $vmoodle_setup;
$vmoodle_class = class_exists('core\\\\component') ? 'core\\\\component' : 'core_component';
$vmoodle_content = $vmoodle_class::get_cache_content();
file_put_contents($vmoodle_scratch . '/components.php', $vmoodle_content) || exit(1);
"""
# A tree checked out on Windows has \r\n at the end of its lines, and so has what it writes.
_BEGINNING = re.compile(rb"<\?php\r?\n\$cache = ")
_CLASSES = ("lib/classes/component.php",)


def can_build(tree: MoodleTree) -> bool:
    """Tell whether the tree has Moodle's component class at all (the sandbox tree has not)."""
    return any((tree.webroot / name).is_file() for name in _CLASSES)


def build_component_cache(
    tree: MoodleTree, php: PhpBinary, target: Path, *, mode: int = 0o644
) -> None:
    """Write the tree's component cache to `target`, whole or not at all.

    Moodle never checks the file (`$CFG->alternative_component_cache`): build it anew after any
    change of code. Raise InvalidInput `codebase.components` for a tree without components,
    Unavailable when PHP fails or the file cannot be written.
    """
    if not can_build(tree):
        raise InvalidInput(
            "codebase.components",
            f"{tree.root} has no component class to build a cache with.",
            "Add the tree as one that may change.",
        )
    scratch = Path(tempfile.mkdtemp(prefix="vmoodle-components-"))
    try:
        os.chown(scratch, *account.owner_ids(php.account))
        php.ask(_BUILD, args=[str(tree.webroot / "lib" / "setup.php"), str(scratch)])
        content = (scratch / "components.php").read_bytes()
        if not _BEGINNING.match(content):
            raise Unavailable(
                "codebase.componentcache",
                f"{tree.root} gave no component cache.",
                "Add the tree as one that may change.",
            )
        write_atomically(target, content, mode=mode)
    except OSError as error:
        raise Unavailable(
            "codebase.componentcache",
            f"The component cache {target} cannot be written: {error.strerror}.",
            "Free space there, and let VMoodle's account write in that directory.",
        ) from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
