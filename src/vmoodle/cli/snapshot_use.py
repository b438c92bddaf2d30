"""`vmoodle snapshot verify|drill|restore`: what snapshots are worth, and putting one to use."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from vmoodle.cli.output import Json, print_json, print_text, say, show_queued
from vmoodle.cli.progress import showing
from vmoodle.cli.question import ask
from vmoodle.cli.site_words import Confirm, Detach
from vmoodle.cli.snapshot_words import SnapshotId, missing_words


def verify(
    snapshot: Annotated[
        str, typer.Argument(help="The snapshot's id, or enough of its beginning or end.")
    ] = "",
    site: Annotated[str, typer.Option(help="Instead: all snapshots of this site.")] = "",
    every: Annotated[bool, typer.Option("--all", help="Instead: all snapshots.")] = False,
    json: Json = False,
) -> None:
    """Compare every hash of a snapshot with what lies in the store; status 1 if any differs."""
    from vmoodle.errors import InvalidInput
    from vmoodle.installation import open_installation

    if sum(map(bool, (snapshot, site, every))) != 1:
        raise InvalidInput(
            "snapshot.which",
            "Name one snapshot, or one site with --site, or say --all.",
            "`vmoodle snapshot list` shows the snapshots.",
        )
    installation = open_installation()
    from vmoodle.lifecycle.snapshot import snapshot as snapshotting
    from vmoodle.lifecycle.stored import require_whole
    from vmoodle.registry import snapshots

    if not snapshot:
        with showing("reading") as tell:
            outcome = snapshotting.verify_each(installation, site, tell)
        _show_verified(outcome, json=json)
        return
    row = snapshots.find(snapshot)
    with showing(f"reading {row.id}"):
        findings = snapshotting.verify(installation, row.id)
    if json:
        print_json(_verified(row.id, [finding.message for finding in findings]))
        raise typer.Exit(1 if findings else 0)
    for finding in findings:
        say(finding.message)
    require_whole(findings, row.id)
    print_text(f"{row.id} is whole{missing_words(row.missing_files)}")


def _show_verified(outcome: dict[str, list[str]], *, json: bool) -> None:
    from vmoodle.registry import snapshots

    damaged = [snapshot_id for snapshot_id, findings in outcome.items() if findings]
    if json:
        print_json([_verified(*entry) for entry in outcome.items()])
    else:
        for snapshot_id, findings in outcome.items():
            lacks = missing_words(snapshots.find(snapshot_id).missing_files)
            print_text(f"{snapshot_id} is {'DAMAGED' if findings else 'whole'}{lacks}")
            for finding in findings:
                say(f"  {finding}")
        say(f"{len(outcome) - len(damaged)} whole, {len(damaged)} damaged")
    raise typer.Exit(1 if damaged else 0)


def _verified(snapshot_id: str, findings: list[str]) -> dict[str, object]:
    from vmoodle.registry import snapshots

    missing = snapshots.find(snapshot_id).missing_files
    return {
        "snapshot": snapshot_id,
        "ok": not findings,
        "findings": findings,
        "missing_files": missing,
    }


def drill(
    snapshot: Annotated[
        str, typer.Argument(help="The snapshot's id, or enough of its beginning or end.")
    ] = "",
    site: Annotated[str, typer.Option(help="Instead: the newest snapshot of this site.")] = "",
    codebase: Annotated[
        str, typer.Option(help="Codebase to boot it on; one of its versions when not given.")
    ] = "",
    server: Annotated[
        str, typer.Option(help="Database server to restore it to; its site's when not given.")
    ] = "",
    detach: Detach = False,
    json: Json = False,
) -> None:
    """Restore a snapshot to scratch, boot it, log in, drop it all: proof that it can be restored.

    Status 1 when the snapshot does not stand the drill; it is said in lists until the next drill.
    """
    from vmoodle.cli.progress import carry_out
    from vmoodle.errors import InvalidInput
    from vmoodle.installation import open_installation

    if bool(snapshot) == bool(site):
        raise InvalidInput(
            "snapshot.which",
            "Name one snapshot, or one site with --site.",
            "`vmoodle snapshot list` shows the snapshots.",
        )
    installation = open_installation()
    from vmoodle.lifecycle.snapshot import drill as drilling
    from vmoodle.registry import snapshots

    row = snapshots.newest_of(site) if site else snapshots.find(snapshot)
    operation = drilling.submit(installation, row.id, codebase=codebase, server=server)
    if detach:
        show_queued(operation.id, {"snapshot": row.id}, json=json)
        return
    carry_out(installation, operation)
    row = snapshots.find(row.id)
    if json:
        print_json(snapshots.facts(row))
    else:
        print_text(
            f"{row.id} was restored, showed its front page and let its administrator in"
            f"{missing_words(row.missing_files)}"
        )


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
    from vmoodle.lifecycle.snapshot import restore as restoring
    from vmoodle.registry import sites, snapshots

    row = snapshots.find(snapshot)
    if confirm is None and sys.stdin.isatty():
        lacks = missing_words(row.missing_files)
        say(f"This replaces all that {row.site_shortname} has now by {row.id}{lacks}.")
        confirm = ask("Type the shortname to go on")
    operation = restoring.submit(installation, row.id, typed=confirm or "")
    if detach:
        show_queued(operation.id, {"site": row.site_shortname}, json=json)
        return
    carry_out(installation, operation)
    show_site(sites.find(row.site_shortname), json=json)
