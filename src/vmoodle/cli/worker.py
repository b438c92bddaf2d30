"""`vmoodle worker`: execute this node's operations."""

from __future__ import annotations

from typing import Annotated

import typer

from vmoodle.cli.output import Json, print_json


def worker(
    until_idle: Annotated[
        bool, typer.Option("--until-idle", help="End when no operation waits.")
    ] = False,
    json: Json = False,
) -> None:
    """Execute this node's operations: those interrupted first, then those that come.

    While it runs, the snapshots that the schedule wants are taken.

    With --json, and --until-idle, the document names those that have ended meanwhile.
    """
    from datetime import UTC, datetime

    from vmoodle.errors import Conflict
    from vmoodle.installation import open_installation

    installation = open_installation()
    from vmoodle.fleet.kinds import KINDS
    from vmoodle.operations.follow import work
    from vmoodle.registry import operations
    from vmoodle.scheduler import snapshots
    from vmoodle.scheduler.times import Times

    def order_due() -> object:
        return snapshots.order_due(installation, datetime.now(UTC))

    began = datetime.now(UTC)
    # A schedule that is none is told before anything is executed.
    Times.parse(installation.settings.snapshots.schedule)
    if not work(installation, KINDS, until_idle=until_idle, order_due=order_due):
        raise Conflict(
            "worker.running",
            "Another process of this node executes operations already.",
            "One per node is enough; `vmoodle operation list --active` shows what it does.",
        )
    if json:
        ended = operations.ended_since(installation.node, began)
        print_json(
            {
                "node": installation.node,
                "ended": [
                    {"id": row.id, "kind": row.kind, "site": row.subject, "state": row.state}
                    for row in ended
                ],
            }
        )
