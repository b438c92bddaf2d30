"""`vmoodle site`: the virtual Moodles."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vmoodle.cli.output import Json, moment, print_block, print_json, print_table, say

if TYPE_CHECKING:
    from vmoodle.registry.models import Site

app = typer.Typer(help="Sites: create, list, change, suspend, delete.", no_args_is_help=True)

Shortname = Annotated[str, typer.Argument(help="The site's shortname.")]
Labels = Annotated[list[str] | None, typer.Option("--label", help="key=value; repeatable.")]


@app.command()
def create(
    shortname: Shortname,
    url: Annotated[str, typer.Option(help="The site's wwwroot, as https://school1.example.org.")],
    name: Annotated[
        str | None, typer.Option(help="Full name of the site; by default the shortname.")
    ] = None,
    codebase: Annotated[str, typer.Option(help="Codebase; needed when there are several.")] = "",
    server: Annotated[str, typer.Option(help="Database server; needed when several.")] = "",
    admin_user: Annotated[str, typer.Option(help="The administrator's user name.")] = "",
    admin_email: Annotated[str, typer.Option(help="The administrator's e-mail address.")] = "",
    admin_password_file: Annotated[
        str | None,
        typer.Option(help="File with the administrator's password, - for standard input."),
    ] = None,
    admin_password_out: Annotated[
        Path | None, typer.Option(help="New file (0600) that a generated password goes to.")
    ] = None,
    label: Labels = None,
    detach: Annotated[
        bool, typer.Option("--detach", help="Only queue it; `operation follow` waits for it.")
    ] = False,
    json: Json = False,
) -> None:
    """Create a site and prove it by a request that shows its own name."""
    from vmoodle.cli.passwords import how_to_get, new_file, show_once
    from vmoodle.cli.progress import carry_out
    from vmoodle.cli.secrets_in import read_secret
    from vmoodle.errors import InvalidInput
    from vmoodle.installation import open_installation

    if json and not detach and admin_password_file is None and admin_password_out is None:
        raise InvalidInput(
            "site.password.nowhere",
            "With --json a generated password would be shown nowhere.",
            "Give one with --admin-password-file, or name a file for it: --admin-password-out.",
        )
    if admin_password_out is not None and (detach or admin_password_file is not None):
        raise InvalidInput(
            "site.password.out",
            "--admin-password-out is for a password that this call generates and waits for.",
            "After --detach: vmoodle operation follow ID --password-out FILE.",
        )
    password = read_secret(admin_password_file) if admin_password_file else None
    installation = open_installation()
    from vmoodle.lifecycle import create as creation
    from vmoodle.operations.follow import warm_up
    from vmoodle.registry import sites

    if not detach:
        warm_up(installation)

    request = creation.SiteRequest(
        shortname=shortname,
        url=url,
        name=name,
        codebase=codebase,
        server=server,
        admin_user=admin_user,
        admin_email=admin_email,
        admin_password=password,
        labels=label or [],
    )
    if detach:
        operation = creation.submit(installation, request)
        facts = {"operation": operation.id, "site": shortname}
        if password is None:
            facts["password"] = how_to_get(operation)
        print_json(facts) if json else say(f"vmoodle operation follow {operation.id}")
        return
    with new_file(admin_password_out) as out:
        ended = carry_out(installation, creation.submit(installation, request))
        facts = _facts(sites.find(shortname))
        if json:
            print_json(facts | {"operation": ended.id})
        else:
            print_block(facts)
        if password is None:
            show_once(installation, ended, out)


@app.command("list")
def list_sites(
    match: Annotated[str, typer.Argument(help="Glob on the shortname, as school*.")] = "*",
    state: Annotated[str, typer.Option(help="Only sites in this state.")] = "",
    codebase: Annotated[str, typer.Option(help="Only sites on this codebase.")] = "",
    server: Annotated[str, typer.Option(help="Only sites on this database server.")] = "",
    label: Labels = None,
    sort: Annotated[
        str,
        typer.Option(
            help="shortname, name, url, state, codebase, server or created; - in front reverses."
        ),
    ] = "shortname",
    json: Json = False,
) -> None:
    """List sites."""
    from vmoodle.installation import open_installation

    open_installation()
    from vmoodle.lifecycle import names
    from vmoodle.registry import site_search

    rows = site_search.search(
        match=match,
        state=state,
        codebase=codebase,
        server=server,
        labels=names.labels(label or []),
        sort=sort,
    )
    if json:
        print_json(rows)
        return
    print_table(
        ("SHORTNAME", "STATE", "URL", "NAME", "CODEBASE", "SERVER"),
        [
            (r["shortname"], r["state"], r["url"], r["name"], r["codebase"], r["server"])
            for r in rows
        ],
        "No site matches."
        if (match != "*" or state or codebase or server or label)
        else "No sites yet: vmoodle site create SHORTNAME --url URL",
    )


@app.command()
def show(shortname: Shortname, json: Json = False) -> None:
    """Show a site."""
    from vmoodle.installation import open_installation

    open_installation()
    from vmoodle.registry import sites

    _show(sites.find(shortname), json=json)


@app.command("set")
def set_site(
    shortname: Shortname,
    name: Annotated[str | None, typer.Option(help="New full name, in Moodle too.")] = None,
    label: Labels = None,
    remove_label: Annotated[
        list[str] | None, typer.Option(help="Key of a label to take off; repeatable.")
    ] = None,
    alias: Annotated[
        list[str] | None, typer.Option(help="Host that redirects to the site; repeatable.")
    ] = None,
    remove_alias: Annotated[list[str] | None, typer.Option(help="Alias to take away.")] = None,
    json: Json = False,
) -> None:
    """Change a site's name, labels and aliases."""
    from vmoodle.installation import open_installation

    installation = open_installation()
    from vmoodle.lifecycle.change import SiteChanges, change

    changes = SiteChanges(name, label or [], remove_label or [], alias or [], remove_alias or [])
    _show(change(installation, shortname, changes), json=json)


