"""`vmoodle snapshot`: dated copies of sites."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vmoodle.cli import snapshot_take, snapshot_use
from vmoodle.cli.output import Json, in_bytes, moment, print_block, print_json, say
from vmoodle.cli.progress import showing
from vmoodle.cli.snapshot_words import SnapshotId, print_snapshots

app = typer.Typer(help="Snapshots: dated copies of sites, kept in a store.", no_args_is_help=True)
app.command("create")(snapshot_take.create)


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
        print_snapshots(rows)


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
def delete(snapshot: SnapshotId, json: Json = False) -> None:
    """Delete a snapshot; what no other needs of it goes with the next prune."""
    from vmoodle.installation import open_installation

    installation = open_installation()
    from vmoodle.lifecycle.snapshot import snapshot as snapshotting

    row = snapshotting.delete(installation, snapshot)
    print_json({"deleted": row.id}) if json else say(f"deleted {row.id}")


@app.command()
def export(
    snapshot: SnapshotId,
    path: Annotated[Path, typer.Argument(help="New file to write.")],
    json: Json = False,
) -> None:
    """Write a snapshot into one file, to carry it elsewhere."""
    from vmoodle.installation import open_installation

    installation = open_installation()
    from vmoodle.lifecycle.snapshot import archive as snapshot_archive

    with showing(f"writing {path}"):
        row = snapshot_archive.export_snapshot(installation, snapshot, path)
    print_json({"snapshot": row.id, "path": str(path)}) if json else say(f"wrote {path}")


@app.command("import")
def import_snapshot(
    path: Annotated[Path, typer.Argument(help="A file that `snapshot export` wrote.")],
    json: Json = False,
) -> None:
    """Take a snapshot that was exported into the store, after checking all of it."""
    from vmoodle.installation import open_installation

    installation = open_installation()
    from vmoodle.lifecycle.snapshot import archive as snapshot_archive
    from vmoodle.registry import snapshots

    with showing(f"reading {path}"):
        row, changed = snapshot_archive.import_snapshot(installation, path)
    if json:
        print_json(snapshots.facts(row) | {"imported": changed})
        return
    print_snapshots([snapshots.facts(row)])
    if not changed:
        say(f"{row.id} is there already; nothing was changed")


@app.command()
def pin(snapshot: SnapshotId, json: Json = False) -> None:
    """Keep a snapshot from being pruned or deleted."""
    _pin(snapshot, on=True, json=json)


@app.command()
def unpin(snapshot: SnapshotId, json: Json = False) -> None:
    """Let a pinned snapshot be pruned and deleted again."""
    _pin(snapshot, on=False, json=json)


def _pin(snapshot_id: str, *, on: bool, json: bool) -> None:
    from vmoodle.installation import open_installation

    open_installation()
    from vmoodle.lifecycle.snapshot import snapshot as snapshotting
    from vmoodle.registry import snapshots

    row = snapshotting.pin(snapshot_id, on=on)
    if json:
        print_json(snapshots.facts(row))
    else:
        say(f"{row.id} is {'pinned' if on else 'no longer pinned'}")


app.command("verify")(snapshot_use.verify)
app.command("drill")(snapshot_use.drill)
app.command("restore")(snapshot_use.restore)
app.command("prune")(snapshot_take.prune)
app.command("schedule")(snapshot_take.schedule)
app.command("due")(snapshot_take.due)
