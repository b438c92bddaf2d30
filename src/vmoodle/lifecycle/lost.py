"""What can be done about a site that has lost its database or its files behind VMoodle's back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vmoodle.engines.protocol import Engine, SiteConnection
from vmoodle.errors import NotFound
from vmoodle.installation import Installation
from vmoodle.registry import ledger, snapshots
from vmoodle.registry.models import LedgerEntry, Site, SiteState

_END = {
    SiteState.ENABLED: "vmoodle site suspend {0}, then vmoodle site delete {0} --no-snapshot",
    SiteState.SUSPENDED: "vmoodle site delete {0} --no-snapshot",
    SiteState.ATTENTION: "vmoodle site purge {0} --now",
    SiteState.DELETED: "vmoodle site purge {0} --now",
}


def way_on(site: Site, *, restorable: bool = True) -> str:
    """Return the calls that bring a site back that has lost something, or that end it.

    A snapshot has no account: one that is lost is not `restorable`.
    """
    state, ways = SiteState(site.state), []
    newest = snapshots.newest_good(site.shortname) if restorable and not site.adopted else None
    if newest and state in {SiteState.ENABLED, SiteState.SUSPENDED}:
        ways.append(f"vmoodle snapshot restore {newest.id} brings it back")
    if state in _END:
        ways.append(f"{_END[state].format(site.shortname)} ends it")
    else:
        ways.append(f"`vmoodle operation list --site {site.shortname}` shows what is at it")
    return "; ".join(ways) + "."


@contextmanager
def connected(
    installation: Installation, site: Site, *, read_only: bool = True
) -> Iterator[SiteConnection]:
    """Connect to a site's own database; raise as the engine does.

    The NotFound of a database that is gone says what can be done about it.
    """
    engine = installation.engine(site.server)
    try:
        with engine.connect(installation.site_database(site), read_only=read_only) as connection:
            yield connection
    except NotFound as error:
        if error.code != "engine.database.missing":
            raise
        raise NotFound(
            error.code,
            f"The database {site.database} of the site {site.shortname} is gone.",
            way_on(site),
        ) from error


def exists(entry: LedgerEntry, engine: Engine | None) -> bool:
    """Tell whether what the ledger has is there; so it is taken to be without an engine to ask."""
    if entry.kind == ledger.DIRECTORY:
        return Path(entry.name).is_dir()
    if engine is None:
        return True
    ask = engine.database_exists if entry.kind == ledger.DATABASE else engine.account_exists
    return ask(entry.name)
