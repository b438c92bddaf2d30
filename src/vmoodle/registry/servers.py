"""Database servers in the registry."""

from __future__ import annotations

from vmoodle.errors import Conflict, InvalidInput, NotFound
from vmoodle.registry.models import DatabaseServer


def find(name: str) -> DatabaseServer:
    """Return the server of a name; raise NotFound."""
    server = DatabaseServer.objects.filter(name=name).first()
    if server is None:
        raise NotFound(
            "server.unknown",
            f"There is no database server {name!r}.",
            "`vmoodle server list` shows them; `vmoodle server add` adds one.",
        )
    return server


def chosen(name: str) -> DatabaseServer:
    """Return the named server, or, when no name is given, the only one there is."""
    if name:
        return find(name)
    servers = list(DatabaseServer.objects.order_by("id")[:2])
    if not servers:
        raise InvalidInput(
            "server.none",
            "No database server is known yet.",
            "vmoodle server add main embedded   (or a mariadb:// or postgresql:// URL)",
        )
    if len(servers) > 1:
        raise InvalidInput(
            "server.choose",
            "There is more than one database server.",
            "Say which with --server; `vmoodle server list` shows them.",
        )
    return servers[0]


def refuse_taken(name: str) -> None:
    """Raise Conflict when a server of that name exists."""
    if DatabaseServer.objects.filter(name=name).exists():
        raise Conflict(
            "server.taken",
            f"There is a database server {name!r} already.",
            "Choose another name, or `vmoodle server remove` that one first.",
        )


def refuse_used(server: DatabaseServer) -> None:
    """Raise Conflict when sites have their database on the server."""
    count = server.sites.count()
    if count:
        raise Conflict(
            "server.used",
            f"{count} site(s) have their database on {server.name}.",
            f"`vmoodle site list --server {server.name}` shows them.",
        )
