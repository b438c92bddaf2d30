"""Run Moodle's own installer for a site whose config.php, database and dataroot exist already."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

from vmoodle.errors import Failed, Unavailable
from vmoodle.moodle.code.tree import MoodleTree
from vmoodle.moodle.php.binary import PhpBinary
from vmoodle.moodle.scripts.script import run_script
from vmoodle.progress import Tell, tell_nobody
from vmoodle.secret import Secret

SCRIPT = "admin/cli/install_database.php"
_SHOWN_LINES = 5
_TELL_EVERY_SECONDS = 5.0
# The installer names each component it begins with (core_renderer_cli::heading, from
# lib/upgradelib.php, Moodle 4.5 and 5.1): nothing but a component's name is ever passed on.
_COMPONENT = re.compile(r"-->([A-Za-z][A-Za-z0-9_]{0,99})")
# What PHP, MariaDB and PostgreSQL say of a full disk.
_DISK_FULL = ("No space left on device", "Disk quota exceeded", "errno=28", "Errcode: 28")


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
    tell: Tell = tell_nobody,
) -> None:
    """Install Moodle into the site's empty database, in at most `timeout` seconds.

    The password travels by standard input. `tell` hears every few seconds how far it is. Raise
    Failed (`install.failed`) with the installer's last lines, Unavailable when PHP does not start
    or takes too long, or (`install.disk`) when a disk is full. Source of the options and of the
    exit statuses: admin/cli/install_database.php, Moodle 4.5 and 5.1.
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
        on_line=milestones(tell, "Moodle's installer"),
    )
    if completed.exit_status != 0:
        said = completed.output_tail
        last = last_words(said)
        if any(words in said for words in _DISK_FULL):
            raise Unavailable(
                "install.disk",
                f"Moodle's installer found a disk full: {last}",
                "Free space for moodledata, for PHP's temporary files and on the database server.",
            )
        raise Failed(
            "install.failed",
            f"Moodle's installer ended with status {completed.exit_status}: {last}",
            "`vmoodle codebase check` tells what is missing on this machine.",
        )


def last_words(said: str) -> str:
    """Return the last lines of a script's output, in one line."""
    lines = [line for line in said.splitlines() if line.strip()]
    return " / ".join(lines[-_SHOWN_LINES:])


def milestones(tell: Tell, who: str) -> Callable[[str], None]:
    """Return what hears a script's lines and tells of the component it is at, now and then."""
    count, told = 0, time.monotonic()

    def hear(line: str) -> None:
        nonlocal count, told
        component = component_of(line)
        if not component:
            return
        count += 1
        if time.monotonic() - told >= _TELL_EVERY_SECONDS:
            told = time.monotonic()
            tell(f"{who} is at {component}, its component {count}")

    return hear


def component_of(line: str) -> str:
    """Return the component that a script's line says it begins with, empty for none."""
    found = _COMPONENT.fullmatch(line.strip())
    return found[1] if found else ""
