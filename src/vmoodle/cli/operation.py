"""`vmoodle operation`: durable pieces of work."""

from __future__ import annotations

from collections.abc import Mapping
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vmoodle.cli.output import Json, moment, print_block, print_json, print_table, print_text, say

if TYPE_CHECKING:
    from vmoodle.installation import Installation
    from vmoodle.registry.models import Operation

app = typer.Typer(
    help="Durable operations: what was done, is being done, and is stuck.", no_args_is_help=True
)

Identifier = Annotated[str, typer.Argument(help="The operation's id, or its beginning.")]
PasswordOut = Annotated[
    Path | None,
    typer.Option(help="New file (0600) for a generated password that was not shown yet."),
]


@app.command("list")
def list_operations(
    site: Annotated[str, typer.Option(help="Only operations on this site.")] = "",
    active: Annotated[
        bool, typer.Option("--active", help="Only what has not ended, or needs attention.")
    ] = False,
    limit: Annotated[int, typer.Option(min=1, help="How many, newest first.")] = 50,
    json: Json = False,
) -> None:
    """List operations, newest first."""
    from vmoodle.installation import open_installation

    installation = open_installation()
    from vmoodle.operations.node import left_alone
    from vmoodle.registry import operations

    found = operations.recent(limit, site=site, active=active)
    alone = left_alone(installation, found)
    rows = [_facts(row) | {"nobody_executes": row.id in alone} for row in found]
    if json:
        print_json(rows)
        return
    print_table(
        ("ID", "KIND", "SUBJECT", "STATE", "PROGRESS", "ACTOR", "CREATED"),
        [
            (
                r["id"],
                r["kind"],
                r["site"],
                f"{r['state']}{', nobody executes' if r['nobody_executes'] else ''}",
                _progress(r),
                r["actor"],
                moment(r["created_at"]),
            )
            for r in rows
        ],
        "No operations.",
    )
    if alone:
        say("nobody executes: vmoodle worker goes on with them, as the next call that orders one")


@app.command()
def show(operation: Identifier, json: Json = False) -> None:
    """Show an operation with its log."""
    from vmoodle.installation import open_installation

    installation = open_installation()
    from vmoodle.fleet.kinds import KINDS
    from vmoodle.operations.decide import choices
    from vmoodle.operations.node import left_alone
    from vmoodle.registry import operations

    row = operations.find(operation)
    alone = bool(left_alone(installation, [row]))
    facts = _facts(row) | {"nobody_executes": alone}
    if possible := choices(KINDS, row):
        facts["choices"] = possible
    events = [
        {"at": event.at, "step": event.step, "level": event.level, "message": event.message}
        for event in operations.events_after(row.id, 0)
    ]
    if json:
        print_json(facts | {"events": events})
        return
    for key in ("created_at", "started_at", "finished_at"):
        facts[key] = moment(facts[key])
    del facts["nobody_executes"]
    if alone:
        facts["state"] = (
            f"{row.state}, nobody executes: vmoodle worker goes on with it, as does "
            f"vmoodle operation follow {row.id}"
        )
    facts["step"] = _progress(facts)
    facts = {"progress" if key == "step" else key: value for key, value in facts.items()}
    del facts["steps_done"], facts["steps_total"]
    facts["result"] = dumps(row.result, ensure_ascii=False) if row.result else ""
    print_block(facts)
    for event in events:
        print_text(f"{moment(event['at'])}  {event['level']:<7}  {event['message']}")


@app.command()
def follow(operation: Identifier, password_out: PasswordOut = None, json: Json = False) -> None:
    """Follow an operation to its end; go on with it here when no other process does."""
    from vmoodle.installation import open_installation

    installation = open_installation()
    from vmoodle.cli.passwords import new_file
    from vmoodle.cli.progress import carry_out
    from vmoodle.registry import operations

    with new_file(password_out) as out:
        ended = carry_out(installation, operations.find(operation))
        _show_end(installation, ended, out, json=json)


@app.command()
def cancel(operation: Identifier, json: Json = False) -> None:
    """Ask an operation to stop between two steps; what it made is taken back."""
    from vmoodle.installation import open_installation

    open_installation()
    from vmoodle.fleet.kinds import KINDS
    from vmoodle.operations.cancel import cancel as ask_to_stop

    row = ask_to_stop(KINDS, operation)
    if json:
        print_json(_facts(row))
    else:
        print_text(f"operation {row.id} will stop after its step")


@app.command()
def retry(operation: Identifier, password_out: PasswordOut = None, json: Json = False) -> None:
    """Go on with an operation that needs attention."""
    _again(operation, password_out, backwards=False, json=json)


@app.command()
def revert(operation: Identifier, json: Json = False) -> None:
    """Take back an operation that needs attention and has begun nothing without a way back."""
    _again(operation, None, backwards=True, json=json)


def _again(operation: str, password_out: Path | None, *, backwards: bool, json: bool) -> None:
    from vmoodle.installation import open_installation

    installation = open_installation()
    from vmoodle.cli.passwords import new_file
    from vmoodle.cli.progress import carry_out
    from vmoodle.errors import Failed
    from vmoodle.fleet.kinds import KINDS
    from vmoodle.operations import decide
    from vmoodle.registry import operations

    with new_file(password_out) as out:
        row = decide.revert(KINDS, operation) if backwards else decide.retry(operation)
        try:
            ended = carry_out(installation, row)
        except Failed:
            ended = operations.find(row.id)
            if not backwards:
                raise
        _show_end(installation, ended, out, json=json)


def _show_end(installation: Installation, ended: Operation, out: int | None, *, json: bool) -> None:
    """Show how an operation ended; a password goes to the file or the terminal, never to JSON."""
    from vmoodle.cli.passwords import how_to_get, show_once, waits

    if not json:
        say(f"operation {ended.id}: {ended.state}")
    if not json or out is not None:
        show_once(installation, ended, out)
    if json:
        waiting = {"password": how_to_get(ended)} if waits(ended) else {}
        print_json(_facts(ended) | waiting)


def _progress(facts: Mapping[str, Any]) -> str:
    """Return how far an operation is, and in which step where it has not come to its end."""
    done, total = facts["steps_done"], facts["steps_total"]
    if not total:
        return "not begun"
    if done == total or not facts["step"]:
        return f"{done} of {total} steps"
    from vmoodle.fleet.kinds import KINDS
    from vmoodle.operations.plan import title_of_step

    return f"{done} of {total} steps: {title_of_step(KINDS, facts['kind'], facts['step'])}"


def _facts(operation: Operation) -> dict[str, object]:
    facts: dict[str, object] = {
        "id": operation.id,
        "kind": operation.kind,
        "site": operation.subject,
        "state": operation.state,
        "step": operation.step,
        "steps_done": operation.steps_done,
        "steps_total": operation.steps_total,
        "actor": operation.actor,
        "node": operation.node,
        "created_at": operation.created_at,
        "started_at": operation.started_at,
        "finished_at": operation.finished_at,
        "result": operation.result,
    }
    if operation.error_code:
        facts |= {
            "error": operation.error_code,
            "message": operation.error_message,
            "hint": operation.error_hint,
        }
    return facts
