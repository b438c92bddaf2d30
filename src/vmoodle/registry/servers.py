"""Database servers in the registry."""

from __future__ import annotations

from vmoodle.errors import Conflict, NotFound
from vmoodle.registry import ledger
from vmoodle.registry.models import DatabaseServer
from vmoodle.registry.named import Named

_NAMED = Named(
    DatabaseServer.objects,
    "server",
    "database server",
    first="vmoodle server add main embedded   (or a mariadb:// or postgresql:// URL)",
)
every, find, chosen = _NAMED.every, _NAMED.find, _NAMED.chosen


def facts(server: DatabaseServer) -> dict[str, object]:
    """Return what is shown of a server: nothing secret."""
    return {
        "name": server.name,
        "engine": server.flavour,
        "version": server.version,
        "address": server.address,
        "sites": _NAMED.count_sites(server),
    }


def refuse_taken(name: str) -> None:
    """Raise Conflict when a server of that name exists."""
    if DatabaseServer.objects.filter(name=name).exists():
        raise Conflict(
            "server.taken",
            f"There is a database server {name!r} already.",
            "Choose another name, or `vmoodle server remove` that one first.",
        )


def refuse_used(server: DatabaseServer) -> None:
    """Raise Conflict when sites or templates are on it, or operations under way need it.

    So it is as long as the ledger has anything there: who has made it, or was given another in its
    place, has yet to drop it.
    """
    _NAMED.refuse_used(server)
    templates = list(server.templates.values_list("name", flat=True).order_by("name"))
    if templates:
        raise Conflict(
            "server.used",
            f"Templates are on the database server {server.name}: {', '.join(templates)}.",
            f"vmoodle template delete {templates[0]}",
        )
    left = ledger.on_server(server.name)
    if left:
        raise Conflict(
            "server.used",
            f"The ledger has the {left[0].kind} {left[0].name} of {left[0].owner or '(none)'} on "
            f"the database server {server.name}"
            + (f", and {len(left) - 1} more." if len(left) > 1 else "."),
            f"Let operation {left[0].operation_id} end, then `vmoodle doctor --mend`: it drops "
            "what nobody has any more.",
        )


def forget(server: DatabaseServer) -> None:
    """Remove the row of a server; raise Conflict as `refuse_used` does."""
    _NAMED.forget(server, refuse_used)


def first_of(engine: str) -> DatabaseServer:
    """Return the oldest server of an engine (`mariadb`, `postgresql`); raise NotFound."""
    row = DatabaseServer.objects.filter(engine=engine).order_by("id").first()
    if row is None:
        raise NotFound(
            "server.engine.none",
            f"No {engine} server is known.",
            "`vmoodle server add` adds one.",
        )
    return row
