"""`vmoodle snapshot create|schedule|due|prune`: how snapshots come to be, and which are kept."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vmoodle.cli.output import Json, moment, print_block, print_json, say
from vmoodle.cli.progress import showing
from vmoodle.cli.site_words import AllSites, Detach, Labels, Targets
from vmoodle.cli.snapshot_words import print_snapshots

if TYPE_CHECKING:
    from vmoodle.errors import VMoodleError
    from vmoodle.installation import Installation
    from vmoodle.registry.models import Operation

    Ordered = Mapping[str, Operation | VMoodleError]


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
    from vmoodle.errors import VMoodleError
    from vmoodle.fleet.targets import Selection, choose
    from vmoodle.lifecycle import snapshot
    from vmoodle.registry.models import SiteState

    selection = Selection(sites or [], label or [], all_sites)
    # A name that is wrong is told before anything is ordered; one given twice is meant once.
    met = choose(selection, {SiteState.ENABLED, SiteState.SUSPENDED})
    chosen = [site.shortname for site in met]
    ordered = snapshot.submit_each(installation, chosen, note=note)
    # What becomes of one site that is named is told as that of any other operation.
    alone = selection.names_one
    if alone and isinstance(refused := ordered[chosen[0]], VMoodleError):
        raise refused
    if detach:
        _show_ordered(ordered, json=json)
    else:
        _carry_out(installation, ordered, alone=alone, json=json)


def _show_ordered(ordered: Ordered, *, json: bool) -> None:
    from vmoodle.errors import VMoodleError

    rows: list[dict[str, Any]] = []
    for site, what in ordered.items():
        if isinstance(what, VMoodleError):
            rows.append(_refused(site, what))
        else:
            rows.append({"operation": what.id, "site": site})
    if json:
        print_json(rows)
    else:
        for row in rows:
            say(
                f"vmoodle operation follow {row['operation']}"
                if "code" not in row
                else f"{row['site']}: {row['detail']}"
            )
    raise typer.Exit(1 if any("code" in row for row in rows) else 0)


def _carry_out(installation: Installation, ordered: Ordered, *, alone: bool, json: bool) -> None:
    from vmoodle.cli.progress import carry_out_all
    from vmoodle.errors import VMoodleError
    from vmoodle.lifecycle.kinds import KINDS
    from vmoodle.operations.outcome import raise_its_error

    failed = [
        _refused(site, what) for site, what in ordered.items() if isinstance(what, VMoodleError)
    ]
    under_way = [what for what in ordered.values() if not isinstance(what, VMoodleError)]
    ended = carry_out_all(installation, under_way)
    if alone:
        raise_its_error(ended[0], KINDS)
    taken, more = _ended(ended)
    _show_taken(taken, failed + more, json=json)


def _ended(ended: list[Operation]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the snapshots that were taken, and what became of the others."""
    from vmoodle.errors import VMoodleError
    from vmoodle.lifecycle.kinds import KINDS
    from vmoodle.operations.outcome import raise_its_error
    from vmoodle.registry import snapshots

    taken, failed = [], []
    for operation in ended:
        try:
            raise_its_error(operation, KINDS)
        except VMoodleError as error:
            failed.append(_refused(operation.subject, error, operation.id))
        else:
            row = snapshots.find(operation.result["snapshot"])
            taken.append(snapshots.facts(row) | {"ok": True})
    return taken, failed


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


def _refused(site: str, error: VMoodleError, operation: str = "") -> dict[str, Any]:
    from vmoodle.fleet.outcome import failed

    return failed(site, error, operation=operation).as_facts()


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
    from vmoodle.cli.progress import carry_out, carry_out_all
    from vmoodle.installation import open_installation

    installation = open_installation()
    from vmoodle.lifecycle import snapshot_run
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
    taken, failed = _ended(carry_out_all(installation, snapshot_run.ordered_by(run)))
    failed += [_refused(what, why) for what, why in snapshot_run.skipped(run).items()]
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
    from vmoodle.lifecycle import snapshot as snapshotting

    with showing("pruning"):
        outcome = snapshotting.prune(installation, site, keep, dry_run=dry_run)
    if json:
        print_json(outcome)
        return
    for snapshot_id in outcome["deleted"]:
        typer.echo(f"{'would delete' if dry_run else 'deleted'} {snapshot_id}")
    say(f"{len(outcome['kept'])} kept")
