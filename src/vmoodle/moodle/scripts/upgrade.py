"""Run Moodle's own upgrade for a site whose database is at older versions than its code tree."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from vmoodle.errors import Failed
from vmoodle.moodle.code.tree import MoodleTree
from vmoodle.moodle.php.binary import PhpBinary, keeping_compiled
from vmoodle.moodle.scripts.install import component_of, last_words, milestones
from vmoodle.moodle.scripts.script import run_script
from vmoodle.progress import Tell, tell_nobody
from vmoodle.secret import Secret

SCRIPT = "admin/cli/upgrade.php"


AFTERWARDS = "afterwards"
"""What Moodle does behind all components: its caches, new settings, the themes' style sheets."""

# "++ Success (0.45 seconds) ++" behind a component, in the site's language (core_renderer_cli::
# notification, 4.5 and 5.1). With debugging, what is within a component has a colon.
_PART_ENDS = re.compile(r"\+\+ [^:]+ \+\+")
# core_renderer_cli::fatal_error, 4.5 and 5.1.
_FAULT = re.compile(r"^!!! [\s\S]{1,500}? !!!$", re.MULTILINE)


@dataclass
class _Part:
    name: str
    began: float
    ended: float = 0.0


@dataclass
class Parts:
    """The components that an upgrade names as it begins with each, and how long each took."""

    _parts: list[_Part] = field(default_factory=list)

    def hear(self, line: str) -> None:
        """Take a line of the script's output."""
        if component := component_of(line):
            self._end_last()
            self._parts.append(_Part(component, time.monotonic()))
        elif _PART_ENDS.fullmatch(line.strip()) and self._parts:
            self._end_last()

    def end(self) -> None:
        """Say that the script has ended."""
        if self._parts and self._parts[-1].ended:
            self._parts.append(_Part(AFTERWARDS, self._parts[-1].ended))
        self._end_last()

    @property
    def last(self) -> str:
        """The component named last: where one that broke off was. Empty for none."""
        return self._parts[-1].name if self._parts else ""

    def milliseconds(self) -> list[tuple[str, int]]:
        """Return the components in their order, each with how long it took."""
        return [(part.name, round((part.ended - part.began) * 1000)) for part in self._parts]

    def _end_last(self) -> None:
        if self._parts and not self._parts[-1].ended:
            self._parts[-1].ended = time.monotonic()


def upgrade_site(
    tree: MoodleTree,
    php: PhpBinary,
    *,
    site: str,
    timeout: float,
    redact: Sequence[Secret] = (),
    tell: Tell = tell_nobody,
    parts: Parts | None = None,
    compiled: Path | None = None,
) -> None:
    """Bring a site's database to the versions of the tree, in at most `timeout` seconds.

    `tell` hears every few seconds how far it is, `parts` each component. `compiled` is where PHP
    keeps compiled code, as `keeping_compiled` says. A database that is there already is no error.
    What an upgrade that was stopped left behind is only fit to be thrown away. Raise Failed
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
            settings=keeping_compiled(compiled),
            on_line=hear,
        )
    finally:
        heard.end()
    if completed.exit_status != 0:
        raise Failed(
            "upgrade.failed",
            f"Moodle's upgrade ended with status {completed.exit_status}: "
            f"{_fault(completed.output_tail)}{last_words(completed.output_tail)}",
            "`vmoodle codebase check` tells what is missing on this machine; Moodle's own lines, "
            "what is missing in the code tree.",
        )


def _fault(said: str) -> str:
    """Return the error that Moodle names before its call stack, which may be long."""
    found = [" ".join(fault.split()) for fault in _FAULT.findall(said)]
    return f"{found[-1]} / " if found and found[-1] not in last_words(said) else ""
