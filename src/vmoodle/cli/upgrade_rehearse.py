"""`vmoodle upgrade rehearse`: upgrade copies of some sites, and show what came of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vmoodle.cli.output import Json, in_bytes, moment, print_block, print_json, print_table, say
from vmoodle.cli.run_start import On
from vmoodle.cli.upgrade_run import Detach, seconds

if TYPE_CHECKING:
    from vmoodle.errors import VMoodleError
    from vmoodle.fleet.upgrade.rehearsal import Chosen
    from vmoodle.registry.models import Operation
    from vmoodle.registry.rehearsal_models import Rehearsal

_MOST_PARTS = 5


def rehearse(
    to: Annotated[str, typer.Option(help="The codebase to upgrade to.")],
    on: On,
    largest: Annotated[
        int | None, typer.Option(min=0, help="So many of the largest databases.")
    ] = None,
    oldest: Annotated[
        int | None, typer.Option(min=0, help="So many of the sites installed first.")
    ] = None,
    random: Annotated[int | None, typer.Option(min=0, help="So many others at random.")] = None,
    accept: Annotated[
        list[str] | None, typer.Option(help="A blocker that counts as a warning; repeatable.")
    ] = None,
    timeout: Annotated[str, typer.Option(help="Moodle's upgrade of a copy is ended then.")] = "1h",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show which sites would be rehearsed.")
    ] = False,
    detach: Detach = False,
    json: Json = False,
) -> None:
    """Upgrade sanitised copies of some sites, and drop them: the largest, the oldest, one more.

    With --largest, --oldest or --random only those. The sites serve on. Status 1 when one failed.
    """
    from vmoodle.installation import open_installation

    installation = open_installation()
    from vmoodle.cli.progress import carry_out_all, showing
    from vmoodle.fleet.upgrade.rehearsal import choose
    from vmoodle.fleet.upgrade.rehearsal_choice import Amounts
    from vmoodle.lifecycle.upgrade.rehearsal_order import submit_each

    given = (largest, oldest, random)
    amounts = Amounts() if given == (None,) * 3 else Amounts(*(one or 0 for one in given))
    limit = seconds(timeout) or 3600.0
    with showing("planning") as tell:
        chosen = choose(installation, to, on, amounts, accept=accept or [], tell=tell)
    if dry_run:
        _show_chosen(chosen, json=json)
        return
    if not json:
        for name, error in chosen.left_out.items():
            say(f"{name} cannot be rehearsed: {error.message} [{error.code}]")
    ordered = submit_each(installation, to, list(chosen.sites), timeout=limit, accept=accept or [])
    under_way = _accepted(ordered)
    if not detach:
        carry_out_all(installation, under_way)
    _show_ended(ordered, chosen.left_out, detach=detach, json=json)


def list_rehearsals(
    to: Annotated[str, typer.Option(help="Only those to this codebase.")] = "",
    site: Annotated[str, typer.Option(help="Only those of this site.")] = "",
    limit: Annotated[int, typer.Option(min=1, help="How many, newest first.")] = 50,
    json: Json = False,
) -> None:
    """List rehearsals, newest first: what came of each, and how long Moodle's upgrade took."""
    from vmoodle.installation import open_installation

    open_installation()
    from vmoodle.registry import rehearsals

    found = rehearsals.recent(limit, codebase=to, shortname=site)
    if json:
        print_json([_facts(row) for row in found])
        return
    _print(found)


def show_rehearsal(
    rehearsal: Annotated[str, typer.Argument(help="The rehearsal's id, or its beginning.")],
    json: Json = False,
) -> None:
    """Show a rehearsal: its steps, the slowest components, the tables that the upgrade touched."""
    from vmoodle.installation import open_installation

    open_installation()
    from vmoodle.registry import rehearsals

    row = rehearsals.find(rehearsal)
    if json:
        print_json(
            _facts(row) | {"steps": row.steps, "components": row.components, "touched": row.touched}
        )
        return
    _show(row)


def _accepted(ordered: Mapping[str, Operation | VMoodleError]) -> list[Operation]:
    """Return the operations; where there is none at all, raise why."""
    from vmoodle.errors import VMoodleError

    under_way = [one for one in ordered.values() if not isinstance(one, VMoodleError)]
    for one in ordered.values():
        if not under_way and isinstance(one, VMoodleError):
            raise one
    return under_way


