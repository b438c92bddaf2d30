"""Upgrades of many sites in the registry: every change of their state is made here."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from vmoodle.errors import Conflict, NotFound, VMoodleError
from vmoodle.registry.audit import current_actor, record
from vmoodle.registry.text import error_columns
from vmoodle.registry.upgrade_models import Upgrade, UpgradeSite, UpgradeSiteState, UpgradeState

FAILURES = (UpgradeSiteState.FAILED, UpgradeSiteState.ATTENTION)
GOING_ON = (UpgradeState.RUNNING, UpgradeState.PAUSED, UpgradeState.HALTED)


def create(values: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> Upgrade:
    """Write an upgrade down with all its sites; nothing is ordered yet."""
    with transaction.atomic():
        upgrade = Upgrade.objects.create(
            id=uuid.uuid4().hex[:12],
            actor=current_actor(),
            state=UpgradeState.RUNNING,
            **values,
        )
        UpgradeSite.objects.bulk_create(
            UpgradeSite(
                upgrade=upgrade, position=number, versions_hash=upgrade.versions_hash, **row
            )
            for number, row in enumerate(rows)
        )
        record("upgrade.run", f"upgrade:{upgrade.id}", "ordered", codebase=upgrade.codebase)
    return upgrade


def find(upgrade_id: str) -> Upgrade:
    """Return the upgrade of an id or of an unambiguous beginning of one; raise NotFound."""
    matches = list(Upgrade.objects.filter(id__startswith=upgrade_id)[:2])
    if len(matches) != 1 or not upgrade_id:
        raise NotFound(
            "upgrade.unknown",
            f"There is no upgrade {upgrade_id!r}."
            if not matches
            else f"More than one upgrade begins with {upgrade_id!r}.",
            "`vmoodle upgrade list` shows them.",
        )
    return matches[0]


def held(upgrade_id: str) -> Upgrade:
    """Return an upgrade that nobody else changes until the transaction ends."""
    return Upgrade.objects.select_for_update().get(id=upgrade_id)


def recent(limit: int = 50) -> list[Upgrade]:
    """Return upgrades, newest first."""
    return list(Upgrade.objects.order_by("-created_at")[:limit])


def running(node: str) -> list[Upgrade]:
    """Return the node's upgrades that go on by themselves."""
    return list(Upgrade.objects.filter(node=node, state=UpgradeState.RUNNING))


def taken(versions_hash: str, limit: int) -> list[UpgradeSite]:
    """Return upgrades that brought sites to the same code and were timed, newest first."""
    done = UpgradeSite.objects.filter(
        versions_hash=versions_hash, state=UpgradeSiteState.DONE, upgrade_ms__isnull=False
    )
    return list(done.order_by("-id")[:limit])


def sites_of(upgrade: Upgrade) -> list[UpgradeSite]:
    """Return the sites of an upgrade in their order."""
    return list(upgrade.sites.order_by("position"))


def site_of(operation_id: str) -> UpgradeSite | None:
    """Return the site of an upgrade that an operation upgrades."""
    return UpgradeSite.objects.filter(operation_id=operation_id).first()


def source_seen(operation_id: str, source_hash: str) -> None:
    """Keep what all versions of a site come to from which its upgrade begins."""
    UpgradeSite.objects.filter(operation_id=operation_id).update(source_hash=source_hash)


def was_tried(site_key: str, versions_hash: str) -> bool:
    """Tell whether it was ever begun to bring a site to some code."""
    return _attempts(site_key, versions_hash).exists()


def failed_before(site_key: str, versions_hash: str, source_hash: str) -> UpgradeSite | None:
    """Return the last attempt of a site from some versions to the same code, if it has failed.

    One that had not come so far as to look what it begins from counts for all of them, and without
    a `source_hash` so does every one.
    """
    tried = _attempts(site_key, versions_hash)
    if source_hash:
        tried = tried.filter(source_hash__in=("", source_hash))
    last = tried.order_by("-id").first()
    return last if last is not None and last.state in FAILURES else None


def _attempts(site_key: str, versions_hash: str) -> QuerySet[UpgradeSite]:
    chosen = UpgradeSite.objects.filter(site_key=site_key, versions_hash=versions_hash)
    return chosen.exclude(operation_id="")


def under_way(shortnames: Sequence[str]) -> dict[str, str]:
    """Return by shortname the upgrade that has a site to do, or at work."""
    rows = UpgradeSite.objects.filter(
        shortname__in=list(shortnames),
        state__in=(UpgradeSiteState.WAITING, UpgradeSiteState.RUNNING),
        upgrade__state__in=GOING_ON,
    )
    return dict(rows.values_list("shortname", "upgrade_id"))


def begun(row: UpgradeSite, operation_id: str) -> None:
    """The site's upgrade is queued."""
    row.operation_id = operation_id
    _change(row, UpgradeSiteState.RUNNING, None)


def site_done(row: UpgradeSite, downtime_ms: int | None, upgrade_ms: int | None) -> None:
    """The site is upgraded and serves; that it took too long is kept."""
    row.downtime_ms, row.upgrade_ms = downtime_ms, upgrade_ms
    limit, factor = row.upgrade.most_downtime, row.upgrade.most_factor
    row.slow = bool(
        (limit and downtime_ms and downtime_ms > limit * 1000)
        or (factor and row.expected_ms and upgrade_ms and upgrade_ms > factor * row.expected_ms)
    )
    row.save(update_fields=["downtime_ms", "upgrade_ms", "slow"])
    _change(row, UpgradeSiteState.DONE, None)


