"""Database servers in the registry."""

from __future__ import annotations

from vmoodle.errors import Conflict, NotFound
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
    """Raise Conflict when sites or templates are on it, or operations under way need it."""
    _NAMED.refuse_used(server)
    templates = list(server.templates.values_list("name", flat=True).order_by("name"))
    if templates:
        raise Conflict(
            "server.used",
            f"Templates are on the database server {server.name}: {', '.join(templates)}.",
            f"vmoodle template delete {templates[0]}",
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
