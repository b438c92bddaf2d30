"""Sites in the registry: how they are found, and every change of their state."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet

from vmoodle.errors import Conflict, NotFound
from vmoodle.near import near
from vmoodle.registry import operations
from vmoodle.registry.cron_models import CronSite
from vmoodle.registry.models import Codebase, DeletedAddress, Site, SiteAlias, SiteLabel, SiteState

# The unique keys of a site: the column, what to call it, the error's code.
_UNIQUE_KEYS = (
    ("shortname", "shortname", "site.shortname.taken"),
    ("address_key", "address", "site.url.taken"),
    ("dataroot", "moodledata directory", "site.dataroot.taken"),
)


def reserve(values: Mapping[str, Any], labels: Mapping[str, str]) -> Site:
    """Create the row of a site that is about to be deployed.

    Raise Conflict when one of its unique keys is taken, and by whom.
    """
    refuse_taken(values)
    try:
        with transaction.atomic():
            site = Site.objects.create(state=SiteState.DEPLOYING, **values)
            set_labels(site, labels)
    except IntegrityError as error:
        refuse_taken(values)
        raise Conflict(
            "site.taken",
            "Another site has one of these: shortname, URL, database, account, moodledata.",
            "`vmoodle site list` shows them.",
        ) from error
    return site


def refuse_taken(values: Mapping[str, Any]) -> None:
    """Raise Conflict when a site has one of the unique values already."""
    for column, word, code in _UNIQUE_KEYS:
        other = Site.objects.filter(**{column: values[column]}).first()
        if other is not None:
            raise Conflict(
                code,
                f"The {word} {values[column]} belongs to the site {other.shortname} "
                f"({other.state}).",
                "Choose another; `vmoodle site list` shows what is taken.",
            )
    _refuse_alias(str(values["address_key"]))
    _refuse_left(str(values["wwwroot"]), str(values["address_key"]))


def refuse_address_taken(wwwroot: str, address_key: str, *, but: Site) -> None:
    """Raise Conflict when an address is another site's than this one's, or an alias."""
    other = Site.objects.filter(address_key=address_key).exclude(id=but.id).first()
    if other is not None:
        raise Conflict(
            "site.url.taken",
            f"The address {address_key} belongs to the site {other.shortname} ({other.state}).",
            "Choose another; `vmoodle site list` shows what is taken.",
        )
    _refuse_alias(address_key)
    _refuse_left(wwwroot, address_key)


def _refuse_left(wwwroot: str, address_key: str, *, but: str = "") -> None:
    """Raise Conflict for an address that a site is just moving from: it may have to go back."""
    for operation in operations.under_way_with(address_key=address_key):
        if operation.subject == but:
            continue
        raise Conflict(
            "site.url.taken",
            f"The site {operation.subject} is just moving away from {wwwroot}.",
            f"Wait for it: vmoodle operation follow {operation.id}",
        )


def _refuse_alias(address_key: str) -> None:
    host = address_key.partition("/")[0]
    alias = SiteAlias.objects.filter(host=host).select_related("site").first()
    if alias is not None:
        raise Conflict(
            "site.url.taken",
            f"The host {host} is an alias of the site {alias.site.shortname}.",
            f"Remove it first: vmoodle site set {alias.site.shortname} --remove-alias {host}",
        )


def find(shortname: str) -> Site:
    """Return the site of a shortname; raise NotFound naming the nearest."""
    site = Site.objects.select_related("codebase", "server").filter(shortname=shortname).first()
    if site is None:
        names = Site.objects.values_list("shortname", flat=True)
        raise NotFound(
            "site.unknown",
            f"There is no site {shortname!r}.",
            near(shortname, names, "`vmoodle site list` shows the sites."),
        )
    return site


def held(shortname: str) -> Site:
    """Return a site that nobody else changes until the transaction ends; raise NotFound.

    What is decided by its state, or by the operations on it, is decided in that transaction.
    """
    # SQLite knows no lock on a row; there each transaction holds the whole registry from its start.
    Site.objects.select_for_update().filter(shortname=shortname).first()
    return find(shortname)


def every() -> QuerySet[Site]:
    """Return all sites by shortname, their codebase and server with them."""
    return Site.objects.select_related("codebase", "server").order_by("shortname")


def enabled(site: Site) -> None:
    """The site serves from now on, and its cron has waited for nothing before."""
    _change(site, SiteState.ENABLED, "")
    CronSite.objects.filter(site_id=site.id).update(
        since=time.time(), served=None, failures=0, not_before=0, complete=None, parked=[]
    )


def suspended(site: Site, reason: str) -> None:
    """The site answers 503 from now on."""
    _change(site, SiteState.SUSPENDED, reason)


def deploying(site: Site) -> None:
    """The site is being made (again)."""
    _change(site, SiteState.DEPLOYING, "")


def deleting(site: Site) -> None:
    """The site is being taken apart; why it was suspended is kept, in case it goes back."""
    kept = SiteState(site.state) in {SiteState.SUSPENDED, SiteState.DELETING}
    _change(site, SiteState.DELETING, site.state_reason if kept else "")


def kept_deleted(site: Site, until: datetime | None) -> None:
    """The site answers 410; what it has is kept until then, or until somebody purges it."""
    site.purge_after = until
    site.save(update_fields=["purge_after"])
    DeletedAddress.objects.update_or_create(
        address_key=site.address_key, defaults={"shortname": site.shortname}
    )
    _change(site, SiteState.DELETED, "")


def revived(site: Site) -> None:
    """A deleted site is back, and suspended."""
    _kept_no_longer(site)
    _change(site, SiteState.SUSPENDED, "revived")


def deletion_taken_back(site: Site) -> None:
    """A site whose deletion did not come to its end is suspended, as it was before."""
    _kept_no_longer(site)
    # What needs attention has another reason by now, and what was kept deleted has none.
    kept = SiteState(site.state) in {SiteState.SUSPENDED, SiteState.DELETING}
    _change(site, SiteState.SUSPENDED, site.state_reason if kept else "deletion was taken back")


def _kept_no_longer(site: Site) -> None:
    site.purge_after = None
    site.save(update_fields=["purge_after"])
    address_used_again(site.address_key)


def expired(moment: datetime) -> list[Site]:
    """Return the deleted sites whose grace period was over at a moment."""
    return list(Site.objects.filter(state=SiteState.DELETED, purge_after__lte=moment))


def needs_attention(site: Site, reason: str) -> None:
    """An operation on the site stopped half-way; a person must choose."""
    _change(site, SiteState.ATTENTION, reason)


def forget(site: Site, *, leave_tombstone: bool) -> None:
    """Remove the site's row; with a tombstone, remember that its address was deleted."""
    with transaction.atomic():
        if leave_tombstone:
            DeletedAddress.objects.update_or_create(
                address_key=site.address_key, defaults={"shortname": site.shortname}
            )
        Site.objects.filter(id=site.id).delete()


