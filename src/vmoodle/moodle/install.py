"""Run Moodle's own installer for a site whose config.php, database and dataroot exist already."""

from __future__ import annotations

from collections.abc import Callable

from vmoodle.errors import Failed
from vmoodle.moodle.php import PhpBinary
from vmoodle.moodle.script import run_script
from vmoodle.moodle.tree import MoodleTree
from vmoodle.secret import Secret

SCRIPT = "admin/cli/install_database.php"
_SHOWN_LINES = 5


def install_site(
    tree: MoodleTree,
    php: PhpBinary,
    *,
    site: str,
    name: str,
    shortname: str,
    language: str,
    admin_user: str,
    admin_email: str,
    admin_password: Secret,
    timeout: float,
    on_line: Callable[[str], None] | None = None,
) -> None:
    """Install Moodle into the site's empty database, in at most `timeout` seconds.

    The password travels by standard input. Raise Failed (`install.failed`) with the installer's
    last lines, Unavailable when PHP does not start or takes too long. Source of the options and
    of the exit statuses: admin/cli/install_database.php, Moodle 4.5 and 5.1.
    """
    completed = run_script(
        tree,
        php,
        SCRIPT,
        [
            f"--lang={language}",
            f"--fullname={name}",
            f"--shortname={shortname}",
            f"--adminuser={admin_user}",
            f"--adminemail={admin_email}",
            Secret(f"--adminpass={admin_password.reveal()}"),
            "--agree-license",
        ],
        site=site,
        timeout=timeout,
        redact=[admin_password],
        on_line=on_line,
    )
    if completed.exit_status != 0:
        lines = [line for line in completed.output_tail.splitlines() if line.strip()]
        raise Failed(
            "install.failed",
            f"Moodle's installer ended with status {completed.exit_status}: "
            + " / ".join(lines[-_SHOWN_LINES:]),
            "`vmoodle codebase check NAME --server SERVER` tells what is missing on this machine.",
        )
