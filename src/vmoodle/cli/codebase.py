"""`vmoodle codebase`: Moodle code trees."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from vmoodle.cli.output import Json, print_block, print_json, print_table, print_text
from vmoodle.cli.progress import showing

if TYPE_CHECKING:
    from vmoodle.lifecycle.codebase import CodebaseReport

app = typer.Typer(help="Moodle code trees.", no_args_is_help=True)


@app.command()
def add(
    name: Annotated[str, typer.Argument(help="What to call the codebase.")],
    path: Annotated[
        str, typer.Argument(help="The code tree, or the word sandbox for a private sandbox tree.")
    ],
    immutable: Annotated[
        bool,
        typer.Option(
            "--immutable",
            help="The tree never changes: Moodle's component cache is built once for all sites.",
        ),
    ] = False,
    copy: Annotated[
        bool,
        typer.Option("--copy", help="Work on a private copy in the home; leave the tree alone."),
    ] = False,
    json: Json = False,
) -> None:
    """Add a code tree: read its version, check its requirements, write its config.php."""
    from vmoodle.installation import open_installation

    installation = open_installation()
    from vmoodle.lifecycle import codebase

    with showing("reading the tree") as tell:
        report = codebase.add(installation, name, path, immutable=immutable, copy=copy, tell=tell)
    _show_report(report, json=json)


@app.command("list")
def list_codebases(json: Json = False) -> None:
    """List the codebases."""
    from vmoodle.installation import open_installation

    open_installation()
    from vmoodle.registry import codebases

    rows = [codebases.facts(codebase) for codebase in codebases.every()]
    if json:
        print_json(rows)
        return
    print_table(
        ("NAME", "RELEASE", "LAYOUT", "SITES", "PATH"),
        [(r["name"], r["release"], r["layout"], r["sites"], r["path"]) for r in rows],
        "No codebase yet: vmoodle codebase add main /path/to/moodle",
    )


@app.command()
def show(name: str, json: Json = False) -> None:
    """Show a codebase."""
    from vmoodle.installation import open_installation

    open_installation()
    from vmoodle.registry import codebases

    facts = codebases.facts(codebases.find(name))
    if json:
        print_json(facts)
    else:
        print_block(facts)


@app.command()
def check(
    name: str,
    server: Annotated[str, typer.Option(help="Check against this database server too.")] = "",
    json: Json = False,
) -> None:
    """Read the tree again, mend its config.php, check its requirements; status 1 if any fails."""
    from vmoodle.installation import open_installation

    installation = open_installation()
    from vmoodle.lifecycle import codebase
    from vmoodle.registry import codebases, servers

    with showing("reading the tree") as tell:
        report = codebase.check_codebase(
            installation, codebases.find(name), servers.find(server) if server else None, tell
        )
    _show_report(report, json=json)
    if report.blocking:
        raise typer.Exit(1)


@app.command()
def remove(name: str, json: Json = False) -> None:
    """Forget a codebase without sites; a config.php that was set aside is put back."""
    from vmoodle.installation import open_installation

    installation = open_installation()
    from vmoodle.lifecycle import codebase
    from vmoodle.registry import codebases

    with showing("removing the codebase"):
        restored = codebase.remove(installation, codebases.find(name))
    if json:
        print_json({"removed": name, "restored": restored})
        return
    print_text(f"removed {name}" + (f"; {restored} is as it was before" if restored else ""))


def _show_report(report: CodebaseReport, *, json: bool) -> None:
    from vmoodle.registry import codebases

    findings = [
        {"level": f.level, "subject": f.subject, "message": f.message, "hint": f.hint}
        for f in report.findings
    ]
    facts = codebases.facts(report.codebase)
    if json:
        print_json(facts | {"findings": findings})
        return
    print_block(facts)
    for finding in findings:
        print_text(f"{finding['level']}: {finding['message']} {finding['hint']}".rstrip())
