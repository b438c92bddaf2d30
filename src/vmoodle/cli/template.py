"""`vmoodle template`: captured sites from which sites are made."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vmoodle.cli.output import (
    Json,
    in_bytes,
    moment,
    print_block,
    print_json,
    print_table,
    say,
    show_queued,
)
from vmoodle.cli.progress import carry_out, showing
from vmoodle.cli.question import ask
from vmoodle.errors import InvalidInput

if TYPE_CHECKING:
    from vmoodle.installation import Installation
    from vmoodle.registry.models import Operation

app = typer.Typer(
    help="Templates: captured from a site, without its identity, to make sites from.",
    no_args_is_help=True,
)

Name = Annotated[str, typer.Argument(help="The template's name.")]
Detach = Annotated[
    bool, typer.Option("--detach", help="Only queue it; `operation follow` waits for it.")
]


@app.command()
def create(
    name: Name,
    source: Annotated[str, typer.Option("--from", help="Shortname of the site to capture.")] = "",
    snapshot: Annotated[
        str, typer.Option("--from-snapshot", help="Id of a snapshot to capture instead.")
    ] = "",
    people: Annotated[
        bool, typer.Option("--people", help="Keep the site's users; without it they are dropped.")
    ] = False,
    note: Annotated[str, typer.Option(help="What it is for; shown in lists.")] = "",
    detach: Detach = False,
    json: Json = False,
) -> None:
    """Capture a site, or a snapshot of one, as a template: the site serves on, only read."""
    from vmoodle.installation import open_installation

    installation = open_installation()
    from vmoodle.lifecycle.template import template

    chosen = _source(source, snapshot)
    operation = template.create(installation, name, chosen, people=people, note=note)
    _carry_out(installation, operation, detach=detach, json=json)


@app.command("list")
def list_templates(json: Json = False) -> None:
    """List the templates."""
    from vmoodle.installation import open_installation

    open_installation()
    from vmoodle.registry import templates

    rows = [templates.facts(row) for row in templates.every()]
    if json:
        print_json(rows)
        return
    print_table(
        ("NAME", "STATE", "FROM", "MOODLE", "SERVER", "SIZE", "WARM", "CREATED"),
        [
            (
                r["name"],
                r["state"],
                r["source"],
                r["moodle"],
                r["server"],
                in_bytes(r["database_bytes"] + r["files_bytes"]),
                f"{r['warm']}/{r['keep_warm']}",
                moment(r["created"]),
            )
            for r in rows
        ],
        "No templates yet: vmoodle template create NAME --from SITE",
    )


@app.command()
def show(name: Name, json: Json = False) -> None:
    """Show a template, and which codebases it fits exactly."""
    from vmoodle.installation import open_installation

    open_installation()
    _show(name, json=json)


@app.command()
def refresh(
    name: Name,
    source: Annotated[
        str, typer.Option("--from", help="Another site to capture; its own source when not given.")
    ] = "",
    upgrade: Annotated[
        str, typer.Option(help="Capture nothing: let Moodle upgrade it to this codebase.")
    ] = "",
    detach: Detach = False,
    json: Json = False,
) -> None:
    """Capture a template anew, from a site that was tuned since, or bring it to a newer Moodle."""
    from vmoodle.installation import open_installation

    installation = open_installation()
    from vmoodle.lifecycle.template import refresh as template_refresh
    from vmoodle.lifecycle.template import upgrade as template_upgrade

    if source and upgrade:
        raise InvalidInput(
            "template.refresh.choose",
            "A template is captured from a site or upgraded, not both.",
            "Give one of --from and --upgrade.",
        )
    operation = (
        template_upgrade.submit(installation, name, upgrade)
        if upgrade
        else template_refresh.submit(installation, name, source=source)
    )
    _carry_out(installation, operation, detach=detach, json=json)


@app.command()
def warm(
    name: Name,
    keep: Annotated[int, typer.Option(help="How many copies wait ready; 0 drops them.")],
    detach: Detach = False,
    json: Json = False,
) -> None:
    """Keep ready-made copies waiting; who deploys a site claims one."""
    from vmoodle.installation import open_installation

    installation = open_installation()
    from vmoodle.lifecycle.template import warm as warm_copies

    operation = warm_copies.keep(installation, name, keep)
    _carry_out(installation, operation, detach=detach, json=json)


@app.command()
def export(
    name: Name,
    path: Annotated[Path, typer.Argument(help="New file to write.")],
    json: Json = False,
) -> None:
    """Write a template into one file, to carry it to another installation."""
    from vmoodle.installation import open_installation

    installation = open_installation()
    from vmoodle.lifecycle.template import archive as template_archive

    with showing(f"writing {path}"):
        notices = template_archive.export(installation, name, path)
    if json:
        print_json({"template": name, "path": str(path), "notices": notices})
        return
    for notice in notices:
        say(notice)
    say(f"wrote {path}")


@app.command("import")
def import_template(
    path: Annotated[Path, typer.Argument(help="A file that `template export` wrote.")],
    name: Annotated[str, typer.Option(help="Another name than the one it had.")] = "",
    server: Annotated[
        str, typer.Option(help="Database server; the first of its engine when not given.")
    ] = "",
    detach: Detach = False,
    json: Json = False,
) -> None:
    """Make a template of a file, after checking all of it."""
    from vmoodle.installation import open_installation

    installation = open_installation()
    from vmoodle.lifecycle.template import archive_import as template_import

    with showing(f"reading {path}"):
        operation = template_import.submit(installation, path, name=name, server=server)
    _carry_out(installation, operation, detach=detach, json=json)


@app.command()
def delete(
    name: Name,
    confirm: Annotated[
        str | None, typer.Option(help="The name again; asked for when not given.")
    ] = None,
    detach: Detach = False,
    json: Json = False,
) -> None:
    """Delete a template and its waiting copies; sites made from it stay as they are."""
    from vmoodle.installation import open_installation

    installation = open_installation()
    from vmoodle.lifecycle.template import template
    from vmoodle.registry import templates

    row = templates.find(name)
    if confirm is None and sys.stdin.isatty():
        say(f"This destroys the template {row.name}, captured from {row.source}.")
        confirm = ask("Type its name to go on")
    operation = template.delete(installation, name, typed=confirm or "")
    if detach:
        show_queued(operation.id, {"template": name}, json=json)
        return
    ended = carry_out(installation, operation)
    if json:
        print_json({"operation": ended.id, "template": name, "state": ended.state})
    else:
        say(f"deleted {name}")


def _source(site: str, snapshot: str) -> str:
    if bool(site) == bool(snapshot):
        raise InvalidInput(
            "template.source",
            "A template is captured from a site or from a snapshot.",
            "Give one of --from and --from-snapshot.",
        )
    from vmoodle.registry.source_names import SourceKind

    return SourceKind.SNAPSHOT.named(snapshot) if snapshot else SourceKind.SITE.named(site)


def _carry_out(
    installation: Installation, operation: Operation, *, detach: bool, json: bool
) -> None:
    """Execute the operation and show its template, or say how to follow it."""
    from vmoodle.registry import templates

    name = templates.named_by(operation.subject)
    if detach:
        show_queued(operation.id, {"template": name}, json=json)
        return
    carry_out(installation, operation)
    _show(name, json=json)


def _show(name: str, *, json: bool) -> None:
    from vmoodle.lifecycle.copy import fit
    from vmoodle.registry import templates

    row = templates.find(name)
    facts = templates.facts(row) | {"fits": fit.fitting_codebases(row.versions_hash)}
    if json:
        print_json(facts)
        return
    for key in ("created", "refreshed"):
        facts[key] = moment(facts[key])
    facts["fits"] = facts["fits"] or "no codebase has the same versions of core and plugins"
    for key in ("database_bytes", "files_bytes"):
        facts[key] = in_bytes(facts[key])
    print_block(facts)
