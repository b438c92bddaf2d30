"""`vmoodle site`: the virtual Moodles."""

from __future__ import annotations

from typing import Annotated

import typer

from vmoodle.cli import site_adopt, site_end, site_import, site_new, site_state
from vmoodle.cli.output import Json, print_json, print_table, print_text, show_queued
from vmoodle.cli.site_facts import show_site
from vmoodle.cli.site_words import Detach, Labels, Shortname

app = typer.Typer(help="Sites: create, list, change, suspend, delete.", no_args_is_help=True)


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

    show_site(sites.find(shortname), json=json)


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
    show_site(change(installation, shortname, changes), json=json)


@app.command()
def move(
    shortname: Shortname,
    url: Annotated[str, typer.Option(help="The new wwwroot.")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only count what would be rewritten.")
    ] = False,
    redirect: Annotated[
        bool, typer.Option(help="Let the old host redirect to the new address.")
    ] = True,
    detach: Detach = False,
    json: Json = False,
) -> None:
    """Move a site to another address, its own addresses in its content included."""
    from vmoodle.cli.progress import carry_out
    from vmoodle.cli.rewriting import show_rewriting
    from vmoodle.installation import open_installation

    installation = open_installation()
    from vmoodle.lifecycle import move as moving
    from vmoodle.registry import sites

    if dry_run:
        show_rewriting(moving.plan(installation, shortname, url), json=json)
        return
    operation = moving.submit(installation, shortname, url, redirect=redirect)
    if detach:
        show_queued(operation.id, {"site": shortname}, json=json)
        return
    carry_out(installation, operation)
    show_site(sites.find(shortname), json=json)


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
    print_text(wwwroot)
    typer.launch(wwwroot)


app.command("create")(site_new.create)
app.command("adopt")(site_adopt.adopt)
app.command("import")(site_import.import_sites)
app.command("clone")(site_new.clone)
app.command("policies")(site_new.policies)
app.command("suspend")(site_state.suspend)
app.command("resume")(site_state.resume)
app.command("delete")(site_end.delete)
app.command("revive")(site_end.revive)
app.command("purge")(site_end.purge)
