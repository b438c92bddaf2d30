"""Which of the known database servers carries an existing Moodle's database."""

from __future__ import annotations

from vmoodle.engines.address import THIS_MACHINE, EngineName, ServerAddress, parse_url
from vmoodle.errors import Conflict, InvalidInput, Refused
from vmoodle.installation import Installation
from vmoodle.lifecycle.adopt.request import AdoptRequest, engine_of
from vmoodle.registry import servers
from vmoodle.registry.models import DatabaseServer

_HERE = THIS_MACHINE | {""}
_PORTS: dict[EngineName, int] = {"mariadb": 3306, "postgresql": 5432}


def choose_server(installation: Installation, request: AdoptRequest) -> DatabaseServer:
    """Return the server named, else the known one at the request's host, port or socket.

    Raise Refused `adopt.server.unknown` for a server of which VMoodle has no administrative
    account, InvalidInput `adopt.server.choose` where more than one fits, Conflict
    `adopt.server.engine` for a server of another engine.
    """
    engine = engine_of(request)
    if request.server:
        row = servers.find(request.server)
        if engine is not None and row.engine != engine:
            raise Conflict(
                "adopt.server.engine",
                f"The Moodle's database is of {engine}, the server {row.name} is {row.engine}.",
                f"Name a {engine} server with --server; `vmoodle server list` shows them.",
            )
        return row
    if not (request.host or request.socket or engine):
        return servers.chosen("")
    fitting = [
        row
        for row in servers.every()
        if engine in (None, row.engine) and _is_at(_address(installation, row), request)
    ]
    if len(fitting) == 1:
        return fitting[0]
    where = request.socket or f"{request.host or 'localhost'}:{request.port or 'the default port'}"
    if fitting:
        raise InvalidInput(
            "adopt.server.choose",
            f"More than one known database server is at {where}: "
            + ", ".join(row.name for row in fitting)
            + ".",
            "Say which with --server.",
        )
    raise Refused(
        "adopt.server.unknown",
        f"VMoodle has no administrative account on the database server at {where}.",
        f"vmoodle server add NAME {engine or 'mariadb'}://ADMIN@{request.host or 'localhost'}"
        f"{f':{request.port}' if request.port else ''} --password-file FILE; or say with --server "
        "which known one it is.",
    )


def _address(installation: Installation, row: DatabaseServer) -> ServerAddress:
    return installation.engine(row).address if row.embedded else parse_url(row.address)


def _is_at(address: ServerAddress, wanted: AdoptRequest) -> bool:
    """Tell whether a server listens where the request says.

    PHP's drivers take `localhost` without a port for the server's own socket: there a known server
    on this machine's default port or on any socket fits.
    """
    if wanted.socket:
        return address.socket is not None and _same_socket(address.socket, wanted.socket)
    default = _PORTS[address.engine]
    port = wanted.port or default
    if wanted.host.startswith("/"):
        return address.socket is not None and _same_socket(address.socket, wanted.host)
    if _local(wanted.host):
        if address.socket is not None:
            return address.engine == "mariadb" or address.effective_port == port
        return _local(address.host) and address.effective_port == port
    return address.socket is None and (address.host.lower(), address.effective_port) == (
        wanted.host.lower(),
        port,
    )


def _same_socket(known: str, wanted: str) -> bool:
    """Tell whether two say the same socket: on PostgreSQL its directory, or its file in there."""
    return wanted == known or wanted.startswith(f"{known.rstrip('/')}/.s.PGSQL.")


def _local(host: str) -> bool:
    return host.lower().strip("[]") in _HERE
