"""Checks of the ledger against what is really there, and of what is there against the ledger."""

from __future__ import annotations

from vmoodle.doctor import mends
from vmoodle.doctor.finding import Found
from vmoodle.engines.protocol import Engine
from vmoodle.errors import VMoodleError
from vmoodle.installation import Installation
from vmoodle.lifecycle.lost import exists, way_on
from vmoodle.registry import ledger, owners
from vmoodle.registry.models import DatabaseServer, LedgerEntry, Site

# As they are dropped: PostgreSQL keeps an account that still owns a database.
_ORDER = (ledger.DATABASE, ledger.ACCOUNT, ledger.DIRECTORY)


def ledger_is_real(installation: Installation) -> Found:
    """Every resource of the ledger exists and has an owner, unless an operation is at it."""
    busy, known = owners.busy(), owners.known()
    engines = usable_engines(installation)
    for entry in sorted(ledger.entries(), key=lambda entry: _ORDER.index(entry.kind)):
        if entry.owner in busy:
            continue
        if entry.owner not in known:
            yield (
                f"The {entry.kind} {entry.name} is left over from {entry.owner}.",
                f"vmoodle operation show {entry.operation_id} tells how it came about.",
                mends.drop_leftover(entry),
            )
        elif ":" in entry.owner and entry.kind != ledger.ACCOUNT:
            continue  # a template's or a warm copy's: their own checks know how to mend it
        elif not exists(entry, engines.get(entry.place)):
            yield f"{entry.owner}: the {entry.kind} {entry.name} is gone.", _way_on(entry)


def nothing_unknown(installation: Installation) -> Found:
    """No database or moodledata directory looks like ours without the ledger knowing it."""
    prefix = installation.settings.sites.database_prefix
    written = {(entry.kind, entry.place, entry.name) for entry in ledger.entries()}
    # What was adopted keeps the names it had, which may look like ours.
    for site in Site.objects.filter(adopted=True).select_related("server"):
        written |= {
            (ledger.DATABASE, site.server.name, site.database),
            (ledger.DIRECTORY, "", site.dataroot),
        }
    for place, engine in usable_engines(installation).items():
        for name in engine.list_databases():
            if name.startswith(prefix) and (ledger.DATABASE, place, name) not in written:
                yield (
                    f"The database {name} on {place} looks like ours; the ledger has no such one.",
                    "VMoodle will not touch it. Drop it by hand if nobody needs it.",
                )
    base = installation.dataroot_base
    for path in sorted(base.iterdir()) if base.is_dir() else []:
        if (ledger.DIRECTORY, "", str(path)) not in written:
            yield (
                f"{path} belongs to no site.",
                "VMoodle will not touch it. Remove it by hand if nobody needs it.",
            )


def usable_engines(installation: Installation) -> dict[str, Engine]:
    """Return the engine of every server that answers."""
    usable = {}
    for row in DatabaseServer.objects.all():
        try:
            engine = installation.engine(row)
            engine.facts()
        except VMoodleError:
            # Reported by the check of the servers.
            continue
        usable[row.name] = engine
    return usable


def _way_on(entry: LedgerEntry) -> str:
    site = Site.objects.filter(shortname=entry.owner).first()
    if site is None:
        return "Restore it from a backup, or delete what it belonged to."
    if entry.kind == ledger.ACCOUNT:
        return f"Make it again with its password and rights; or {way_on(site, restorable=False)}"
    return f"Restore it from a backup; or {way_on(site)}"
