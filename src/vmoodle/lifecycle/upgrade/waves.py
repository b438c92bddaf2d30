"""Many sites brought to one codebase in waves: which site begins when, and what stops the rest.

Each site is a durable operation of its own. What it came to is written into the run by that
operation itself, which then lets the next sites begin: no process has to stay for that. A pause
between two waves ends when a worker, or the call that waits, looks at the clock.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.db import DatabaseError, transaction
from django.utils import timezone

from vmoodle.errors import Conflict, InvalidInput, Refused, VMoodleError
from vmoodle.installation import Installation
from vmoodle.lifecycle.lost import connected
from vmoodle.lifecycle.suspend import settled
from vmoodle.lifecycle.upgrade.site import downtime_ms
from vmoodle.moodle.code.tree import MoodleTree
from vmoodle.moodle.code.versions import all_versions_hash
from vmoodle.moodle.database.site_schema import database_versions_hash
from vmoodle.operations.plan import StepContext
from vmoodle.registry import codebases, operations, sites, upgrades
from vmoodle.registry.changing import one_at_a_time
from vmoodle.registry.models import Operation, Site
from vmoodle.registry.source_names import SourceKind
from vmoodle.registry.text import kept_error
from vmoodle.registry.upgrade_models import Upgrade, UpgradeSite, UpgradeSiteState, UpgradeState

KIND = "site.upgrade"

log = logging.getLogger("vmoodle.upgrade")


@dataclass(frozen=True)
class Waves:
    """How a run goes: sizes of its waves, as numbers or `25%`; the rest is the last wave.

    `stop_after` is the number of failed sites, or a share of all as `10%`, at which no further
    site begins. `most_downtime` in seconds makes a failure of a site that was closed for longer,
    `most_factor` of one whose upgrade took so many times what its rehearsal lets expect.
    """

    sizes: Sequence[str] = ("1",)
    pause_seconds: int = 0
    in_parallel: int = 2
    stop_after: str = "1"
    most_downtime: float = 0.0
    most_factor: float = 0.0
    timeout: float = 3600.0
    accept: Sequence[str] = field(default_factory=tuple)


def numbers(waves: Waves, count: int) -> list[int]:
    """Return the wave of each of so many sites; raise InvalidInput `upgrade.amount`."""
    sizes = [_amount(text, count) for text in waves.sizes]
    found: list[int] = []
    for wave, size in enumerate(sizes):
        found += [wave] * min(size, count - len(found))
    return found + [len(sizes)] * (count - len(found))


def submit(
    installation: Installation,
    codebase_name: str,
    shortnames: Sequence[str],
    waves: Waves,
    *,
    target: str,
    skipped: Mapping[str, VMoodleError] | None = None,
    expected: Mapping[str, int] | None = None,
    retry: bool = False,
) -> Upgrade:
    """Write a run down and let its first wave begin; sites in the order in which they are given.

    Those `skipped` are entered with the reason. So is, without `retry`, a site that failed before
    on its way from the same versions to the same code. Raise InvalidInput for waves that are none,
    NotFound for a codebase, Conflict `upgrade.sites` when a site waits in another run.

    `expected` has the milliseconds that rehearsals let expect, by site.
    """
    codebase = codebases.find(codebase_name)
    wanted = all_versions_hash(MoodleTree.open(Path(codebase.path)))
    left_out = dict(skipped or {})
    chosen: list[Site] = []
    for shortname in shortnames:
        site = sites.find(shortname)
        reason = None if retry else _failed_before(installation, site, wanted)
        if reason is None:
            chosen.append(site)
        else:
            left_out[shortname] = reason
    rows = [
        {
            "shortname": site.shortname,
            "wave": wave,
            "state": UpgradeSiteState.WAITING,
            "expected_ms": (expected or {}).get(site.shortname),
            **_source(site),
        }
        for site, wave in zip(chosen, numbers(waves, len(chosen)), strict=True)
    ]
    rows += [_skipped(name, error) for name, error in left_out.items()]
    stop_after = _amount(waves.stop_after, max(1, len(chosen)))
    with transaction.atomic():
        _hold_for_none_other([site.shortname for site in chosen])
        upgrade = upgrades.create(
            {
                "codebase": codebase.name,
                "versions_hash": wanted,
                "target": target,
                "in_parallel": waves.in_parallel,
                "pause_seconds": waves.pause_seconds,
                "stop_after": stop_after,
                "most_downtime": waves.most_downtime,
                "most_factor": waves.most_factor,
                "timeout": waves.timeout,
                "accept": list(waves.accept),
                "node": installation.node,
            },
            rows,
        )
    go_on(installation, upgrade.id)
    return upgrades.find(upgrade.id)


def go_on(installation: Installation, upgrade_id: str) -> list[str]:
    """Let as many sites begin as may; return the operations that are under way."""
    while _next_begins(installation, upgrade_id):
        pass
    rows = upgrades.sites_of(upgrades.find(upgrade_id))
    return [row.operation_id for row in _at_work(rows)]


def order_due(installation: Installation) -> int:
    """Let the sites of all running upgrades begin whose pause is over; return how many are at work.

    A worker calls it now and then.
    """
    return sum(len(go_on(installation, one.id)) for one in upgrades.running(installation.node))


def pause(upgrade_id: str) -> Upgrade:
    """Let no further site begin; raise Conflict for a run that is not under way."""
    with transaction.atomic():
        upgrade = upgrades.held(upgrades.find(upgrade_id).id)
        upgrades.paused(upgrade)
    return upgrade


def resume(installation: Installation, upgrade_id: str) -> Upgrade:
    """Go on after a pause or a halt; the failures there are do not stop it again."""
    with transaction.atomic():
        upgrade = upgrades.held(upgrades.find(upgrade_id).id)
        upgrades.resumed(upgrade)
    go_on(installation, upgrade.id)
    return upgrades.find(upgrade.id)


def cancel(upgrade_id: str) -> Upgrade:
    """Let no site begin any more, and those at work go back where they still can."""
    with transaction.atomic():
        upgrade = upgrades.held(upgrades.find(upgrade_id).id)
        for operation_id in upgrades.cancelled(upgrade):
            operations.request_cancel(operation_id)
    return upgrade


def retry(installation: Installation, upgrade_id: str) -> Upgrade:
    """Upgrade again what failed or was cancelled, with the code as it is by now: it was mended.

    Raise Conflict where there is nothing, and `upgrade.sites` when a site waits in another run.
    """
    with transaction.atomic():
        upgrade = upgrades.held(upgrades.find(upgrade_id).id)
        _hold_for_none_other(upgrades.not_upgraded(upgrade))
        if not upgrades.wait_again(upgrade):
            raise Conflict(
                "upgrade.nothing",
                f"No site of the upgrade {upgrade.id} failed or was cancelled.",
                f"vmoodle upgrade show {upgrade.id}",
            )
        tree = MoodleTree.open(Path(codebases.find(upgrade.codebase).path))
        upgrades.has_code(upgrade, all_versions_hash(tree))
    go_on(installation, upgrade.id)
    return upgrades.find(upgrade.id)


def site_done(context: StepContext) -> None:
    """Write down that a site is upgraded, and let the next begin."""
    result = operations.find(context.operation_id).result
    _ended(
        context,
        lambda row: upgrades.site_done(row, downtime_ms(result), result.get("upgrade_ms")),
    )


def site_went_back(context: StepContext) -> None:
    """Write down that a site is what it was before, and let the next begin unless it is stopped."""
    operation = operations.find(context.operation_id)
    downtime = downtime_ms(operation.result)

    def change(row: UpgradeSite) -> None:
        if operation.error_code:
            upgrades.site_failed(row, kept_error(operation), downtime)
        else:
            upgrades.site_cancelled(row, downtime)
            if row.upgrade.state == UpgradeState.RUNNING:
                upgrades.paused(row.upgrade, f"the upgrade of {row.shortname} was cancelled")

    _ended(context, change)


def site_needs_attention(context: StepContext) -> None:
    """Write down that a site goes neither on nor back; the run halts."""
    operation = operations.find(context.operation_id)

    def change(row: UpgradeSite) -> None:
        if row.state != UpgradeSiteState.DONE:  # what came after is not the site's fault
            upgrades.site_needs_attention(row, kept_error(operation))

    _ended(context, change)


def _ended(context: StepContext, change: Any) -> None:
    with transaction.atomic():
        row = upgrades.site_of(context.operation_id)
        if row is None:
            return
        upgrades.held(row.upgrade_id)
        change(row)
    try:
        go_on(context.installation, row.upgrade_id)
    except (VMoodleError, DatabaseError, OSError):
        # This site has ended, whatever keeps the others waiting.
        log.exception("upgrade %s", row.upgrade_id)
        context.say("the next sites begin when a worker, or the call that waits, looks again")


def _next_begins(installation: Installation, upgrade_id: str) -> bool:
    """Let one site begin, if one may; return whether it did.

    Each in a transaction of its own: two that hold several sites could wait for each other.
    """
    with transaction.atomic():
        upgrade = upgrades.held(upgrade_id)
        if not _may_begin(upgrade):
            return False
        rows = upgrades.sites_of(upgrade)
        waiting = [
            row for row in rows
            if row.state == UpgradeSiteState.WAITING and row.wave <= upgrade.wave
        ]  # fmt: skip
        if not waiting or len(_at_work(rows)) >= upgrade.in_parallel:
            return False
        if reason := _changed_code(upgrade):
            upgrades.halted(upgrade, reason)
            return False
        _begin(installation, upgrade, waiting[0])
        return True


def _changed_code(upgrade: Upgrade) -> str:
    """Return why the code is not what the run was ordered for, and its canary proved; or ""."""
    try:
        tree = MoodleTree.open(Path(codebases.find(upgrade.codebase).path))
        if all_versions_hash(tree) == upgrade.versions_hash:
            return ""
    except VMoodleError as error:
        return f"{error.message} Mend it and resume, or cancel this run"
    return (
        f"the codebase {upgrade.codebase} has other versions than when this was ordered; put them "
        "back and resume, retry what failed with the new ones, or cancel this and order it anew"
    )


def _may_begin(upgrade: Upgrade) -> bool:
    """Tell whether the present wave may go on, by the stop rule and the pause."""
    if upgrade.state != UpgradeState.RUNNING:
        return False
    rows = upgrades.sites_of(upgrade)
    if reason := _reason_to_halt(upgrade, rows):
        upgrades.halted(upgrade, reason)
        return False
    waiting = [row for row in rows if row.state == UpgradeSiteState.WAITING]
    if not waiting:
        if not _at_work(rows):
            upgrades.done(upgrade)
        return False
    next_wave = min(row.wave for row in waiting)
    if next_wave <= upgrade.wave:
        return True
    if _at_work(rows):
        return False
    return _wave_begins(upgrade, next_wave)


def _reason_to_halt(upgrade: Upgrade, rows: Sequence[UpgradeSite]) -> str:
    """Return why no further site may begin by itself, empty for no reason."""
    stuck = [row.shortname for row in rows if row.state == UpgradeSiteState.ATTENTION]
    if stuck:
        return f"{', '.join(stuck)}: needs attention, decide about it first"
    failures = upgrades.count_failures(upgrade) - upgrade.forgiven
    return f"{failures} site(s) failed or took too long" if failures >= upgrade.stop_after else ""


def _wave_begins(upgrade: Upgrade, wave: int) -> bool:
    if upgrade.next_wave_at is None:
        upgrades.wave_waits(upgrade)
    if upgrade.next_wave_at is not None and upgrade.next_wave_at > timezone.now():
        return False
    upgrades.wave_begins(upgrade, wave)
    return True


def _at_work(rows: Sequence[UpgradeSite]) -> list[UpgradeSite]:
    return [row for row in rows if row.state == UpgradeSiteState.RUNNING]


def _begin(installation: Installation, upgrade: Upgrade, row: UpgradeSite) -> None:
    """Queue the site's upgrade; one that is held by something else has failed, untouched."""
    try:
        with transaction.atomic():
            upgrades.begun(row, _order(installation, upgrade, row).id)
    except VMoodleError as error:
        row.operation_id = ""
        upgrades.site_failed(row, error)


