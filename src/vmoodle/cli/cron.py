"""`vmoodle cron`: Moodle's cron of all sites."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from vmoodle.cli.output import Json, print_block, print_json, print_table, print_text, say

if TYPE_CHECKING:
    from vmoodle.scheduler.cron.run import Ended

LATE_STATUS = 8

app = typer.Typer(help="Moodle's cron of all sites.", no_args_is_help=True)


@app.command()
def once(
    site: Annotated[str, typer.Option(help="Only this site, where its turn has come.")] = "",
    json: Json = False,
) -> None:
    """Carry out one round: ask all sites what is due, run those whose turn it is, wait for them.

    The status is 1 when a run did not go well.
    """
    from vmoodle.installation import open_installation

    installation = open_installation()
    from vmoodle.registry import sites
    from vmoodle.scheduler.cron.service import once as carry_out

    if site:
        sites.find(site)

    def tell(shortname: str, ended: Ended) -> None:
        if not json:
            word = f"{ended.outcome}  {ended.seconds:.1f} s  {ended.error}".rstrip()
            print_text(f"{ended.mark}  {shortname}  {word}")

    done = carry_out(installation, only=site, tell=tell)
    badly = sum(ended.outcome != "ok" for _shortname, ended in done)
    if json:
        rows = [
            {
                "site": shortname, "run": ended.mark, "outcome": ended.outcome,
                "status": ended.status, "seconds": round(ended.seconds, 3),
                "error": ended.error or None,
            }
            for shortname, ended in done
        ]  # fmt: skip
        print_json({"runs": rows, "failed": badly})
    else:
        say(f"{len(done)} run, {badly} did not go well")
    if badly:
        raise typer.Exit(1)


@app.command("list")
def list_sites(
    late: Annotated[
        bool, typer.Option("--late", help="Only sites that wait longer than promised.")
    ] = False,
    check: Annotated[
        bool,
        typer.Option("--check", help="End with status 8 when a site waits longer than promised."),
    ] = False,
    json: Json = False,
) -> None:
    """List how the cron of each site stands, and of the fleet; times in UTC, durations in seconds.

    WAITS is since when nobody has seen to the site, PROMISED how long that may be at most.
    """
    from vmoodle.installation import open_installation

    installation = open_installation()
    from vmoodle.scheduler.cron import view

    known = view.sites_of(installation)
    fleet = view.of_fleet(installation, known)
    shown = [one for one in known if one.is_late or not late]
    if json:
        print_json({"fleet": fleet, "sites": [one.facts() for one in shown]})
    else:
        headings = (
            "SITE", "STATE", "TIER", "LAST RUN", "TOOK", "WAITS", "PROMISED", "WORST", "DUE",
            "AD HOC", "DELAYED", "FAILURES", "WHY",
        )  # fmt: skip
        print_table(headings, [_row(one.facts()) for one in shown], "No site.")
        say(
            f"{fleet['sites']} sites, {fleet['running']} running, {fleet['late']} late, "
            f"{fleet['failing']} failing; strategy {fleet['strategy']}"
        )
    if check and fleet["late"]:
        raise typer.Exit(LATE_STATUS)


def _row(facts: dict[str, Any]) -> list[object]:
    names = (
        "site", "state", "tier", "last_run", "seconds", "waits_seconds", "promised_seconds",
        "worst_seconds", "due", "adhoc", "fail_delays", "failures",
    )  # fmt: skip
    return [*(facts[name] for name in names), facts["obstacle"] or facts["error"]]


@app.command()
def show(site: Annotated[str, typer.Argument(metavar="SITE")], json: Json = False) -> None:
    """Show how the cron of one site stands, and its last runs."""
    from vmoodle.errors import NotFound
    from vmoodle.installation import open_installation

    installation = open_installation()
    from vmoodle.registry import cron, sites
    from vmoodle.scheduler.cron import view

    row = sites.find(site)
    one = next((o for o in view.sites_of(installation) if o.site.site_id == row.id), None)
    if one is None:
        raise NotFound(
            "cron.site.unknown",
            f"Nothing is known of the cron of {site}.",
            "It is of enabled sites, once `vmoodle cron once` or a worker has looked at them.",
        )
    runs = [view.run_facts(run) for run in cron.runs(shortname=site, limit=10)]
    if json:
        print_json(one.facts() | {"last_runs": runs})
        return
    print_block(one.facts())
    print_text()
    _print_runs(runs)


@app.command()
def log(
    run: Annotated[
        str, typer.Argument(metavar="RUN", help="Print what this run has printed.")
    ] = "",
    site: Annotated[str, typer.Option(help="Only runs of this site.")] = "",
    failed: Annotated[
        bool, typer.Option("--failed", help="Only runs that did not go well.")
    ] = False,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="At most so many.")] = 20,
    json: Json = False,
) -> None:
    """List runs, newest first; with the id of one, print its output, the middle of it left out."""
    from vmoodle.installation import open_installation

    installation = open_installation()
    from vmoodle.registry import cron
    from vmoodle.scheduler.cron import logs, view

    if not run:
        found = [
            view.run_facts(one) for one in cron.runs(shortname=site, failed=failed, limit=limit)
        ]
        if json:
            print_json(found)
        else:
            _print_runs(found)
        return
    one = cron.find_run(run)
    text = logs.read(installation.home, one.shortname, one.id)
    if json:
        print_json(view.run_facts(one) | {"output": text})
    else:
        print_text(text.rstrip("\n"))


def _print_runs(rows: list[dict[str, Any]]) -> None:
    names = (
        "run", "site", "started", "seconds", "waited_seconds", "outcome", "script", "strategy",
        "tier", "error",
    )  # fmt: skip
    headings = [name.removesuffix("_seconds").upper() for name in names]
    print_table(headings, [[row[name] for name in names] for row in rows], "No run.")


@app.command()
def stop(site: Annotated[str, typer.Argument(metavar="SITE")], json: Json = False) -> None:
    """Stop the run of a site's cron that is under way: Moodle ends the task it is in."""
    from vmoodle.installation import open_installation

    installation = open_installation()
    from vmoodle.operations.site_cron import end_cron, is_running
    from vmoodle.registry import audit, sites

    sites.find(site)
    was_running = is_running(site)
    if was_running:
        audit.record("cron.stop", site)
        end_cron(installation, site, patience=0)
    if json:
        print_json({"site": site, "stopped": was_running})
    else:
        print_text(f"the cron of {site} was stopped" if was_running else "nothing was running")
