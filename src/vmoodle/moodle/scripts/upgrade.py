"""Run Moodle's own upgrade for a site whose database is at older versions than its code tree."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from vmoodle.errors import Failed
from vmoodle.moodle.code.tree import MoodleTree
from vmoodle.moodle.php.binary import PhpBinary
from vmoodle.moodle.scripts.install import component_of, last_words, milestones
from vmoodle.moodle.scripts.script import run_script
from vmoodle.progress import Tell, tell_nobody
from vmoodle.secret import Secret

SCRIPT = "admin/cli/upgrade.php"


@dataclass
class Parts:
    """The components that an upgrade names as it begins with each, and how long each took."""

    _began: list[tuple[str, float]] = field(default_factory=list)
    _ended: float = 0.0

    def hear(self, line: str) -> None:
        """Take a line of the script's output."""
        if component := component_of(line):
            self._began.append((component, time.monotonic()))

    def end(self) -> None:
        """Say that the script has ended."""
        self._ended = time.monotonic()

    @property
    def last(self) -> str:
        """The component named last: where one that broke off was. Empty for none."""
        return self._began[-1][0] if self._began else ""

    def milliseconds(self) -> list[tuple[str, int]]:
        """Return the components in their order, each with how long it took."""
        ends = [*(moment for _name, moment in self._began[1:]), self._ended]
        return [
            (name, round((end - began) * 1000))
            for (name, began), end in zip(self._began, ends, strict=False)
        ]


def upgrade_site(
    tree: MoodleTree,
    php: PhpBinary,
    *,
    site: str,
    timeout: float,
    redact: Sequence[Secret] = (),
    tell: Tell = tell_nobody,
    parts: Parts | None = None,
) -> None:
    """Bring a site's database to the versions of the tree, in at most `timeout` seconds.

    `tell` hears every few seconds how far it is, `parts` each component. A database that is there
    already is no error. What an upgrade that was stopped left behind is only fit to be thrown away.
    Raise Failed
    (`upgrade.failed`) with Moodle's last lines, Unavailable when PHP does not start or takes too
    long. Source of the options and of the exit statuses: admin/cli/upgrade.php, Moodle 4.5 and 5.1.
    """
    heard, told = parts or Parts(), milestones(tell, "Moodle's upgrade")

    def hear(line: str) -> None:
        heard.hear(line)
        told(line)

    try:
        completed = run_script(
            tree,
            php,
            SCRIPT,
            ["--non-interactive"],
            site=site,
            timeout=timeout,
            redact=redact,
            on_line=hear,
        )
    finally:
        heard.end()
    if completed.exit_status != 0:
        raise Failed(
            "upgrade.failed",
            f"Moodle's upgrade ended with status {completed.exit_status}: "
            f"{last_words(completed.output_tail)}",
            "`vmoodle codebase check NAME --server SERVER` tells what is missing on this machine; "
            "Moodle's own lines, what is missing in the code tree.",
        )
