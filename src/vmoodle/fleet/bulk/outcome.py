"""What came of one site in a call about many, and of the call."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from vmoodle.errors import VMoodleError

FAILED = "failed"
QUEUED = "queued"


@dataclass(frozen=True)
class Outcome:
    """What came of one site; `code`, `message` and `hint` are those of what went wrong."""

    site: str
    outcome: str
    operation: str = ""
    code: str = ""
    message: str = ""
    hint: str = ""
    line: int | None = None
    notes: tuple[str, ...] = ()
    more: Mapping[str, Any] = field(default_factory=dict)
    """Further members for JSON."""

    @property
    def ok(self) -> bool:
        """Tell whether nothing went wrong."""
        return self.outcome != FAILED

    def as_facts(self) -> dict[str, Any]:
        """Return the members for JSON, those that say nothing left out."""
        members = {
            "line": self.line, "site": self.site, "outcome": self.outcome, "ok": self.ok,
            "operation": self.operation, "code": self.code, "detail": self.message,
            "hint": self.hint, "notes": list(self.notes), **self.more,
        }  # fmt: skip
        return {key: value for key, value in members.items() if value not in (None, "", [])}


def failed(
    site: str, error: VMoodleError, *, line: int | None = None, operation: str = ""
) -> Outcome:
    """Return the outcome of what raised an error."""
    return Outcome(site, FAILED, operation, error.code, error.message, error.hint, line)


def each(names: Iterable[str], act: Callable[[str], object], done: str) -> list[Outcome]:
    """Act on each site, whatever comes of the others; return what came of each."""
    outcomes = []
    for name in names:
        try:
            act(name)
        except VMoodleError as error:
            outcomes.append(failed(name, error))
        else:
            outcomes.append(Outcome(name, done))
    return outcomes
