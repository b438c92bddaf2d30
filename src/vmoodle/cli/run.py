"""`vmoodle run`: commands that were run on many sites, and what came of them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vmoodle.cli.option_words import with_options
from vmoodle.cli.output import (
    Json,
    in_a_row,
    moment,
    names,
    print_block,
    print_json,
    print_table,
    say,
)
from vmoodle.cli.progress import carry_out_all, showing
from vmoodle.cli.run_show import show_answers, show_cuts, show_run
from vmoodle.cli.run_start import Confirm, DryRun, Timeout, Yes

if TYPE_CHECKING:
    from vmoodle.fleet.command import AnyCommand
    from vmoodle.registry.fleet_models import Run

_LONGEST_PARAMETER = 200
_MOST_DIFFERENCES = 1000

app = typer.Typer(help="Commands that were run on many sites.", no_args_is_help=True)

RunId = Annotated[str, typer.Argument(help="The run's id, or its beginning.")]


@app.command("list")
def list_runs(
    command: Annotated[str, typer.Option(help="Only runs of this command.")] = "",
    site: Annotated[str, typer.Option(help="Only runs on this site.")] = "",
    actor: Annotated[str, typer.Option(help="Only runs by whom this is part of.")] = "",
    since: Annotated[
        str,
        typer.Option(
            metavar="TIME", help="Only later ones: 2h or 3d ago, a day, or a day and time (UTC)."
        ),
    ] = "",
    limit: Annotated[int, typer.Option(min=1, help="How many, newest first.")] = 50,
    json: Json = False,
) -> None:
    """List runs, newest first."""
    from datetime import UTC, datetime

    from vmoodle.cli.times import moment_since
    from vmoodle.installation import open_installation

    open_installation()
    from vmoodle.fleet.runs.filters import search
    from vmoodle.fleet.runs.view import facts
    from vmoodle.registry import runs

    after = moment_since(since, datetime.now(UTC)) if since else None
    found = search(command=command, site=site, actor=actor, since=after, limit=limit)
    counts = runs.counts([row.id for row in found])
    rows = [facts(row, counts[row.id]) for row in found]
    if json:
        print_json(rows)
        return
    print_table(
        ("RUN", "COMMAND", "STATE", "TARGET", "SITES", "OK", "ACTOR", "CREATED"),
        [
            (
                r["run"], r["command"] + (" (dry run)" if r["dry_run"] else ""), r["state"],
                r["target"][:40], r["summary"]["sites"], r["summary"]["ok"], r["actor"],
                moment(r["created_at"]),
            )
            for r in rows
        ],
        "No runs.",
    )  # fmt: skip


@app.command()
def show(run: RunId, json: Json = False) -> None:
    """Show a run: what it was, and what each site answered."""
    from vmoodle.installation import open_installation

    open_installation()
    from vmoodle.fleet.runs.export import write_json
    from vmoodle.fleet.runs.view import facts
    from vmoodle.registry import runs

    row = runs.find(run)
    if json:
        write_json(row, sys.stdout, with_options)
        return
    told = facts(row)
    told["parameters"] = [f"{name}: {_short(value)}" for name, value in row.parameters.items()]
    for key in ("created_at", "finished_at"):
        told[key] = moment(told[key])
    del told["summary"]
    print_block(told)
    show_answers(row, _comparison(row))


@app.command()
def again(
    run: RunId,
    failed: Annotated[
        bool, typer.Option("--failed", help="Only on the sites where it was not done.")
    ] = False,
    timeout: Timeout = None,
    yes: Yes = False,
    confirm: Confirm = None,
    json: Json = False,
) -> None:
    """Run the same command again, with the same parameters, on the same sites.

    Sites of which it is not known whether they were changed do not count as failed.
    """
    from vmoodle.cli.run_start import carry_out
    from vmoodle.installation import open_installation

    installation = open_installation()
    from vmoodle.fleet.command_sets import find
    from vmoodle.fleet.runs import order
    from vmoodle.registry import runs

    row = runs.find(run)
    command: type[AnyCommand] = find(row.command)
    made = order.again(installation, row, command, failed=failed, timeout=timeout)
    carry_out(installation, made, yes=yes, confirm=confirm, dry=row.dry, json=json)


@app.command()
def undo(
    run: RunId,
    dry_run: DryRun = False,
    yes: Yes = False,
    confirm: Confirm = None,
    json: Json = False,
) -> None:
    """Take a run back on its sites: what it changed there becomes what it was.

    What somebody else has changed since is left as it is, and told.
    """
    from vmoodle.cli.run_start import carry_out
    from vmoodle.installation import open_installation

    installation = open_installation()
    from vmoodle.fleet.command_sets import find
    from vmoodle.fleet.runs import order
    from vmoodle.registry import runs

    row = runs.find(run)
    made = order.undo(installation, row, find(row.command))
    carry_out(installation, made, yes=yes, confirm=confirm, dry=dry_run, json=json)


@app.command("continue")
def go_on(run: RunId, json: Json = False) -> None:
    """Go on with a run whose process was ended, on the sites not yet done."""
    from vmoodle.installation import open_installation

    installation = open_installation()
    from vmoodle.fleet.runs import order, runner
    from vmoodle.registry import runs

    row = runs.find(run)
    if row.operation_id:
        runner.refuse_to_go_on(installation, row)
        carry_out_all(installation, [order.operation_of(row)])
        row = runs.find(row.id)
    else:
        with showing("asking the sites") as tell:
            row = runner.go_on(installation, row, tell)
    show_run(row, _comparison(row), json=json)


@app.command()
def diff(before: RunId, after: RunId, json: Json = False) -> None:
    """Show on which sites two runs of a command tell different things."""
    from vmoodle.installation import open_installation

    open_installation()
    from vmoodle.fleet.runs.diff import differences, grouped_differences
    from vmoodle.registry import runs

    old, new = runs.find(before), runs.find(after)
    if json:
        rows = list(differences(old, new))
        print_json({"before": old.id, "after": new.id, "differences": rows})
        return
    found, more = grouped_differences(old, new, _MOST_DIFFERENCES)
    what = ("WHAT",) if any(one.what for one in found) else ()
    print_table(
        (*what, "BEFORE", "AFTER", "SITES", "WHICH"),
        [
            (
                *(in_a_row(one.what) for _heading in what),
                in_a_row(one.before), in_a_row(one.after), len(one.sites), names(one.sites),
            )
            for one in found
        ],
        "No differences.",
    )  # fmt: skip
    if more:
        say(f"{more} more; --json has all")


@app.command()
def export(
    run: RunId,
    file: Annotated[Path, typer.Argument(help="A new file.")],
    form: Annotated[
        str, typer.Option("--format", help="csv, json or parquet; by the file's name otherwise.")
    ] = "",
    json: Json = False,
) -> None:
    """Write the answers of a run into a file."""
    from vmoodle.installation import open_installation

    open_installation()
    from vmoodle.fleet.runs.export import export as write
    from vmoodle.fleet.runs.view import cuts
    from vmoodle.registry import runs

    row = runs.find(run)
    count = write(row, file, form or file.suffix.removeprefix(".").lower())
    cut = cuts(row)
    if json:
        truncated = sorted(site for sites in cut.values() for site in sites)
        print_json({"run": row.id, "file": str(file), "rows": count, "truncated": truncated})
    else:
        say(f"{count} row(s) written to {file}")
        show_cuts(cut)


@app.command()
def delete(
    run: RunId,
    yes: Annotated[
        bool, typer.Option("--yes", help="Do not ask before what would take it back is lost.")
    ] = False,
    json: Json = False,
) -> None:
    """Delete a run that has ended: what sites answered, and what would take it back.

    It asks first where the run can still be taken back. The audit trail keeps that it was.
    """
    from vmoodle.installation import open_installation

    open_installation()
    from vmoodle.registry import runs

    row = runs.find(run)
    if not yes and not runs.is_under_way(row) and not _agreed_to_lose(row):
        raise typer.Abort
    runs.delete(row)
    if json:
        print_json({"run": row.id, "deleted": True})
    else:
        say(f"run {row.id} is deleted")


@app.command()
def prune(
    days: Annotated[
        int | None, typer.Option(min=1, help="Keep this many days, not fleet.keep_runs_days.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show how many.")] = False,
    json: Json = False,
) -> None:
    """Delete the runs that were kept long enough, with all that was kept of their sites.

    The audit trail stays, and so does a run that is under way.
    """
    from datetime import UTC, datetime, timedelta

    from vmoodle.installation import open_installation

    installation = open_installation()
    from vmoodle.registry import runs
    from vmoodle.scheduler.runs import oldest_kept

    now = datetime.now(UTC)
    before = now - timedelta(days=days) if days else oldest_kept(installation, now)
    ids = runs.prune(before, dry=dry_run) if before else []
    if json:
        print_json({"before": before, "dry_run": dry_run, "runs": ids})
    elif before is None:
        say("runs are kept for ever (fleet.keep_runs_days is 0); --days N says otherwise")
    else:
        would = "would be" if dry_run else "are"
        say(f"{len(ids)} run(s) of before {moment(before)} {would} deleted")


def _agreed_to_lose(run: Run) -> bool:
    """Tell whether a run may be deleted: asks where it has what would take it back."""
    from vmoodle.fleet.bulk.confirmation import refuse_unconfirmed_loss
    from vmoodle.registry import runs

    sites = runs.undoable(run.id)
    if sites and sys.stdin.isatty():
        lost = f"Run {run.id} can be taken back on {len(sites)} site(s) ({names(sites)})."
        return typer.confirm(f"{lost} Delete it, and what that takes?", err=True)
    refuse_unconfirmed_loss(run.id, sites)
    return True


def _comparison(run: Run) -> Any:
    """Return how the command's answers are shown; one that is gone by now shows them by value."""
    from vmoodle.errors import NotFound
    from vmoodle.fleet.command_sets import find

    try:
        return find(run.command).comparison
    except NotFound:
        return None


def _short(value: object) -> str:
    """Return a parameter as a line: what was put in when it was ordered may be long."""
    text = str(value)
    return text if len(text) <= _LONGEST_PARAMETER else f"{text[:_LONGEST_PARAMETER]}…"
