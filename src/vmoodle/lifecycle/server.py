"""Add, check and remove database servers."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote, urlsplit, urlunsplit

from vmoodle.engines.address import parse_url
from vmoodle.engines.protocol import Engine, ServerFacts, open_engine
from vmoodle.errors import InvalidInput, Refused, Unavailable
from vmoodle.installation import Installation
from vmoodle.lifecycle import names
from vmoodle.registry import audit, servers
from vmoodle.registry.models import DatabaseServer
from vmoodle.secret import Secret

EMBEDDED = "embedded"


@dataclass(frozen=True)
class ServerReport:
    """A server as it answered just now."""

    server: DatabaseServer
    facts: ServerFacts


def add(installation: Installation, name: str, url: Secret) -> ServerReport:
    """Add a server by URL, or the embedded one by the word `embedded`.

    Raise Refused with the statements to run when its account lacks a right, Unavailable when it
    does not answer or only reads.
    """
    names.thing("server", name)
    servers.refuse_taken(name)
    embedded = url.reveal() == EMBEDDED
    if embedded:
        from vmoodle.engines.embedded import EmbeddedPostgreSQL

        _refuse_second_embedded()
        address = EmbeddedPostgreSQL(installation.home.embedded).start()
    else:
        address = parse_url(url.reveal())
    prefix = installation.settings.sites.database_prefix
    facts = check_engine(open_engine(address, prefix=prefix))
    server = DatabaseServer.objects.create(
        name=name,
        engine=address.engine,
        embedded=embedded,
        address=EMBEDDED if embedded else address.display(),
        url_encrypted="" if embedded else installation.encrypt(url),
        flavour=facts.flavour,
        version=facts.version,
    )
    audit.record("server.add", name, address=server.address)
    return ServerReport(server, facts)


def check(installation: Installation, server: DatabaseServer) -> ServerReport:
    """Ask a known server again whether it answers, writes, and grants what VMoodle needs."""
    facts = check_engine(installation.engine(server))
    DatabaseServer.objects.filter(id=server.id).update(flavour=facts.flavour, version=facts.version)
    return ServerReport(server, facts)


def with_password(url: Secret, password: Secret) -> Secret:
    """Return a server's URL with the password in it; raise InvalidInput when it has one already."""
    parts = urlsplit(url.reveal())
    account, separator, place = parts.netloc.rpartition("@")
    if not separator or ":" in account:
        raise InvalidInput(
            "server.url.account",
            "A password file goes with a URL that names an account and no password.",
            "As in mariadb://vmoodle@db.example.org:3306",
        )
    netloc = f"{account}:{quote(password.reveal(), safe='')}@{place}"
    return Secret(urlunsplit(parts._replace(netloc=netloc)))


def check_engine(engine: Engine) -> ServerFacts:
    """Return the server's facts; raise Unavailable or Refused when it cannot carry sites."""
    facts = engine.facts()
    if facts.read_only:
        raise Unavailable(
            "engine.readonly",
            "The database server answers but accepts no writes.",
            "Give the address of the primary, or end its read-only mode.",
        )
    missing = engine.missing_grants()
    if missing:
        raise Refused(
            "server.grants",
            "The account lacks: " + ", ".join(grant.privilege for grant in missing) + ".",
            "Run as the server's administrator: "
            + " ".join(grant.statement.rstrip(";") + ";" for grant in missing),
        )
    return facts


def remove(server: DatabaseServer) -> None:
    """Forget a server that carries no site; nothing is changed on the server."""
    servers.forget(server)
    audit.record("server.remove", server.name)


def _refuse_second_embedded() -> None:
    other = DatabaseServer.objects.filter(embedded=True).first()
    if other is not None:
        raise Refused(
            "server.embedded.taken",
            f"The embedded server is known already, as {other.name}.",
            f"Use it: --server {other.name}",
        )