def _order(installation: Installation, upgrade: Upgrade, row: UpgradeSite) -> Operation:
    site = settled(row.shortname, "upgraded")
    if site.codebase.name == upgrade.codebase and site.codebase.name != row.source:
        raise Conflict(
            "upgrade.moved",
            f"The site {site.shortname} is on the codebase {upgrade.codebase} by now.",
            "There is nothing to be done.",
        )
    operations.refuse_used(SourceKind.SITE.named(site.shortname))
    token = secrets.token_hex(4)
    return operations.submit(
        KIND,
        site=site.shortname,
        parameters={
            "codebase": upgrade.codebase,
            "from_codebase": site.codebase.name,
            "state": site.state,
            "database": f"{installation.settings.sites.database_prefix}u_{token}",
            "old_database": site.database,
            "timeout": upgrade.timeout,
            "accept": upgrade.accept,
            "upgrade": upgrade.id,
        },
        node=installation.node,
    )


def _amount(text: str, count: int) -> int:
    """Return a number, or a share of the count, at least one; raise InvalidInput."""
    word = text.strip()
    digits = word.removesuffix("%")
    if not digits.isdecimal() or int(digits) < 1 or (word != digits and int(digits) > 100):
        raise InvalidInput(
            "upgrade.amount",
            f"{text!r} is neither a number of sites nor a share of them.",
            "As 1,5,25% for waves, and 2 or 10% for a limit.",
        )
    return int(digits) if word == digits else max(1, -(-count * int(digits) // 100))


def _source(site: Site) -> dict[str, str]:
    return {
        "source": site.codebase.name,
        "source_version": site.codebase.version,
        "site_key": site.session_key,
    }


def _skipped(shortname: str, error: VMoodleError) -> dict[str, Any]:
    return {
        "shortname": shortname, "wave": 0, "state": UpgradeSiteState.SKIPPED,
        **_source(sites.find(shortname)),
        "error_code": error.code, "error_message": error.message, "error_hint": error.hint,
    }  # fmt: skip


def _failed_before(
    installation: Installation, site: Site, versions_hash: str
) -> VMoodleError | None:
    """Return why the upgrade is not tried again: it failed from the very same versions."""
    if not upgrades.was_tried(site.session_key, versions_hash):
        return None
    source = ""
    with suppress(VMoodleError), connected(installation, site) as connection:
        source = database_versions_hash(connection)
    before = upgrades.failed_before(site.session_key, versions_hash, source)
    if before is None:
        return None
    return Refused(
        "upgrade.failed_before",
        f"The same upgrade failed on {site.shortname}: {before.error_message}",
        "Mend what it names; --retry tries it again.",
    )


def _hold_for_none_other(shortnames: Sequence[str]) -> None:
    """Raise Conflict where another run has one of the sites; none takes it up meanwhile."""
    one_at_a_time(shortnames)
    for shortname, upgrade_id in upgrades.under_way(shortnames).items():
        raise Conflict(
            "upgrade.sites",
            f"The site {shortname} is part of the upgrade {upgrade_id}, which has not ended.",
            f"vmoodle upgrade show {upgrade_id}",
        )