def address_used_again(address_key: str) -> None:
    """Forget that an address was deleted."""
    DeletedAddress.objects.filter(address_key=address_key).delete()


def was_deleted(address_key: str) -> bool:
    """Tell whether a deleted site had the address and nobody uses it again."""
    return DeletedAddress.objects.filter(address_key=address_key).exists()


def back_to(site: Site, state: SiteState, reason: str = "") -> None:
    """The site is again what it was before an operation; suspended, for the same reason."""
    _change(site, state, reason if state == SiteState.SUSPENDED else "")


def readdressed(site: Site, *, wwwroot: str, address_key: str) -> None:
    """The site has a new address; raise Conflict when another site has it by now."""
    try:
        with transaction.atomic():
            Site.objects.filter(id=site.id).update(wwwroot=wwwroot, address_key=address_key)
    except IntegrityError as error:
        refuse_address_taken(wwwroot, address_key, but=site)
        raise Conflict(
            "site.url.taken",
            f"The address {wwwroot} is taken.",
            "`vmoodle site list` shows by whom.",
        ) from error
    address_used_again(address_key)


def others_on_host(host: str, *, but: str) -> list[str]:
    """Return the wwwroots of the sites on a host, but not that one."""
    rows = Site.objects.filter(Q(address_key=host) | Q(address_key__startswith=f"{host}/"))
    return list(rows.exclude(wwwroot=but).values_list("wwwroot", flat=True))


def on_database(site: Site, database: str) -> None:
    """The site's data is in another database of its server and account from now on."""
    Site.objects.filter(id=site.id).update(database=database)
    site.database = database


def on_codebase(site: Site, codebase: Codebase) -> None:
    """The site runs on another codebase from now on."""
    Site.objects.filter(id=site.id).update(codebase=codebase)
    site.codebase = codebase


def renamed(site: Site, name: str) -> None:
    """The site has a new full name."""
    Site.objects.filter(id=site.id).update(name=name)
    site.name = name


def set_labels(site: Site, labels: Mapping[str, str]) -> None:
    """Put labels on a site, replacing those of the same key."""
    for key, value in labels.items():
        SiteLabel.objects.update_or_create(site=site, key=key, defaults={"value": value})


def remove_labels(site: Site, keys: Iterable[str]) -> None:
    """Take labels off a site."""
    SiteLabel.objects.filter(site=site, key__in=list(keys)).delete()


def add_alias(site: Site, host: str) -> None:
    """Give a site a further host; raise Conflict when the host is used."""
    owner = Site.objects.filter(address_key=host).first()
    alias = SiteAlias.objects.filter(host=host).select_related("site").first()
    holder = owner or (alias.site if alias else None)
    if holder is not None and (owner is not None or holder.id != site.id):
        raise Conflict(
            "site.alias.taken",
            f"The host {host} belongs to the site {holder.shortname}.",
            "An alias is a host that no site uses yet.",
        )
    _refuse_left(host, host, but=site.shortname)
    SiteAlias.objects.get_or_create(site=site, host=host)
    address_used_again(host)


def remove_alias(site: Site, host: str) -> None:
    """Take an alias from a site; raise NotFound when it has none of that name."""
    removed, _details = SiteAlias.objects.filter(site=site, host=host).delete()
    if not removed:
        raise NotFound(
            "site.alias.unknown",
            f"The site {site.shortname} has no alias {host}.",
            f"`vmoodle site show {site.shortname}` lists its aliases.",
        )


def alias_hosts(site: Site) -> list[str]:
    """Return the hosts that redirect to the site."""
    return sorted(alias.host for alias in site.aliases.all())


def label_values(site: Site) -> dict[str, str]:
    """Return the site's labels by key."""
    return dict(sorted((label.key, label.value) for label in site.labels.all()))


def _change(site: Site, state: SiteState, reason: str) -> None:
    site.state, site.state_reason = state, reason[:500]
    site.save(update_fields=["state", "state_reason", "changed_at"])
