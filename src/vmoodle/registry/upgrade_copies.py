"""What sites were before their last upgrade: which way back there is, and for how long."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from vmoodle.registry import operations
from vmoodle.registry.models import Site
from vmoodle.registry.upgrade_models import UpgradeCopy


def keep(
    site: Site, *, operation_id: str, database: str, codebase: str, until: datetime
) -> UpgradeCopy:
    """Write down the way back to what a site was; an older one must have been let go by now."""
    row, _created = UpgradeCopy.objects.update_or_create(
        site=site,
        defaults={
            "operation_id": operation_id,
            "database": database,
            "codebase": codebase,
            "upgraded_to": site.codebase.name,
            "wwwroot": site.wwwroot,
            "until": until,
            "ending": False,
        },
    )
    return row


def of(site: Site) -> UpgradeCopy | None:
    """Return a site's way back, None for none."""
    return UpgradeCopy.objects.select_related("site", "site__server").filter(site=site).first()


def of_name(shortname: str) -> UpgradeCopy | None:
    """Return the way back of the site of that name, None for none or no site."""
    rows = UpgradeCopy.objects.select_related("site", "site__server")
    return rows.filter(site__shortname=shortname).first()


def until(operation_ids: Iterable[str]) -> dict[str, datetime]:
    """Return until when the ways back are kept that these upgrades left, by operation."""
    rows = UpgradeCopy.objects.filter(operation_id__in=list(operation_ids), ending=False)
    return dict(rows.values_list("operation_id", "until"))


def take_due(moment: datetime) -> list[UpgradeCopy]:
    """Return the copies that were kept long enough; from now on nobody goes back to them.

    One whose site an operation holds waits: it may be the one that goes back.
    """
    due = UpgradeCopy.objects.filter(until__lte=moment)
    if not due.exists():  # looked at often
        return []
    free = due.exclude(site__shortname__in=operations.held())
    free.update(ending=True)
    return list(
        UpgradeCopy.objects.select_related("site", "site__server").filter(
            ending=True, until__lte=moment
        )
    )


def gone(row: UpgradeCopy) -> None:
    """Strike out a way back that is no more."""
    UpgradeCopy.objects.filter(id=row.id).delete()
