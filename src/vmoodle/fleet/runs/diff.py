"""What differs between two runs: on which sites another answer came, or none any more."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from vmoodle.errors import Refused
from vmoodle.fleet.result import comparable
from vmoodle.fleet.runs.view import entry, result_of
from vmoodle.registry import runs
from vmoodle.registry.fleet_models import Run, RunSite


def differences(before: Run, after: Run) -> Iterator[dict[str, Any]]:
    """Give each site of which the two runs tell different things, by shortname.

    Raise Refused `run.diff` for runs of different commands.
    """
    if before.command != after.command:
        raise Refused(
            "run.diff",
            f"Run {before.id} is of {before.command}, run {after.id} of {after.command}.",
            "Compare runs of one command: vmoodle run list --command",
        )
    return _differences(before, after)


def _differences(before: Run, after: Run) -> Iterator[dict[str, Any]]:
    olds, news = runs.rows(before.id), runs.rows(after.id)
    old, new = next(olds, None), next(news, None)
    while old is not None or new is not None:
        if new is None or (old is not None and old.shortname < new.shortname):
            yield _row(old, None, "gone")
            old = next(olds, None)
        elif old is None or new.shortname < old.shortname:
            yield _row(None, new, "new")
            new = next(news, None)
        else:
            if _differ(old, new):
                yield _row(old, new, "changed")
            old, new = next(olds, None), next(news, None)


def _differ(old: RunSite, new: RunSite) -> bool:
    if _told(old) == _told(new):
        return False
    before, after = result_of(old), result_of(new)
    if (
        before is None
        or after is None
        or (old.state, old.error_code) != (new.state, new.error_code)
    ):
        return True
    return comparable(before) != comparable(after)


def _told(row: RunSite) -> tuple[str, str | None, str]:
    return row.state, runs.result_of(row), row.error_code


def _row(old: RunSite | None, new: RunSite | None, change: str) -> dict[str, Any]:
    row = old or new
    return {
        "site": row.shortname if row else "",
        "change": change,
        "before": _short(old),
        "after": _short(new),
    }


def _short(row: RunSite | None) -> dict[str, Any] | None:
    if row is None:
        return None
    return {k: v for k, v in entry(row).items() if k not in {"site", "duration_ms"}}