def _show_chosen(chosen: Chosen, *, json: bool) -> None:
    if json:
        print_json(
            {
                "sites": [
                    {"site": name, "why": why, "database_bytes": one.size}
                    for name, (one, why) in chosen.sites.items()
                ],
                "left_out": _problems(chosen.left_out),
            }
        )
        return
    print_table(
        ("SITE", "DATABASE", "WHY"),
        [(name, in_bytes(one.size), ", ".join(why)) for name, (one, why) in chosen.sites.items()],
        "No site.",
    )
    for name, error in chosen.left_out.items():
        say(f"{name} cannot be rehearsed: {error.message} [{error.code}]")


def _show_ended(
    ordered: Mapping[str, Operation | VMoodleError],
    left_out: Mapping[str, VMoodleError],
    *,
    detach: bool,
    json: bool,
) -> None:
    from vmoodle.errors import VMoodleError
    from vmoodle.registry import rehearsals
    from vmoodle.registry.rehearsal_models import RehearsalState

    refused = {name: one for name, one in ordered.items() if isinstance(one, VMoodleError)}
    rows = [
        rehearsals.of_operation(one.id)
        for one in ordered.values()
        if not isinstance(one, VMoodleError)
    ]
    if json:
        told = {"refused": _problems(refused), "left_out": _problems(left_out)}
        print_json({"rehearsals": [_facts(row) for row in rows], **told})
    else:
        _print(rows)
        for name, error in refused.items():
            say(f"{name}: {error.message} [{error.code}] {error.hint}".rstrip())
    good = {RehearsalState.PASSED, *({RehearsalState.RUNNING} if detach else ())}
    if refused or any(row.state not in good for row in rows):
        raise typer.Exit(1)


def _problems(errors: Mapping[str, VMoodleError]) -> dict[str, dict[str, str]]:
    return {
        name: {"code": error.code, "detail": error.message, "hint": error.hint}
        for name, error in errors.items()
    }


def _facts(row: Rehearsal) -> dict[str, Any]:
    keys = (
        "shortname", "codebase", "state", "source_release", "target_release", "source_hash",
        "target_hash", "engine", "database_bytes", "rows", "copy_ms", "upgrade_ms", "checks",
        "failed_step", "failed_component", "error_code", "error_message", "error_hint",
        "operation_id", "actor", "created_at", "finished_at",
    )  # fmt: skip
    told = {key: getattr(row, key) for key in keys}
    return {"rehearsal": row.id, **told, "touched_tables": len(row.touched)}


def _print(rows: Sequence[Rehearsal]) -> None:
    print_table(
        ("ID", "SITE", "FROM", "TO", "STATE", "DATABASE", "COPY", "UPGRADE", "TABLES", "AT", "WHY"),
        [
            (row.id, row.shortname, row.source_release, f"{row.target_release} ({row.codebase})",
             row.state, in_bytes(row.database_bytes), _in_seconds(row.copy_ms),
             _in_seconds(row.upgrade_ms), len(row.touched) or "", moment(row.created_at), _why(row))
            for row in rows
        ],
        "No rehearsals.",
    )  # fmt: skip


def _why(row: Rehearsal) -> str:
    if not row.error_code:
        return ""
    where = f"at {row.failed_component}: " if row.failed_component else ""
    return f"{where}{row.error_message} [{row.error_code}]"


def _show(row: Rehearsal) -> None:
    facts = _facts(row)
    for key in ("created_at", "finished_at"):
        facts[key] = moment(facts[key])
    facts["database_bytes"] = in_bytes(row.database_bytes)
    slowest = sorted(row.components, key=lambda one: -one[1])[:_MOST_PARTS]
    print_block(
        {name: value for name, value in facts.items() if value not in ("", None)}
        | {
            "steps": [f"{name}: {_in_seconds(taken)}" for name, taken in row.steps.items()],
            "slowest": [f"{name}: {_in_seconds(taken)}" for name, taken in slowest],
        }
    )
    print_table(
        ("TABLE", "WHAT", "ROWS BEFORE", "AFTER"),
        [
            (name, ", ".join(one["what"]), one["rows_before"], one["rows_after"])
            for name, one in row.touched.items()
        ],
        "No tables.",
    )


def _in_seconds(milliseconds: int | None) -> str:
    return "" if milliseconds is None else f"{milliseconds / 1000:.1f} s"
