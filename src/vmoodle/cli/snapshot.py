"""`vmoodle snapshot`: dated copies of sites."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from vmoodle.cli.output import Json, in_bytes, moment, print_block, print_json, print_table, say
from vmoodle.cli.progress import showing
from vmoodle.cli.site_words import Confirm, Detach

app = typer.Typer(help="Snapshots: dated copies of sites, kept in a store.", no_args_is_help=True)
SnapshotId = Annotated[
    str, typer.Argument(help="The snapshot's id, or enough of its beginning or end.")
]


@app.command()
def create(
    sites: Annotated[list[str], typer.Argument(help="Shortnames of the sites.")],
    note: Annotated[str, typer.Option(help="Why; shown in lists.")] = "",
    detach: Detach = False,
    json: Json = False,
) -> None:
    """Take a snapshot of each of the sites; they serve on."""
    from vmoodle.cli.progress import carry_out
    from vmoodle.installation import open_installation

    installation = open_installation()
    from vmoodle.lifecycle import snapshot
    from vmoodle.registry import sites as known
    from vmoodle.registry import snapshots

    # A name that is wrong is told before anything is ordered; one given twice is meant once.
    names = [known.find(name).shortname for name in dict.fromkeys(sites)]
    ordered = [snapshot.submit(installation, name, note=note) for name in names]
    if detach:
        facts = [{"operation": row.id, "site": row.subject} for row in ordered]
        if json:
            print_json(facts)
        else:
            for operation in ordered:
                say(f"vmoodle operation follow {operation.id}")
        return
    ended = [carry_out(installation, operation) for operation in ordered]
    rows = [snapshots.facts(snapshots.find(row.result["snapshot"])) for row in ended]
    if json:
        print_json(rows)
    else:
        _print(rows)


@app.command("list")
def list_snapshots(
    site: Annotated[str, typer.Argument(help="Only this site's.")] = "", json: Json = False
) -> None:
    """List snapshots, newest first."""
    from vmoodle.installation import open_installation

    open_installation()
    from vmoodle.registry import snapshots

    rows = [snapshots.facts(row) for row in snapshots.every(site)]
    if json:
        print_json(rows)
    else:
        _print(rows)


@app.command()
def show(snapshot: SnapshotId, json: Json = False) -> None:
    """Show a snapshot."""
    from vmoodle.installation import open_installation

    open_installation()
    from vmoodle.registry import snapshots

    facts = snapshots.facts(snapshots.find(snapshot))
    if json:
        print_json(facts)
        return
    for key in ("taken", "verified", "drilled"):
        facts[key] = moment(facts[key])
    for key in ("database_bytes", "files_bytes"):
        facts[key] = in_bytes(facts[key])
    print_block(facts)


@app.command()
def verify(snapshot: SnapshotId, json: Json = False) -> None:
    """Compare every hash of a snapshot with what lies in the store; status 1 if any differs."""
    from vmoodle.installation import open_installation

    installation = open_installation()
    from vmoodle.lifecycle import snapshot as snapshotting
    from vmoodle.registry import snapshots

    row = snapshots.find(snapshot)
    with showing(f"reading {row.id}"):
        findings = snapshotting.verify(installation, row.id)
    if json:
        print_json(
            {
                "snapshot": row.id,
                "ok": not findings,
                "findings": [finding.message for finding in findings],
            }
        )
        raise typer.Exit(1 if findings else 0)
    for finding in findings:
        say(finding.message)
    snapshotting.require_whole(findings, row.id)
    typer.echo(f"{row.id} is whole")


@app.command()
def restore(
    snapshot: SnapshotId,
    confirm: Confirm = None,
    detach: Detach = False,
    json: Json = False,
) -> None:
    """Put a site back to a snapshot of it; `site create --snapshot` makes a new site of one."""
    from vmoodle.cli.progress import carry_out
    from vmoodle.cli.site_facts import show_site
    from vmoodle.installation import open_installation

    installation = open_installation()
    from vmoodle.lifecycle import restore as restoring
    from vmoodle.registry import sites, snapshots

    row = snapshots.find(snapshot)
    if confirm is None and sys.stdin.isatty():
        say(f"This replaces all that {row.site_shortname} has now by {row.id}.")
        confirm = typer.prompt("Type the shortname to go on", err=True)
    operation = restoring.submit(installation, row.id, typed=confirm or "")
    if detach:
        facts = {"operation": operation.id, "site": row.site_shortname}
        print_json(facts) if json else say(f"vmoodle operation follow {operation.id}")
        return
    carry_out(installation, operation)
    show_site(sites.find(row.site_shortname), json=json)


@app.command()
def delete(snapshot: SnapshotId, json: Json = False) -> None:
    """Delete a snapshot; what no other needs of it goes with the next prune."""
    from vmoodle.installation import open_installation

    installation = open_installation()
    from vmoodle.lifecycle import snapshot as snapshotting

    row = snapshotting.delete(installation, snapshot)
    print_json({"deleted": row.id}) if json else say(f"deleted {row.id}")


@app.command()
def prune(
    site: Annotated[str, typer.Argument(help="Only this site's; all sites' without.")] = "",
    keep: Annotated[
        str, typer.Option(help="As last=3,daily=7,weekly=4; the setting when not given.")
    ] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    json: Json = False,
) -> None:
    """Delete the snapshots that the retention does not keep, and what only they needed."""
    from vmoodle.installation import open_installation

    installation = open_installation()
    from vmoodle.lifecycle import snapshot as snapshotting

    with showing("pruning"):
        outcome = snapshotting.prune(installation, site, keep, dry_run=dry_run)
    if json:
        print_json(outcome)
        return
    for snapshot_id in outcome["deleted"]:
        typer.echo(f"{'would delete' if dry_run else 'deleted'} {snapshot_id}")
    say(f"{len(outcome['kept'])} kept")


@app.command()
def export(
    snapshot: SnapshotId,
    path: Annotated[Path, typer.Argument(help="New file to write.")],
    json: Json = False,
) -> None:
    """Write a snapshot into one file, to carry it elsewhere."""
    from vmoodle.installation import open_installation

    installation = open_installation()
    from vmoodle.lifecycle import carry

    with showing(f"writing {path}"):
        row = carry.export_snapshot(installation, snapshot, path)
    print_json({"snapshot": row.id, "path": str(path)}) if json else say(f"wrote {path}")


@app.command("import")
def import_snapshot(
    path: Annotated[Path, typer.Argument(help="A file that `snapshot export` wrote.")],
    json: Json = False,
) -> None:
    """Take a snapshot that was exported into the store, after checking all of it."""
    from vmoodle.installation import open_installation

    installation = open_installation()
    from vmoodle.lifecycle import carry
    from vmoodle.registry import snapshots

    with showing(f"reading {path}"):
        row = carry.import_snapshot(installation, path)
    if json:
        print_json(snapshots.facts(row))
    else:
        _print([snapshots.facts(row)])


def _print(rows: list[dict[str, Any]]) -> None:
    print_table(
        ("ID", "SITE", "TAKEN", "MOODLE", "DATABASE", "FILES", "VERIFIED", "NOTE"),
        [
            (
                r["id"],
                r["site"],
                moment(r["taken"]),
                r["moodle"],
                in_bytes(r["database_bytes"]),
                in_bytes(r["files_bytes"]),
                "" if r["verified_ok"] is None else "ok" if r["verified_ok"] else "DAMAGED",
                r["note"],
            )
            for r in rows
        ],
        "No snapshots yet: vmoodle snapshot create SITE",
    )
