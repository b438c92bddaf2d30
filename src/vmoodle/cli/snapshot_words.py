"""Arguments that several commands on snapshots have, and how snapshots are listed."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from vmoodle.cli.output import in_bytes, moment, print_table

SnapshotId = Annotated[
    str, typer.Argument(help="The snapshot's id, or enough of its beginning or end.")
]


def print_snapshots(rows: list[dict[str, Any]]) -> None:
    """Print snapshots as a table."""
    print_table(
        (
            "ID",
            "SITE",
            "STATE",
            "TAKEN",
            "MOODLE",
            "DATABASE",
            "FILES",
            "MISSING",
            "VERIFIED",
            "DRILLED",
            "PIN",
            "NOTE",
        ),
        [
            (
                r["id"],
                r["site"],
                "" if r["state"] == "ready" else r["state"],
                moment(r["taken"]),
                r["moodle"],
                in_bytes(r["database_bytes"]) if r["state"] == "ready" else "",
                in_bytes(r["files_bytes"]) if r["state"] == "ready" else "",
                str(r["missing_files"] or ""),
                _badge(r["verified_ok"], r["verified"], "DAMAGED"),
                _badge(r["drilled_ok"], r["drilled"], "FAILED"),
                "pinned" if r["pinned"] else "",
                r["note"],
            )
            for r in rows
        ],
        "No snapshots yet: vmoodle snapshot create SITE",
    )


def missing_words(count: int) -> str:
    """Return what is said of a snapshot that lacks files its database names, empty for none."""
    return f"; {count} files that its database names are missing in it" if count else ""


def _badge(ok: bool | None, when: Any, fault: str) -> str:
    """Return the day of a test that was passed, what it found otherwise, empty for no test."""
    if ok is None:
        return ""
    return f"{when:%Y-%m-%d}" if ok else fault
