"""`vmoodle site delete|revive|purge`: the end of a site, and its way back."""

from __future__ import annotations

import sys
from datetime import datetime
from typing import Annotated, Any

import typer

from vmoodle.cli.output import Json, in_bytes, moment, print_json, say
from vmoodle.cli.site_facts import show_site
from vmoodle.cli.site_words import Confirm, Detach, Shortname


def delete(
    shortname: Shortname,
    confirm: Confirm = None,
    purge: Annotated[
        bool,
        typer.Option("--purge", help="Destroy it at once: database, account and files are gone."),
    ] = False,
    detach: Detach = False,
    json: Json = False,
) -> None:
    """Delete a suspended site: off the map now, kept for a grace period, then purged."""
    from vmoodle.cli.progress import carry_out
    from vmoodle.installation import open_installation

    installation = open_installation()
    from vmoodle.lifecycle import delete as deletion
    from vmoodle.lifecycle import purge as purging
    from vmoodle.registry import sites

    site = sites.find(shortname)
    if confirm is None and sys.stdin.isatty() and site.state in {"suspended", "needs attention"}:
        if purge:
            say(f"This destroys {site.wwwroot} with its database and all its files.")
        else:
            days = installation.settings.sites.delete_grace_days
            say(f"This takes {site.wwwroot} off the map; what it has is kept for {days} days.")
        confirm = typer.prompt("Type the shortname to go on", err=True)
    typed = confirm or ""
    operation = (
        purging.submit(installation, shortname, typed=typed, now=True)
        if purge
        else deletion.submit(installation, shortname, typed=typed)
    )
    ended = operation if detach else carry_out(installation, operation)
    if json:
        print_json({"operation": ended.id, "site": shortname, "state": ended.state})
    elif detach:
        say(f"vmoodle operation follow {ended.id}")
    elif purge:
        _show_certificate(ended.result["certificate"])
    else:
        until = moment(sites.find(shortname).purge_after)
        say(f"deleted {shortname}, kept until {until}: vmoodle site revive {shortname}")


def revive(shortname: Shortname, json: Json = False) -> None:
    """Bring a deleted site back, suspended."""
    from vmoodle.installation import open_installation

    installation = open_installation()
    from vmoodle.lifecycle.delete import revive as bring_back

    show_site(bring_back(installation, shortname), json=json)


def purge(
    shortname: Annotated[str, typer.Argument(help="The deleted site.")] = "",
    confirm: Confirm = None,
    now: Annotated[
        bool, typer.Option("--now", help="Do not wait for the end of the grace period.")
    ] = False,
    expired: Annotated[
        bool, typer.Option("--expired", help="All deleted sites whose grace period is over.")
    ] = False,
    json: Json = False,
) -> None:
    """Destroy a deleted site and print a certificate of what was destroyed."""
    from vmoodle.cli.progress import carry_out
    from vmoodle.errors import InvalidInput
    from vmoodle.installation import open_installation

    if bool(shortname) == expired:
        raise InvalidInput(
            "site.purge.which",
            "Name one site, or say --expired.",
            "vmoodle site list --state deleted",
        )
    installation = open_installation()
    from vmoodle.lifecycle import purge as purging
    from vmoodle.registry import sites

    if expired:
        ordered = purging.submit_expired(installation)
    else:
        site = sites.find(shortname)
        if confirm is None and sys.stdin.isatty():
            say(f"This destroys {site.wwwroot} with its database and all its files.")
            confirm = typer.prompt("Type the shortname to go on", err=True)
        ordered = [purging.submit(installation, shortname, typed=confirm or "", now=now)]
    certificates = [
        carry_out(installation, operation).result["certificate"] for operation in ordered
    ]
    if json:
        print_json(certificates)
        return
    for certificate in certificates:
        _show_certificate(certificate)
    if not certificates:
        say("No grace period is over.")


def _show_certificate(certificate: dict[str, Any]) -> None:
    typer.echo(f"destroyed: {certificate['site']}, {certificate['url']}")
    for thing in certificate["destroyed"]:
        at = f" on {thing['place']}" if thing["place"] else ""
        typer.echo(f"  {thing['kind']} {thing['name']}{at}")
    for thing in certificate.get("left", []):
        at = f" on {thing['place']}" if thing["place"] else ""
        typer.echo(f"  left, not made by VMoodle: {thing['kind']} {thing['name']}{at}")
    dropped = any(thing["kind"] == "database" for thing in certificate["destroyed"])
    if dropped and certificate["database_bytes"] is not None:
        typer.echo(f"  {in_bytes(certificate['database_bytes'])} of database")
    ended = moment(datetime.fromisoformat(certificate["ended"]))
    typer.echo(f"operation {certificate['operation']}, ended {ended} UTC")
