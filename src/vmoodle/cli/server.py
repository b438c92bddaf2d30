"""`vmoodle server`: database servers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from vmoodle.cli.output import Json, print_block, print_json, print_table, print_text
from vmoodle.cli.progress import showing
from vmoodle.cli.secrets_in import read_secret

if TYPE_CHECKING:
    from vmoodle.registry.models import DatabaseServer

app = typer.Typer(help="Database servers that carry the sites.", no_args_is_help=True)


@app.command()
def add(
    name: Annotated[str, typer.Argument(help="What to call the server.")],
    url: Annotated[
        str,
        typer.Argument(
            help="mariadb://user@host:port, postgresql://user@host:port, with "
            "?socket=/path for a socket; or the word embedded."
        ),
    ],
    password_file: Annotated[
        str | None,
        typer.Option(help="File with the account's password, - for standard input."),
    ] = None,
    json: Json = False,
) -> None:
    """Add a database server; check at once that its account may create databases and accounts."""
    from vmoodle.installation import open_installation
    from vmoodle.secret import Secret

    installation = open_installation()
    from vmoodle.lifecycle import server

    secret = Secret(url)
    if password_file is not None:
        secret = server.with_password(secret, read_secret(password_file))
    with showing("asking the server"):
        report = server.add(installation, name, secret)
    _show(report.server, json=json)


@app.command("list")
def list_servers(json: Json = False) -> None:
    """List the database servers."""
    from vmoodle.installation import open_installation

    open_installation()
    from vmoodle.registry import servers

    rows = [servers.facts(server) for server in servers.every()]
    if json:
        print_json(rows)
        return
    print_table(
        ("NAME", "ENGINE", "VERSION", "ADDRESS", "SITES"),
        [(r["name"], r["engine"], r["version"], r["address"], r["sites"]) for r in rows],
        "No database server yet: vmoodle server add main embedded",
    )


@app.command()
def show(name: str, json: Json = False) -> None:
    """Show a database server."""
    from vmoodle.installation import open_installation

    open_installation()
    from vmoodle.registry import servers

    _show(servers.find(name), json=json)


@app.command()
def check(name: str, json: Json = False) -> None:
    """Ask a server again whether it answers, writes and grants what VMoodle needs."""
    from vmoodle.installation import open_installation

    installation = open_installation()
    from vmoodle.lifecycle import server
    from vmoodle.registry import servers

    with showing("asking the server"):
        report = server.check(installation, servers.find(name))
    _show(report.server, json=json)


@app.command()
def remove(name: str, json: Json = False) -> None:
    """Forget a server that carries no site; nothing is changed on it."""
    from vmoodle.installation import open_installation

    open_installation()
    from vmoodle.lifecycle import server
    from vmoodle.registry import servers

    server.remove(servers.find(name))
    print_json({"removed": name}) if json else print_text(f"removed {name}")


def _show(server: DatabaseServer, *, json: bool) -> None:
    from vmoodle.registry import servers

    facts = servers.facts(server)
    if json:
        print_json(facts)
    else:
        print_block(facts)
