"""Moodle's own checks of a site: admin/cli/checks.php, and what its output says.

It prints a headline for Nagios, then a table; with --verbose all checks are in it. The statuses in
the table are not translated (core_renderer_cli::render_check_result, 4.5 and 5.1), the names are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from vmoodle.moodle.scripts.script import CompletedScript

SCRIPT = "admin/cli/checks.php"


class Status(StrEnum):
    """What a check says; the worst last."""

    NA = "na"
    OK = "ok"
    INFO = "info"
    UNKNOWN = "unknown"
    WARNING = "warning"
    ERROR = "error"
    CRITICAL = "critical"

    @property
    def is_bad(self) -> bool:
        """Tell whether an administrator has something to do about it."""
        return self in (Status.UNKNOWN, Status.WARNING, Status.ERROR, Status.CRITICAL)


EXIT_STATUSES = (0, 1, 2, 3)
"""What the script ends with: well, warning, critical, unknown."""

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_ROW = re.compile(r"^\s*(NA|OK|INFO|UNKNOWN|WARNING|ERROR|CRITICAL)\s*\|\s?(.*?) \((\w+)\)\s*$")
_MORE = re.compile(r"^\s*\| {2,}(\S.*?)\s*$")


@dataclass(frozen=True)
class Check:
    """What came of one check: `ref` is its stable name, as `tool_task_cronrunning`."""

    ref: str
    name: str
    status: Status
    summary: str = ""


def read_checks(done: CompletedScript) -> list[Check] | None:
    """Return the checks that the script told of, None when what it printed is no such list."""
    if done.exit_status not in EXIT_STATUSES:
        return None
    found = list(_checks(done.output_tail))
    headline = re.search(r"^(OK|WARNING|CRITICAL|UNKNOWN): ", _plain(done.output_tail), re.M)
    return found if headline else None


def _checks(output: str) -> Iterator[Check]:
    current: Check | None = None
    for line in _plain(output).splitlines():
        if row := _ROW.match(line):
            if current is not None:
                yield current
            current = Check(row[3], row[2], Status(row[1].lower()))
        elif current is not None and (more := _MORE.match(line)):
            text = f"{current.summary} {more[1]}".strip()
            # The last line of a check is the address of where to act.
            if not re.fullmatch(r"https?://\S+", more[1]):
                current = Check(current.ref, current.name, current.status, text)
    if current is not None:
        yield current


def _plain(text: str) -> str:
    return _COLOUR.sub("", text)
