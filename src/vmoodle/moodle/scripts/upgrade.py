"""Run Moodle's own upgrade for a site whose database is at older versions than its code tree."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vmoodle.errors import Failed
from vmoodle.moodle.code.tree import MoodleTree
from vmoodle.moodle.php.binary import PhpBinary, keeping_compiled
from vmoodle.moodle.scripts.install import last_words, milestones
from vmoodle.moodle.scripts.script import run_script
from vmoodle.progress import Tell, tell_nobody
from vmoodle.secret import Secret

SCRIPT = "admin/cli/upgrade.php"


def upgrade_site(
    tree: MoodleTree,
    php: PhpBinary,
    *,
    site: str,
    timeout: float,
    redact: Sequence[Secret] = (),
    tell: Tell = tell_nobody,
    compiled: Path | None = None,
) -> None:
    """Bring a site's database to the versions of the tree, in at most `timeout` seconds.

    `compiled` is where PHP keeps compiled code, as `keeping_compiled` says.
    `tell` hears every few seconds how far it is. A database that is there already is no error. What
    an upgrade that was stopped left behind is only fit to be thrown away. Raise Failed
    (`upgrade.failed`) with Moodle's last lines, Unavailable when PHP does not start or takes too
    long. Source of the options and of the exit statuses: admin/cli/upgrade.php, Moodle 4.5 and 5.1.
    """
    completed = run_script(
        tree,
        php,
        SCRIPT,
        ["--non-interactive"],
        site=site,
        timeout=timeout,
        redact=redact,
        settings=keeping_compiled(compiled),
        on_line=milestones(tell, "Moodle's upgrade"),
    )
    if completed.exit_status != 0:
        raise Failed(
            "upgrade.failed",
            f"Moodle's upgrade ended with status {completed.exit_status}: "
            f"{last_words(completed.output_tail)}",
            "`vmoodle codebase check NAME --server SERVER` tells what is missing on this machine; "
            "Moodle's own lines, what is missing in the code tree.",
        )
