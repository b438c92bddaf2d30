"""`vmoodle snapshot create|schedule|due|prune`: how snapshots come to be, and which are kept."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vmoodle.cli.outcomes import carry_out_each, ordered_each, show_outcomes
from vmoodle.cli.output import Json, moment, print_block, print_json, print_text, say
from vmoodle.cli.progress import carry_out, showing
from vmoodle.cli.site_words import AllSites, Detach, Labels, Targets
from vmoodle.cli.snapshot_words import print_snapshots

if TYPE_CHECKING:
    from vmoodle.errors import VMoodleError
    from vmoodle.fleet.bulk.outcome import Outcome
    from vmoodle.installation import Installation
    from vmoodle.registry.models import Operation


def create(
    sites: Targets = None,
    label: Labels = None,
    all_sites: AllSites = False,
    note: Annotated[str, typer.Option(help="Why; shown in lists.")] = "",
    detach: Detach = False,
    json: Json = False,
) -> None:
    """Take a snapshot of each of the sites; they serve on.

    One that fails holds no other; the status is 1 when any did.
    """
    from vmoodle.installation import open_installation

    installation = open_installation()
    from vmoodle.fleet.targets.choose import Selection, choose
    from vmoodle.lifecycle.snapshot import snapshot
    from vmoodle.registry.models import SiteState

    selection = Selection(sites or [], label or [], all_sites)
    # A name that is wrong is told before anything is ordered; one given twice is meant once.
    met = choose(selection, {SiteState.ENABLED, SiteState.SUSPENDED})
    chosen = [site.shortname for site in met]
    ordered = snapshot.submit_each(installation, chosen, note=note)
    # What becomes of one site that is named is told as that of any other operation.
    if selection.names_one and not detach:
        taken = carry_out(installation, _accepted(ordered[chosen[0]]))
        _show_taken([_facts(taken)], [], json=json)
        return
    outcomes = ordered_each(ordered)
    if detach:
        if selection.names_one:
            _accepted(ordered[chosen[0]])
        show_outcomes([outcome for outcome, _operation in outcomes], json=json)
        return
    _show_taken(*_take(installation, outcomes), json=json)


def _accepted(what: Operation | VMoodleError) -> Operation:
    from vmoodle.errors import VMoodleError

    if isinstance(what, VMoodleError):
        raise what
    return what


def _take(
    installation: Installation, ordered: Sequence[tuple[Outcome, Operation | None]]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Carry the operations out; return the snapshots that were taken, and what became of others."""
    from vmoodle.fleet.bulk.outcome import Outcome

    taken: list[dict[str, Any]] = []

    def done(_place: int, ended: Operation) -> Outcome:
        taken.append(_facts(ended))
        return Outcome(ended.subject, "taken", ended.id)

    outcomes = carry_out_each(installation, ordered, done)
    return taken, [outcome.as_facts() for outcome in outcomes if not outcome.ok]


def _facts(ended: Operation) -> dict[str, Any]:
    from vmoodle.registry import snapshots

    return snapshots.facts(snapshots.find(ended.result["snapshot"])) | {"ok": True}


def _show_taken(taken: list[dict[str, Any]], failed: list[dict[str, Any]], *, json: bool) -> None:
    if json:
        print_json(taken + failed)
    else:
        print_snapshots(taken)
        for row in failed:
            say(f"{row['site']}: {row['detail']} [{row['code']}]")
        if len(taken) + len(failed) > 1:
            say(f"{len(taken)} taken, {len(failed)} failed")
    raise typer.Exit(1 if failed else 0)


def schedule(json: Json = False) -> None:
    """Show when snapshots are taken by themselves, and how the last time went."""
    from vmoodle.installation import open_installation

    installation = open_installation()
    from vmoodle.scheduler import snapshots

    facts = snapshots.facts(installation, datetime.now(UTC))
    if json:
        print_json(facts)
        return
    for key in ("next", "last"):
        facts[key] = moment(facts[key])
    print_block(facts)


def due(json: Json = False) -> None:
    """Take the snapshots that are due now: for a system timer, where no `vmoodle worker` runs."""
    from vmoodle.installation import open_installation

    installation = open_installation()
    from vmoodle.fleet.bulk.outcome import failed as refused
    from vmoodle.lifecycle.snapshot import run as snapshot_run
    from vmoodle.scheduler import snapshots

    run = snapshots.order_due(installation, datetime.now(UTC))
    if run is None:
        facts = snapshots.facts(installation, datetime.now(UTC))
        if json:
            print_json([])
        else:
            say(f"nothing is due; next: {moment(facts['next']) or 'never'}")
        return
    run = carry_out(installation, run)
    ordered = {row.subject: row for row in snapshot_run.ordered_by(run)}
    taken, failed = _take(installation, ordered_each(ordered))
    failed += [refused(what, why).as_facts() for what, why in snapshot_run.skipped(run).items()]
    _show_taken(taken, failed, json=json)


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
    from vmoodle.lifecycle.snapshot import snapshot as snapshotting

    with showing("pruning"):
        outcome = snapshotting.prune(installation, site, keep, dry_run=dry_run)
    if json:
        print_json(outcome)
        return
    for snapshot_id in outcome["deleted"]:
        print_text(f"{'would delete' if dry_run else 'deleted'} {snapshot_id}")
    pinned = f", {len(outcome['pinned'])} of them pinned" if outcome["pinned"] else ""
    say(f"{len(outcome['kept'])} kept{pinned}")
