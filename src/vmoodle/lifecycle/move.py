"""Move a site to another address: its content, its registry row and its place in the map.

The site answers 503 at its old address while its content is rewritten in one transaction.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import transaction

from vmoodle.engines.protocol import SiteConnection
from vmoodle.errors import Failed, InvalidInput, NotFound, VMoodleError
from vmoodle.hook.address import parse_wwwroot
from vmoodle.installation import Installation
from vmoodle.lifecycle import interruption, preflight
from vmoodle.lifecycle.lost import connected
from vmoodle.lifecycle.prove import prove
from vmoodle.lifecycle.publish import publish, withdraw
from vmoodle.lifecycle.script import run_on_one
from vmoodle.lifecycle.suspend import settled
from vmoodle.moodle.code.tree import MoodleTree
from vmoodle.moodle.database import content_urls
from vmoodle.moodle.database.content_urls import RewriteReport
from vmoodle.operations.plan import OperationKind, Step, StepContext
from vmoodle.registry import audit, operations, sites
from vmoodle.registry.models import Operation, Site, SiteState
from vmoodle.registry.source_names import SourceKind

KIND = "site.move"
# Plugin and name of the setting that says by which operation a site's content was rewritten.
_MARK = ("vmoodle", "moved")


def plan(installation: Installation, shortname: str, url: str) -> RewriteReport:
    """Return what a move would change in the site's database, without changing it.

    Raise as `submit` does.
    """
    site, new = _checked(shortname, url)
    with connected(installation, site) as connection:
        return content_urls.plan(connection, site.wwwroot, new, others=_neighbours(site.wwwroot))


def submit(
    installation: Installation, shortname: str, url: str, *, redirect: bool = True
) -> Operation:
    """Queue the move of a site to another wwwroot.

    With `redirect` the old host, where it had the site alone, sends its visitors to the new
    address. Raise InvalidInput for an address that cannot be, NotFound also for a database that is
    gone, Conflict for an address that is taken or a site that is not settled.
    """
    _refuse_lost(installation, _checked(shortname, url)[0])
    with transaction.atomic():
        site, new = _checked(shortname, url)
        operations.refuse_used(SourceKind.SITE.named(shortname))
        old = parse_wwwroot(site.wwwroot)
        redirects = redirect and not old.segment and old.host != parse_wwwroot(new).host
        operation = operations.submit(
            KIND,
            site=shortname,
            parameters={
                "old": site.wwwroot,
                "address_key": site.address_key,
                "new": new,
                "state": site.state,
                "redirect": redirects,
            },
            node=installation.node,
        )
    audit.record(KIND, shortname, outcome="submitted", old=site.wwwroot, new=new)
    return operation


def _checked(shortname: str, url: str) -> tuple[Site, str]:
    site = settled(shortname, "moved")
    address = parse_wwwroot(url)
    if address.wwwroot == site.wwwroot:
        raise InvalidInput(
            "site.move.same",
            f"The site {shortname} is at {site.wwwroot} already.",
            "Name another address.",
        )
    preflight.check_segment(MoodleTree.open(site.codebase.path), address)
    sites.refuse_address_taken(address.wwwroot, address.key, but=site)
    return site, address.wwwroot


def _refuse_lost(installation: Installation, site: Site) -> None:
    """Open the site's database, as the rewriting will; raise as the engine does."""
    with connected(installation, site, read_only=False):
        pass


def _neighbours(wwwroot: str) -> list[str]:
    """Return the wwwroots of other sites on the same host: what lies below them is not ours."""
    return sites.others_on_host(parse_wwwroot(wwwroot).host, but=wwwroot)


def _close(context: StepContext) -> None:
    """Answer 503, unless the database cannot be opened: then the site stays as it is."""
    _refuse_lost(context.installation, sites.find(context.site))
    interruption.begin(context)


def _rewrite(context: StepContext) -> None:
    old, new = str(context.parameters["old"]), str(context.parameters["new"])
    with _writing(context) as connection:
        if _has_mark(context, connection):
            return
        _forget_mark(connection)
        connection.execute(
            "INSERT INTO {config_plugins} (plugin, name, value) VALUES (%s, %s, %s)",
            (*_MARK, context.operation_id),
        )
        _rewritten(context, connection, old, new)


def _rewrite_back(context: StepContext) -> None:
    """Rewrite the addresses back if they were rewritten: others may have been there before."""
    old, new = str(context.parameters["old"]), str(context.parameters["new"])
    try:
        with _writing(context) as connection:
            if _has_mark(context, connection):
                _rewritten(context, connection, new, old)
                _forget_mark(connection)
    except NotFound as error:
        if error.code != "engine.database.missing":
            raise
        context.say(f"{error.message} There is nothing to rewrite back.")
        return
    # What was served meanwhile, to prove the site, is in the caches.
    try:
        _purge(context)
    except VMoodleError as error:
        context.say(f"{error.message} Purge them by hand once PHP works again.")


