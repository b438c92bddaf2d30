"""`vmoodle upgrade run`: upgrade many sites in waves, watch them, and decide about the rest."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vmoodle.cli.output import Json, moment, names, print_block, print_json, print_table, say
from vmoodle.cli.question import ask_to_change
from vmoodle.cli.run_start import Confirm, On, Yes
from vmoodle.cli.times import seconds_of

if TYPE_CHECKING:
    from vmoodle.fleet.upgrade.run import Planned
    from vmoodle.installation import Installation
    from vmoodle.registry.upgrade_models import Upgrade

Identifier = Annotated[str, typer.Argument(help="The upgrade's id, or its beginning.")]
Detach = Annotated[bool, typer.Option("--detach", help="Leave it to `vmoodle worker`.")]
_LOOK_SECONDS = 0.5


def run(
    to: Annotated[str, typer.Option(help="The codebase to upgrade to.")],
    on: On,
    waves: Annotated[
        str, typer.Option(help="Sizes of the waves, as 1,5,25%; the rest is the last wave.")
    ] = "1",
    pause: Annotated[str, typer.Option(help="Between two waves, as 30s, 10m or 1h.")] = "0s",
    in_parallel: Annotated[
        int, typer.Option(min=1, max=64, help="Sites of a wave at one time.")
    ] = 2,
    stop_after: Annotated[
        str, typer.Option(help="So many failed sites, or a share as 10%, halt the rest.")
    ] = "1",
    max_downtime: Annotated[
        str, typer.Option(help="A site closed for longer counts as failed, as 5m; 0s is no limit.")
    ] = "0s",
    max_factor: Annotated[
        float,
        typer.Option(
            min=0, help="A site whose upgrade takes so many times its rehearsal's counts as failed."
        ),
    ] = 0.0,
    timeout: Annotated[str, typer.Option(help="Moodle's upgrade of a site is ended then.")] = "1h",
    first: Annotated[
        list[str] | None, typer.Option(help="A site that leads, as the canary; repeatable.")
    ] = None,
    accept: Annotated[
        list[str] | None, typer.Option(help="A blocker that counts as a warning; repeatable.")
    ] = None,
    retry_failed: Annotated[
        bool, typer.Option("--retry", help="Also sites on which the same upgrade failed before.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show which site would be in which wave.")
    ] = False,
    yes: Yes = False,
    confirm: Confirm = None,
    detach: Detach = False,
    json: Json = False,
) -> None:
    """Upgrade sites to a codebase in waves; a site that fails goes back to what it was.

    Status 1 when a site failed or was left out, or the run did not come to its end.
    """
    from vmoodle.installation import open_installation

    installation = open_installation()
    from vmoodle.cli.progress import showing
    from vmoodle.fleet.upgrade.run import plan
    from vmoodle.lifecycle.upgrade.waves import Waves, submit

    chosen = Waves(
        sizes=waves.split(","),
        pause_seconds=round(seconds(pause)),
        in_parallel=in_parallel,
        stop_after=stop_after,
        most_downtime=seconds(max_downtime),
        most_factor=max_factor,
        timeout=seconds(timeout) or 3600.0,
        accept=accept or [],
    )
    with showing("planning") as tell:
        planned = plan(installation, to, on, accept=chosen.accept, first=first or [], tell=tell)
    if dry_run:
        _show_planned(planned, chosen, json=json)
        return
    if planned.chosen:
        _have_confirmed(installation, planned, chosen, yes=yes, typed=confirm, quiet=json)
    upgrade = submit(
        installation, to, planned.chosen, chosen,
        target=on, skipped=planned.skipped, expected=planned.expected, retry=retry_failed,
    )  # fmt: skip
    _follow_and_show(installation, upgrade, detach=detach, json=json)


def show(upgrade: Identifier, json: Json = False) -> None:
    """Show an upgrade: its waves, what became of each site, for how long it was closed."""
    from vmoodle.installation import open_installation

    open_installation()
    from vmoodle.registry import upgrades

    _show(upgrades.find(upgrade), json=json)


def list_upgrades(
    limit: Annotated[int, typer.Option(min=1, help="How many, newest first.")] = 50,
    json: Json = False,
) -> None:
    """List upgrades, newest first."""
    from vmoodle.installation import open_installation

    open_installation()
    from vmoodle.registry import upgrades

    found = [_facts(row) for row in upgrades.recent(limit)]
    if json:
        print_json(found)
        return
    print_table(
        ("ID", "TO", "ON", "STATE", "SITES", "DONE", "FAILED", "ACTOR", "CREATED"),
        [
            (one["upgrade"], one["to"], one["on"], one["state"], sum(one["summary"].values()),
             one["summary"].get("done", 0),
             one["summary"].get("failed", 0) + one["summary"].get("needs attention", 0),
             one["actor"], moment(one["created_at"]))
            for one in found
        ],
        "No upgrades.",
    )  # fmt: skip


def pause(upgrade: Identifier, json: Json = False) -> None:
    """Let no further site begin; those at work go on to their end."""
    from vmoodle.installation import open_installation

    open_installation()
    from vmoodle.lifecycle.upgrade import waves

    _show(waves.pause(upgrade), json=json)


def resume(upgrade: Identifier, detach: Detach = False, json: Json = False) -> None:
    """Go on after a pause or a halt; the failures there are do not halt it again."""
    from vmoodle.installation import open_installation

    installation = open_installation()
    from vmoodle.lifecycle.upgrade import waves

    _follow_and_show(installation, waves.resume(installation, upgrade), detach=detach, json=json)


def cancel(upgrade: Identifier, json: Json = False) -> None:
    """Let no site begin any more; those at work go back where they still can."""
    from vmoodle.installation import open_installation

    open_installation()
    from vmoodle.lifecycle.upgrade import waves

    _show(waves.cancel(upgrade), json=json)


def retry(upgrade: Identifier, detach: Detach = False, json: Json = False) -> None:
    """Upgrade again the sites that failed or were cancelled."""
    from vmoodle.installation import open_installation

    installation = open_installation()
    from vmoodle.lifecycle.upgrade import waves

    _follow_and_show(installation, waves.retry(installation, upgrade), detach=detach, json=json)


def follow(upgrade: Identifier, json: Json = False) -> None:
    """Wait until an upgrade ends, pauses or halts; go on with it where no other process does."""
    from vmoodle.installation import open_installation

    installation = open_installation()
    from vmoodle.registry import upgrades

    _follow_and_show(installation, upgrades.find(upgrade), detach=False, json=json)


def seconds(text: str) -> float:
    """Return the seconds of `30s`, `10m`, `2h` or `1d`; raise InvalidInput."""
    from vmoodle.errors import InvalidInput

    found = seconds_of(text, unit="s")
    if found is None:
        raise InvalidInput(
            "upgrade.seconds", f"{text!r} is no length of time.", "As 30s, 10m, 2h or 1d."
        )
    return found


def _have_confirmed(
    installation: Installation, planned: Planned, chosen: Any, *,
    yes: bool, typed: str | None, quiet: bool,
) -> None:  # fmt: skip
    from vmoodle.fleet.bulk.confirmation import refuse_unconfirmed_change
    from vmoodle.fleet.command_sets import load
    from vmoodle.fleet.runs.order import fleet_size

    share, size = installation.settings.fleet.confirm_share, fleet_size(load().find("upgrade.plan"))
    if yes or typed is not None or not sys.stdin.isatty():
        refuse_unconfirmed_change(planned.chosen, size, share, yes=yes, typed=typed or "")
        return
    if not quiet:
        _show_planned(planned, chosen, json=False)
    said = ask_to_change(len(planned.chosen), "upgrade", "upgraded")
    refuse_unconfirmed_change(planned.chosen, size, share, yes=False, typed=said, shown=True)


def _show_planned(planned: Planned, chosen: Any, *, json: bool) -> None:
    from vmoodle.lifecycle.upgrade.waves import numbers

    rows = list(zip(planned.chosen, numbers(chosen, len(planned.chosen)), strict=True))
    if json:
        print_json(
            {
                "waves": [{"site": name, "wave": wave + 1} for name, wave in rows],
                "skipped": {
                    name: {"code": error.code, "detail": error.message}
                    for name, error in planned.skipped.items()
                },
            }
        )
        return
    by_wave: dict[int, list[str]] = {}
    for name, wave in rows:
        by_wave.setdefault(wave, []).append(name)
    print_table(
        ("WAVE", "SITES", "WHICH"),
        [(wave + 1, len(which), names(which)) for wave, which in by_wave.items()],
        "No site would be upgraded.",
    )
    for name, error in planned.skipped.items():
        say(f"{name} is left out: {error.message} [{error.code}]")


def _follow_and_show(
    installation: Installation, upgrade: Upgrade, *, detach: bool, json: bool
) -> None:
    if not detach:
        if not json:
            say(f"upgrade {upgrade.id}: vmoodle upgrade show {upgrade.id} tells how it stands")
        upgrade = _follow(installation, upgrade)
    _show(upgrade, json=json)
    if not detach and not _all_well(upgrade):
        raise typer.Exit(1)


def _follow(installation: Installation, upgrade: Upgrade) -> Upgrade:
    """Carry the upgrade on until no site is at work and none begins by itself."""
    from vmoodle.cli.progress import carry_out_all
    from vmoodle.lifecycle.upgrade import waves
    from vmoodle.registry import operations, upgrades
    from vmoodle.registry.upgrade_models import UpgradeState

    while True:
        at_work = waves.go_on(installation, upgrade.id)
        if at_work:
            carry_out_all(installation, operations.rows(at_work))
            continue
        upgrade = upgrades.find(upgrade.id)
        if upgrade.state != UpgradeState.RUNNING:
            return upgrade
        time.sleep(_LOOK_SECONDS)


def _all_well(upgrade: Upgrade) -> bool:
    from vmoodle.registry import upgrades
    from vmoodle.registry.upgrade_models import UpgradeSiteState, UpgradeState

    return upgrade.state == UpgradeState.DONE and all(
        row.state == UpgradeSiteState.DONE or row.error_code == "upgrade.needless"
        for row in upgrades.sites_of(upgrade)
    )


def _facts(upgrade: Upgrade) -> dict[str, Any]:
    from collections import Counter

    from vmoodle.registry import upgrades

    return {
        "upgrade": upgrade.id,
        "to": upgrade.codebase,
        "on": upgrade.target,
        "state": upgrade.state,
        "reason": upgrade.reason,
        "wave": upgrade.wave + 1,
        "next_wave_at": upgrade.next_wave_at,
        "in_parallel": upgrade.in_parallel,
        "stop_after": upgrade.stop_after,
        "actor": upgrade.actor,
        "created_at": upgrade.created_at,
        "finished_at": upgrade.finished_at,
        "summary": dict(Counter(row.state for row in upgrades.sites_of(upgrade))),
    }


def _show(upgrade: Upgrade, *, json: bool) -> None:
    from vmoodle.registry import upgrade_copies, upgrades

    facts, rows = _facts(upgrade), upgrades.sites_of(upgrade)
    back = upgrade_copies.until(row.operation_id for row in rows)
    if json:
        keys = (
            "shortname", "source", "state", "operation_id", "slow", "downtime_ms", "upgrade_ms",
            "expected_ms",
            "error_code", "error_message", "error_hint",
        )  # fmt: skip
        told = [
            {"wave": row.wave + 1}
            | {key: getattr(row, key) for key in keys}
            | {"back_until": back.get(row.operation_id)}
            for row in rows
        ]
        print_json(facts | {"sites": told})
        return
    for key in ("created_at", "finished_at", "next_wave_at"):
        facts[key] = moment(facts[key])
    facts["summary"] = ", ".join(f"{count} {state}" for state, count in facts["summary"].items())
    print_block(facts)
    print_table(
        ("WAVE", "SITE", "FROM", "STATE", "CLOSED", "UPGRADE", "BACK UNTIL", "OPERATION", "WHY"),
        [
            (row.wave + 1, row.shortname, row.source, row.state, _in_seconds(row.downtime_ms),
             _in_seconds(row.upgrade_ms), moment(back.get(row.operation_id)), row.operation_id,
             f"{row.error_message} [{row.error_code}]" if row.error_code else "")
            for row in rows
        ],
        "No sites.",
    )  # fmt: skip


def _in_seconds(milliseconds: int | None) -> str:
    return "" if milliseconds is None else f"{milliseconds / 1000:.1f} s"
