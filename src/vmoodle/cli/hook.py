"""`vmoodle hook`: the host map and what the sites answer."""

from __future__ import annotations

from typing import Annotated

import typer

from vmoodle.cli.output import Json, print_json, print_table, print_text
from vmoodle.cli.progress import showing
from vmoodle.cli.site_words import AllSites, Labels, Targets

app = typer.Typer(help="The host map, and what the sites answer.", no_args_is_help=True)


@app.command()
def check(
    sites: Targets = None,
    label: Labels = None,
    all_sites: AllSites = False,
    public: Annotated[
        bool,
        typer.Option("--public", help="At the sites' own addresses, as a visitor would."),
    ] = False,
    json: Json = False,
) -> None:
    """Request the front page of each site, of all where none is named; status 1 if one is wrong."""
    from vmoodle.installation import open_installation

    installation = open_installation()
    from vmoodle.fleet.targets.choose import Selection, choose
    from vmoodle.lifecycle import hook_check

    meant = Selection(sites or [], label or [], all_sites)
    said = bool(sites or label)
    chosen = [site.shortname for site in choose(meant)] if said else []
    with showing("requesting the sites") as tell:
        rows = hook_check.check(installation, chosen, public=public, tell=tell)
    if json:
        print_json([row.as_facts() for row in rows])
    else:
        print_table(
            ("SITE", "OK", "EXPECTED", "SEEN", "MS", "URL"),
            [
                (r.site, "yes" if r.ok else "NO", r.expected, r.seen, r.milliseconds, r.url)
                for r in rows
            ],
            "No sites yet.",
        )
    if not all(row.ok for row in rows):
        raise typer.Exit(1)


@app.command()
def rebuild(
    empty: Annotated[
        bool, typer.Option("--empty", help="Also where the registry has no site and the map has.")
    ] = False,
    json: Json = False,
) -> None:
    """Write the host map, the hook and each tree's config.php anew from the registry."""
    from vmoodle.installation import open_installation

    installation = open_installation()
    from vmoodle.lifecycle import rebuild as rebuilding

    with showing("rebuilding the map") as tell:
        rebuilt = rebuilding.rebuild(installation, tell, may_empty=empty)
    if json:
        print_json(vars(rebuilt))
    else:
        print_text(f"{rebuilt.sites} site(s) published")
