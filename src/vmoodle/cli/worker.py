"""`vmoodle worker`: execute this node's operations."""

from __future__ import annotations

import os
import signal
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from vmoodle.cli.output import Json, moment, print_json, say

if TYPE_CHECKING:
    from vmoodle.registry.models import Operation
    from vmoodle.scheduler.cron.run import Ended


def worker(
    until_idle: Annotated[
        bool, typer.Option("--until-idle", help="End when no operation waits.")
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", help="Do not tell what is begun and ended.")
    ] = False,
    json: Json = False,
) -> None:
    """Execute this node's operations: those interrupted first, then those that come.

    While it runs, the snapshots that the schedule wants are taken, old runs and safety copies are
    deleted, and with cron.enabled the sites' cron is run.

    What is begun and how it ended is told on standard error, a line each.

    With --json, and --until-idle, the document names those that have ended meanwhile.
    """
    from vmoodle.errors import Conflict
    from vmoodle.installation import open_installation

    installation = open_installation()
    from vmoodle.fleet.kinds import KINDS
    from vmoodle.lifecycle.upgrade import safety_copy, waves
    from vmoodle.operations.follow import tell_nobody, work
    from vmoodle.registry import operations
    from vmoodle.scheduler import runs, snapshots
    from vmoodle.scheduler.cron.service import CronService
    from vmoodle.scheduler.cron.service import tell_nobody as tell_no_cron
    from vmoodle.scheduler.times import Times

    def order_due() -> object:
        now = datetime.now(UTC)
        runs.prune_due(installation, now)
        safety_copy.let_go_due(installation)
        upgrading = waves.order_due(installation)
        return snapshots.order_due(installation, now) or upgrading

    chosen = installation.settings.cron
    cron = CronService(installation, tell_no_cron if quiet else _tell_cron)

    def introduce() -> None:
        if chosen.enabled and not until_idle:
            # Asked to end it lets the tasks end that are under way; killed it does not.
            signal.signal(signal.SIGTERM, signal.default_int_handler)
            cron.start()
        if not quiet:
            say(
                f"worker of the node {installation.node}, process {os.getpid()}, on the home "
                f"{installation.home.path}"
            )

    began = datetime.now(UTC)
    # A schedule that is none is told before anything is executed.
    Times.parse(installation.settings.snapshots.schedule)
    try:
        alone = work(
            installation,
            KINDS,
            until_idle=until_idle,
            order_due=order_due,
            begun=introduce,
            tell=tell_nobody if quiet else _tell,
        )
    finally:
        cron.stop()
    if not alone:
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


def _tell_cron(shortname: str, ended: Ended) -> None:
    """Say in a line that a site's cron did not go well."""
    if ended.outcome not in ("ok", "stopped"):
        word = f"{ended.outcome}: {ended.error}"
        say(f"{moment(datetime.now(UTC))}  {ended.mark}  cron  {shortname}  {word}")


def _tell(operation: Operation) -> None:
    """Say in a line that an operation begins, is gone on with, or how it ended."""
    from vmoodle.registry.models import ACTIVE_STATES, OperationState

    if operation.state == OperationState.QUEUED:
        word = "begins"
    elif operation.state in ACTIVE_STATES:
        word = f"goes on ({operation.state})"
    else:
        word = operation.state
    if operation.error_code and operation.state not in {*ACTIVE_STATES, OperationState.DONE}:
        word += f": {operation.error_message} [{operation.error_code}]"
    subject = operation.subject or "-"
    say(f"{moment(datetime.now(UTC))}  {operation.id}  {operation.kind}  {subject}  {word}")
