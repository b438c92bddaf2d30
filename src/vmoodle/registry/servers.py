"""Database servers in the registry."""

from __future__ import annotations

from vmoodle.errors import Conflict
from vmoodle.registry.models import DatabaseServer
from vmoodle.registry.named import Named

_NAMED = Named(
    DatabaseServer.objects,
    "server",
    "database server",
    first="vmoodle server add main embedded   (or a mariadb:// or postgresql:// URL)",
)
every, find, chosen, refuse_used = _NAMED.every, _NAMED.find, _NAMED.chosen, _NAMED.refuse_used


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
