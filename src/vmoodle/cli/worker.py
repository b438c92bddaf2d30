"""`vmoodle worker`: execute this node's operations."""

from __future__ import annotations

from typing import Annotated

import typer


def worker(
    until_idle: Annotated[
        bool, typer.Option("--until-idle", help="End when no operation waits.")
    ] = False,
) -> None:
    """Execute this node's operations: those interrupted first, then those that come."""
    from vmoodle.errors import Conflict
    from vmoodle.installation import open_installation

    installation = open_installation()
    from vmoodle.lifecycle.kinds import KINDS
    from vmoodle.operations.follow import work

    if not work(installation, KINDS, until_idle=until_idle):
        raise Conflict(
            "worker.running",
            "Another process of this node executes operations already.",
            "One per node is enough; `vmoodle operation list --active` shows what it does.",
        )