@app.command()
def suspend(
    shortname: Shortname,
    reason: Annotated[str, typer.Option(help="Why; shown to administrators only.")] = "",
    json: Json = False,
) -> None:
    """Let a site answer 503; its command-line scripts keep working."""
    from vmoodle.installation import open_installation

    installation = open_installation()
    from vmoodle.lifecycle import suspend as changes

    _show(changes.suspend(installation, shortname, reason), json=json)


@app.command()
def resume(shortname: Shortname, json: Json = False) -> None:
    """Let a suspended site serve again."""
    from vmoodle.installation import open_installation

    installation = open_installation()
    from vmoodle.lifecycle import suspend as changes

    _show(changes.resume(installation, shortname), json=json)


@app.command("open")
def open_site(shortname: Shortname, json: Json = False) -> None:
    """Print a site's address and open it in the browser where there is one; --json only prints."""
    from vmoodle.installation import open_installation

    open_installation()
    from vmoodle.registry import sites

    wwwroot = sites.find(shortname).wwwroot
    if json:
        print_json({"site": shortname, "url": wwwroot})
        return
    typer.echo(wwwroot)
    typer.launch(wwwroot)


@app.command()
def delete(
    shortname: Shortname,
    confirm: Annotated[
        str | None, typer.Option(help="The shortname again; asked for when not given.")
    ] = None,
    detach: Annotated[bool, typer.Option("--detach", help="Only queue it.")] = False,
    json: Json = False,
) -> None:
    """Delete a suspended site: its database, account and moodledata are gone for good."""
    import sys

    from vmoodle.cli.progress import carry_out
    from vmoodle.installation import open_installation

    installation = open_installation()
    from vmoodle.lifecycle import delete as deletion
    from vmoodle.registry import sites

    site = sites.find(shortname)
    if confirm is None and sys.stdin.isatty() and site.state in {"suspended", "needs attention"}:
        say(f"This destroys {site.wwwroot} with its database and all its files.")
        confirm = typer.prompt("Type the shortname to go on", err=True)
    operation = deletion.submit(installation, shortname, typed=confirm or "")
    ended = operation if detach else carry_out(installation, operation)
    if json:
        print_json({"operation": ended.id, "site": shortname, "state": ended.state})
    else:
        say(f"vmoodle operation follow {ended.id}" if detach else f"deleted {shortname}")


def _show(site: Site, *, json: bool) -> None:
    facts = _facts(site)
    if json:
        print_json(facts)
    else:
        print_block(facts)


def _facts(site: Site) -> dict[str, Any]:
    from vmoodle.registry import sites

    return {
        "shortname": site.shortname,
        "name": site.name,
        "url": site.wwwroot,
        "state": site.state,
        "reason": site.state_reason,
        "codebase": site.codebase.name,
        "server": site.server.name,
        "database": site.database,
        "account": site.account,
        "dataroot": site.dataroot,
        "admin_user": site.admin_user,
        "admin_email": site.admin_email,
        "labels": [f"{key}={value}" for key, value in sites.label_values(site).items()],
        "aliases": sites.alias_hosts(site),
        "created": moment(site.created_at),
    }