def _let_go(context: StepContext) -> None:
    """Remove what the way back needed. The site has moved, whether that succeeds or not."""
    try:
        with _writing(context) as connection:
            _forget_mark(connection)
            had_keys = _forget_keys(connection, str(context.parameters["new"]))
        if had_keys:
            # Moodle has the old pair in its caches.
            _purge(context)
    except VMoodleError as error:
        context.say(
            f"{error.message} A mark, or the MNET keys of the old address, may be left in "
            "config_plugins and in Moodle's caches."
        )


def _forget_keys(connection: SiteConnection, wwwroot: str) -> bool:
    """Remove the site's own MNET keys and tell whether there were any.

    They name the old address; Moodle makes a pair for the new one when MNET is next used.
    """
    removed = connection.execute(
        "DELETE FROM {config_plugins} WHERE plugin = 'mnet' "
        "AND name IN ('openssl', 'openssl_history')"
    )
    connection.execute(
        "UPDATE {mnet_host} SET public_key = '', public_key_expires = 0 WHERE wwwroot = %s",
        (wwwroot,),
    )
    return removed > 0


@contextmanager
def _writing(context: StepContext) -> Iterator[SiteConnection]:
    with connected(context.installation, sites.find(context.site), read_only=False) as connection:
        yield connection


def _has_mark(context: StepContext, connection: SiteConnection) -> bool:
    """Tell whether this operation has rewritten the site: written in the same transaction."""
    rows = connection.query(
        "SELECT value FROM {config_plugins} WHERE plugin = %s AND name = %s", _MARK
    )
    return [str(row[0]) for row in rows] == [context.operation_id]


def _forget_mark(connection: SiteConnection) -> None:
    connection.execute("DELETE FROM {config_plugins} WHERE plugin = %s AND name = %s", _MARK)


def _rewritten(context: StepContext, connection: SiteConnection, old: str, new: str) -> None:
    report = content_urls.rewrite(connection, old, new, others=_neighbours(old))
    context.say(f"{report.addresses} addresses in {report.cells} cells rewritten")
    for cell in report.left:
        context.say(f"left as it is: {cell.table}.{cell.column}, row {cell.row}: {cell.reason}")


def _change_address(context: StepContext) -> None:
    _readdress(context, str(context.parameters["old"]), str(context.parameters["new"]))
    if context.parameters["redirect"]:
        sites.add_alias(
            sites.find(context.site), parse_wwwroot(str(context.parameters["old"])).host
        )


def _change_back(context: StepContext) -> None:
    site = sites.find(context.site)
    old = parse_wwwroot(str(context.parameters["old"]))
    # Where the old address has a path, its host may have been an alias before.
    if context.parameters["redirect"] and old.host in sites.alias_hosts(site):
        sites.remove_alias(site, old.host)
    _readdress(context, str(context.parameters["new"]), old.wwwroot)


def _readdress(context: StepContext, before: str, wwwroot: str) -> None:
    """Change registry and map; done again, the map is made to agree with the registry."""
    site = sites.find(context.site)
    address = parse_wwwroot(wwwroot)
    if site.wwwroot != address.wwwroot:
        sites.readdressed(site, wwwroot=address.wwwroot, address_key=address.key)
    site.wwwroot = before
    withdraw(context.installation, site, tombstone=sites.was_deleted(parse_wwwroot(before).key))
    publish(context.installation, sites.find(context.site))


def _purge(context: StepContext) -> None:
    result = run_on_one(context.installation, context.site, ["admin/cli/purge_caches.php"])
    if result.exit_status != 0:
        raise Failed(
            "site.move.caches",
            f"Moodle's caches could not be purged (status {result.exit_status}).",
            result.output[-300:] or "PHP's error log says more.",
        )


def _open(context: StepContext) -> None:
    interruption.end(context)
    site = sites.find(context.site)
    if site.state == SiteState.ENABLED:
        context.say(prove(context.installation, site).summary())
    audit.record(KIND, context.site, operation=context.operation_id, new=site.wwwroot)


MOVE = OperationKind(
    KIND,
    "move a site",
    (
        Step("close", "answer 503 for the time being", _close, interruption.end),
        Step("rewrite", "rewrite the addresses in its content", _rewrite, _rewrite_back),
        Step("address", "publish the new address", _change_address, _change_back),
        Step("caches", "purge Moodle's caches", _purge),
        Step("open", "serve again", _open, interruption.begin),
        Step("settle", "let go of the way back", _let_go, None),
    ),
    attention=interruption.attention,
)
