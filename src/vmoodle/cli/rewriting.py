"""What a rewriting of addresses would change, for people and for scripts."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from vmoodle.cli.output import print_json, print_table, say

if TYPE_CHECKING:
    from vmoodle.moodle.database.content_urls import RewriteReport


def show_rewriting(report: RewriteReport, *, json: bool) -> None:
    """Print the counts of each column, and the cells that stay as they are."""
    if json:
        print_json(asdict(report) | {"cells": report.cells, "addresses": report.addresses})
        return
    print_table(
        ("TABLE", "COLUMN", "CELLS", "ADDRESSES"),
        [(c.table, c.column, c.cells, c.addresses) for c in report.columns],
        f"Nothing in the database holds {report.old}.",
    )
    for cell in report.left:
        say(f"stays as it is: {cell.table}.{cell.column}, row {cell.row}: {cell.reason}")
    say(f"{report.addresses} addresses in {report.cells} cells: {report.old} -> {report.new}")