def site_failed(row: UpgradeSite, error: VMoodleError, downtime_ms: int | None = None) -> None:
    """The site is what it was before, or was not touched."""
    row.downtime_ms = downtime_ms
    row.save(update_fields=["downtime_ms"])
    _change(row, UpgradeSiteState.FAILED, error)


def site_cancelled(row: UpgradeSite, downtime_ms: int | None) -> None:
    """Somebody stopped the site's upgrade, and it went back."""
    row.downtime_ms = downtime_ms
    row.save(update_fields=["downtime_ms"])
    _change(row, UpgradeSiteState.CANCELLED, None)


def site_needs_attention(row: UpgradeSite, error: VMoodleError) -> None:
    """The site's upgrade goes neither on nor back by itself."""
    _change(row, UpgradeSiteState.ATTENTION, error)


def wave_waits(upgrade: Upgrade) -> None:
    """The wave before has ended: the next one begins after the pause."""
    upgrade.next_wave_at = timezone.now() + timedelta(seconds=upgrade.pause_seconds)
    upgrade.save(update_fields=["next_wave_at"])


def wave_begins(upgrade: Upgrade, wave: int) -> None:
    """Sites of a wave may begin."""
    upgrade.wave, upgrade.next_wave_at = wave, None
    upgrade.save(update_fields=["wave", "next_wave_at"])


def halted(upgrade: Upgrade, reason: str) -> None:
    """The stop rule has struck: no further site begins by itself."""
    _state(upgrade, UpgradeState.HALTED, reason)


def done(upgrade: Upgrade) -> None:
    """No site is left to do."""
    _state(upgrade, UpgradeState.DONE, "")


def paused(upgrade: Upgrade, reason: str = "") -> None:
    """No further site begins until somebody resumes; those at work go on to their end."""
    _expect(upgrade, (UpgradeState.RUNNING, UpgradeState.PAUSED), "paused")
    _state(upgrade, UpgradeState.PAUSED, reason)


def resumed(upgrade: Upgrade) -> None:
    """Sites begin again; the failures there are were seen."""
    _expect(upgrade, (UpgradeState.PAUSED, UpgradeState.HALTED), "resumed")
    upgrade.forgiven = count_failures(upgrade)
    upgrade.save(update_fields=["forgiven"])
    _state(upgrade, UpgradeState.RUNNING, "")


def cancelled(upgrade: Upgrade) -> list[str]:
    """No site begins any more; return the operations of those at work."""
    _expect(upgrade, GOING_ON, "cancelled")
    _state(upgrade, UpgradeState.CANCELLED, "")
    upgrade.sites.filter(state=UpgradeSiteState.WAITING).update(state=UpgradeSiteState.CANCELLED)
    rows = upgrade.sites.filter(state=UpgradeSiteState.RUNNING)
    return list(rows.values_list("operation_id", flat=True))


def not_upgraded(upgrade: Upgrade) -> list[str]:
    """Return the shortnames of the sites that failed or were cancelled."""
    return list(_again(upgrade).values_list("shortname", flat=True))


def wait_again(upgrade: Upgrade) -> int:
    """Let the sites that failed or were cancelled be a wave that begins now; return how many."""
    again = _again(upgrade)
    last = max((row.wave for row in sites_of(upgrade)), default=0)
    count = again.update(
        state=UpgradeSiteState.WAITING, wave=last + 1, operation_id="",
        error_code="", error_message="", error_hint="", downtime_ms=None,
    )  # fmt: skip
    if count:
        upgrade.forgiven = count_failures(upgrade)
        upgrade.save(update_fields=["forgiven"])
        wave_begins(upgrade, last + 1)
        _state(upgrade, UpgradeState.RUNNING, "")
    return count


def has_code(upgrade: Upgrade, versions_hash: str) -> None:
    """What is still to do goes to these versions of the codebase."""
    upgrade.versions_hash = versions_hash
    upgrade.save(update_fields=["versions_hash"])
    upgrade.sites.filter(state=UpgradeSiteState.WAITING).update(versions_hash=versions_hash)


def count_failures(upgrade: Upgrade) -> int:
    """Return how many sites failed, or took longer than allowed."""
    rows = upgrade.sites.all()
    return rows.filter(state__in=FAILURES).count() + rows.filter(slow=True).count()


def _again(upgrade: Upgrade) -> QuerySet[UpgradeSite]:
    return upgrade.sites.filter(state__in=(UpgradeSiteState.FAILED, UpgradeSiteState.CANCELLED))


def _change(row: UpgradeSite, state: UpgradeSiteState, error: VMoodleError | None) -> None:
    row.state = state
    columns = error_columns(error)
    for name, value in columns.items():
        setattr(row, name, value)
    row.save(update_fields=["state", "operation_id", *columns])


def _state(upgrade: Upgrade, state: UpgradeState, reason: str) -> None:
    upgrade.state, upgrade.reason = state, reason[:500]
    ended: datetime | None = None if state in GOING_ON else timezone.now()
    upgrade.finished_at = ended
    upgrade.save(update_fields=["state", "reason", "finished_at"])
    record("upgrade.run", f"upgrade:{upgrade.id}", str(state))


def _expect(upgrade: Upgrade, states: Sequence[UpgradeState], verb: str) -> None:
    if upgrade.state not in states:
        raise Conflict(
            "upgrade.state",
            f"The upgrade {upgrade.id} is {upgrade.state}; it cannot be {verb}.",
            f"vmoodle upgrade show {upgrade.id}",
        )
