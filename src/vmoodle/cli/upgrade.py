"""`vmoodle upgrade`: whether sites are to be upgraded, and what stands in the way."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from vmoodle.cli import upgrade_back, upgrade_rehearse, upgrade_run
from vmoodle.cli.output import Json, in_bytes, names, print_table, print_text, say
from vmoodle.cli.run_problems import show_problems
from vmoodle.cli.run_show import show_run
from vmoodle.cli.run_start import On, Timeout, ask, ordered

if TYPE_CHECKING:
    from vmoodle.fleet.result import Result
    from vmoodle.registry.fleet_models import Run

app = typer.Typer(
    help="Upgrades of many sites: pending, planned, carried out in waves.", no_args_is_help=True
)

TO_BE_DONE = 8
"""Exit status: a site is pending, or blocked."""


@app.command()
def pending(
    on: On,
    to: Annotated[
        str, typer.Option(help="A codebase to compare with; each site's own without it.")
    ] = "",
    every: Annotated[
        bool, typer.Option("--every", help="Tell each plugin of Moodle's own too.")
    ] = False,
    timeout: Timeout = None,
    json: Json = False,
) -> None:
    """Tell which sites are to be upgraded, why, and which plugins differ; status 8 when one is."""
    from vmoodle.fleet.commands.upgrade_pending import is_pending

    run = ask(*ordered("upgrade.pending", {"to": to, "every": every}, on, timeout))
    _finish(run, is_pending, "pending", json=json)


@app.command()
def plan(
    to: Annotated[str, typer.Option(help="The codebase to upgrade to.")],
    on: On,
    accept: Annotated[
        list[str] | None,
        typer.Option(help="A blocker that counts as a warning, as plugin.missing; repeatable."),
    ] = None,
    timeout: Timeout = None,
    json: Json = False,
) -> None:
    """Tell what an upgrade to a codebase would meet on each site; status 8 when one is blocked."""
    from vmoodle.fleet.commands.upgrade_plan import BLOCKED, verdict_of

    run = ask(*ordered("upgrade.plan", {"to": to, "accept": accept or []}, on, timeout))
    _finish(run, lambda answer: verdict_of(answer) == BLOCKED, "blocked", json=json, show=_planned)


def _planned(run: Run) -> None:
    """Print how the sites stand, then what is in the way, each once with the sites it concerns."""
    from vmoodle.fleet.commands.upgrade_plan import PLAN, verdict_of
    from vmoodle.fleet.result import Table, by_row
    from vmoodle.fleet.runs.view import answers
    from vmoodle.fleet.upgrade.estimate import ESTIMATE

    stands: dict[tuple[str, str, str], list[str]] = {}
    takes: dict[tuple[str, str, str], list[int]] = {}
    found: list[tuple[str, Result]] = []
    size = 0
    for site, answer in answers(run):
        if not isinstance(answer, Table):
            continue
        plan_rows = {str(row[1]): str(row[2]) for row in answer.rows if row[0] == PLAN}
        verdict = verdict_of(answer)
        way = plan_rows.get("path") or plan_rows.get(verdict, "")
        key = (verdict, way, plan_rows.get("outage", ""))
        stands.setdefault(key, []).append(site)
        takes.setdefault(key, []).extend(
            int(what) for code, what in plan_rows.items() if code.startswith(ESTIMATE)
        )
        size += int(plan_rows.get("bytes", "0"))
        found.append((site, Table(answer.columns, tuple(r for r in answer.rows if r[0] != PLAN))))
    print_table(
        ("SITES ARE", "PATH", "OUTAGE", "TAKES", "SITES", "WHICH"),
        [
            (
                *key,
                _range(takes[key]),
                len(sites),
                "all" if len(sites) == len(found) > 1 else names(sites),
            )
            for key, sites in sorted(stands.items(), key=lambda one: -len(one[1]))
        ],
        "No plans.",
    )
    rows = by_row(found)
    for word in ("blocker", "warning"):
        for one in (one for one in rows if one.row["level"] == word):
            whom = "all" if len(one.sites) == len(found) > 1 else names(one.sites)
            print_text(f"{word} {one.row['code']}: {len(one.sites)} site(s): {whom}")
            print_text(f"  {one.row['what']} {one.row['hint'] or ''}".rstrip())
    if size:
        say(f"safety copies of all of them take {in_bytes(size)} on the database servers")
    show_problems(run)


def _range(milliseconds: list[int]) -> str:
    """Return the shortest and the longest of what upgrades are expected to take."""
    if not milliseconds:
        return "unknown"
    shortest, longest = (
        f"{max(1, round(one / 1000))} s" for one in (min(milliseconds), max(milliseconds))
    )
    return shortest if shortest == longest else f"{shortest} to {longest}"


def _finish(
    run: Run,
    counts: Callable[[Result], bool],
    word: str,
    *,
    json: bool,
    show: Callable[[Run], None] | None = None,
) -> None:
    """Show the run; a site that did not answer ends it with 1, one that counts with 8."""
    from vmoodle.fleet.command import Comparison
    from vmoodle.fleet.runs.view import all_well, answers

    with suppress(typer.Exit):
        show_run(run, Comparison.BY_ROW, json=json, show=show)
    found = [site for site, answer in answers(run) if counts(answer)]
    if found and not json:
        say(f"{len(found)} site(s) {word}: {names(found)}")
    if not all_well(run):
        raise typer.Exit(1)
    if found:
        raise typer.Exit(TO_BE_DONE)


app.command("back")(upgrade_back.back)
app.command("rehearse")(upgrade_rehearse.rehearse)
app.command("rehearsals")(upgrade_rehearse.list_rehearsals)
app.command("rehearsal")(upgrade_rehearse.show_rehearsal)
app.command("run")(upgrade_run.run)
app.command("show")(upgrade_run.show)
app.command("list")(upgrade_run.list_upgrades)
app.command("follow")(upgrade_run.follow)
app.command("pause")(upgrade_run.pause)
app.command("resume")(upgrade_run.resume)
app.command("cancel")(upgrade_run.cancel)
app.command("retry")(upgrade_run.retry)
