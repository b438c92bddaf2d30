"""`vmoodle task`: scheduled tasks of sites."""

from __future__ import annotations

from typing import Annotated

import typer

from vmoodle.cli.output import Json
from vmoodle.cli.run_start import Confirm, Detach, DryRun, On, Timeout, Yes, order_and_carry_out

app = typer.Typer(help="Scheduled tasks of sites.", no_args_is_help=True)


@app.command("list")
def list_tasks(
    on: On,
    task: Annotated[
        list[str] | None, typer.Option(help="Only these: a class, or a part of it with *.")
    ] = None,
    timeout: Timeout = None,
    json: Json = False,
) -> None:
    """List scheduled tasks: last run, next run, fail delay, whether they are off; in UTC."""
    order_and_carry_out("task.list", {"task": task or []}, on, timeout=timeout, json=json)


@app.command()
def failing(on: On, timeout: Timeout = None, json: Json = False) -> None:
    """List tasks whose last run failed, scheduled and ad hoc ones."""
    order_and_carry_out("task.failing", {}, on, timeout=timeout, json=json)


@app.command()
def run(
    task: Annotated[str, typer.Argument(metavar="CLASS", help=r"As '\core\task\…'.")],
    on: On,
    force: Annotated[
        bool, typer.Option("--force", help="Also where the site's cron is switched off.")
    ] = False,
    dry_run: DryRun = False,
    yes: Yes = False,
    confirm: Confirm = None,
    timeout: Timeout = None,
    detach: Detach = False,
    json: Json = False,
) -> None:
    """Run a scheduled task now, whenever it is due."""
    order_and_carry_out(
        "task.run", {"task": task, "force": force}, on, timeout=timeout,
        yes=yes, confirm=confirm, dry=dry_run, detach=detach, json=json,
    )  # fmt: skip
